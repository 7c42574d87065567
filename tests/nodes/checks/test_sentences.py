"""Sentences: where they end, and what is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbook.nodes.checks.sentences import count_sentences
from tests.nodes.checks.examined import reason


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("...", 0),
        ("One. Two! Three?", 3),
        ("It cost 3.50 in all.", 1),
        ("J. R. Smith came.", 1),
        ('"Go," she said. "Now!" He went.', 3),
        ("A line that was\nbroken in two.", 1),
        ("No full stop", 1),
        ("First paragraph\n\nSecond paragraph", 2),
        ("# A heading\n\nText.", 1),
        ("1. First thing.\n2. Second thing.", 2),
        ("Wait... what?! Yes.", 3),
        ("\u6211\u6765\u4e86\u3002\u6211\u770b\u89c1\u3002", 2),
        ("\u0915\u094d\u092f\u093e\u0964 \u0939\u093e\u0901\u0964", 2),
    ],
)
def test_sentences_are_counted(text: str, sentences: int) -> None:
    assert count_sentences(text) == sentences


@given(
    st.text(alphabet=st.sampled_from("abA1 .!?\n#-)\"'\u2026"), max_size=80), st.integers(min_value=1, max_value=6)
)
def test_quick_acceptance_accepts_nothing_that_has_too_few(text: str, least: int) -> None:
    assert (reason("min_sentences", text, least) is None) == (count_sentences(text) >= least)


def test_reason_has_both_figures() -> None:
    assert reason("min_sentences", "One. Two.", 10) == "2 sentences, at least 10 are asked for"
    assert reason("min_sentences", "One. Two.", 2) is None


@pytest.mark.parametrize("text", ["." * 200_000 + "x", " " * 200_000 + "x", "\n " * 100_000, "(." * 100_000])
def test_no_text_takes_for_ever(text: str) -> None:
    began = time.thread_time()
    count_sentences(text)
    assert time.thread_time() - began < 2.0
