"""Repetition: a share of phrases that stood there before, whatever the language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbook.nodes.checks.repetition import repeated_share
from tests.nodes.checks.examined import reason

WORDS = st.lists(st.sampled_from([f"w{number}" for number in range(12)]), max_size=120)
LOOP = "the lamp went out and the sea came in again "


@given(WORDS, st.integers(min_value=1, max_value=10))
def test_share_is_what_counting_gives(words: list[str], ngram: int) -> None:
    phrases = [tuple(words[start : start + ngram]) for start in range(len(words) - ngram + 1)]
    repeats = sum(phrase in phrases[:position] for position, phrase in enumerate(phrases))
    expected = repeats / len(phrases) if len(phrases) > 1 else 0.0
    assert repeated_share(words, ngram) == pytest.approx(expected)


@given(st.lists(st.integers(), unique=True, min_size=10, max_size=200))
def test_text_of_different_words_has_no_repeats(numbers: list[int]) -> None:
    assert reason("repetition", " ".join(f"w{number}" for number in numbers), {"most": 0.0}) is None


@given(WORDS.filter(lambda words: len(words) >= 8), st.integers(min_value=3, max_value=6))
def test_text_said_three_times_is_found(words: list[str], times: int) -> None:
    assert reason("repetition", " ".join(words * times), {"most": 0.3}) is not None


@given(WORDS, st.integers(min_value=1, max_value=10), st.floats(min_value=0, max_value=1))
def test_quick_acceptance_accepts_nothing_that_repeats(words: list[str], ngram: int, most: float) -> None:
    passed = reason("repetition", " ".join(words), {"ngram": ngram, "most": most}) is None
    assert passed == (repeated_share(words, ngram) <= most)


def test_reason_has_the_shares_and_the_phrase() -> None:
    said = reason("repetition", LOOP * 20)
    assert said is not None
    assert said.startswith("95 % of its phrases of 8 words are repeats, at most 20 % may be; ")
    assert '"' in said
    assert said.endswith(" times")


@pytest.mark.parametrize("text", ["", "short", LOOP, "ha " * 5])
def test_short_text_passes(text: str) -> None:
    assert reason("repetition", text) is None


def test_loop_of_one_word_and_of_characters_without_spaces_is_found() -> None:
    assert reason("repetition", "ha " * 100) is not None
    assert reason("repetition", "\u6211\u559c\u6b22\u8bfb\u4e66" * 20) is not None


def test_case_and_punctuation_make_no_difference() -> None:
    assert reason("repetition", "The lamp, it went OUT; and then again. the lamp it went out and then again " * 3)
