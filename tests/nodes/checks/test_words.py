"""Words: what counts as one, in which script, and that quick answers are right answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbook.nodes.checks.words import count_words, has_words, words_of
from tests.nodes.checks.examined import reason

ASCII = st.text(alphabet=st.sampled_from("ab1 -.'*\n\t\r\x0b\x0c\x1c_"), max_size=200)
ANY = st.text(
    alphabet=st.sampled_from("ab\u00e91 -.\u2014\u2026\n\u4e2d\u3042\u0e01\u0e02\u201c\u201d*"), max_size=200
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("  \n ", 0),
        ("One, two - three!", 3),
        ("don't well-known 3.5", 3),
        ("*** -- ...", 0),
        ("Stra\u00dfe f\u00fcr \u00dcber", 3),
        ("word\u2014word", 2),
        ("\u6211\u559c\u6b22\u8bfb\u4e66\u3002", 5),
        ("AI\u6280\u672f", 3),
        ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01", 3),
        ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", 2),
    ],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    assert count_words(text) == words


@given(ANY | ASCII)
def test_counting_and_listing_agree(text: str) -> None:
    assert count_words(text) == len(words_of(text))


@given(ANY | ASCII, st.integers(min_value=1, max_value=40))
def test_looking_at_the_beginning_gives_the_right_answer(text: str, least: int) -> None:
    assert has_words(text, least) == (count_words(text) >= least)


@given(st.lists(st.sampled_from(["sea", "ship", "\u00e9t\u00e9"]), min_size=1, max_size=300))
def test_as_many_words_as_were_written(words: list[str]) -> None:
    assert count_words(" ".join(words)) == len(words)
    assert reason("min_words", " ".join(words), len(words)) is None


def test_reason_has_both_figures() -> None:
    assert reason("min_words", "only three words", 400) == "3 words, at least 400 are asked for"


def test_words_of_json_are_those_of_its_texts() -> None:
    assert reason("min_words", {"a": "one two", "b": [{"c": "three"}], "d": 4}, 3) is None
    assert reason("min_words", {"a": "one two", "b": 4}, 3) is not None
