"""The check for text that repeats itself: models fall into loops.

Of all phrases of so many words in a row, which share stood in the text before? That is the whole measure: it knows no
language, finds a sentence said thrice and a loop of one word, and does not find the same thought in other words. A
refrain that is meant to return counts too.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced, percent
from offbook.nodes.checks.words import words_of

_SHOWN_CHARS = 80


def repeated_share(words: list[str], ngram: int) -> float:
    """Return which share of the phrases of `ngram` words had come before, 0 to 1; 0 if there are not two of them."""
    phrases = len(words) - ngram + 1
    if phrases < 2:
        return 0.0
    return 1.0 - len(set(map(hash, _phrases(words, ngram)))) / phrases


def _phrases(words: list[str], ngram: int) -> zip[tuple[str, ...]]:
    return zip(*(islice(words, start, None) for start in range(ngram)), strict=False)


def _cannot_repeat(words: list[str], ngram: int, most: float) -> bool:
    """Whether words, or pairs, say that no more is repeated: a repeated phrase begins with a repeated pair."""
    allowed = most * (len(words) - ngram + 1)
    if len(words) - len(set(words)) <= allowed:
        return True
    return ngram > 1 and len(words) - 1 - len(set(pairwise(words))) <= allowed


class RepetitionParams(CheckParams):
    """Which share of the phrases may be repeats, and how long a phrase is."""

    most: float = Field(default=0.2, ge=0, le=1)
    ngram: int = Field(default=8, ge=1, le=100)
    """Words."""


class Repetition(CheckKind):
    """Fails an output of which too much stood in it before."""

    name = "repetition"
    params_model: type[BaseModel] = RepetitionParams
    shorthand = "most"
    example = "{repetition: {ngram: 8, most: 0.2}}"

    def examine(self, produced: Produced, params: RepetitionParams) -> str | None:
        words = words_of(produced.text)
        if _cannot_repeat(words, params.ngram, params.most):
            return None
        share = repeated_share(words, params.ngram)
        if share <= params.most:
            return None
        ((phrase, times),) = Counter(_phrases(words, params.ngram)).most_common(1)
        shown = " ".join(phrase)
        shown = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}..."
        return (
            f"{percent(share)} of its phrases of {params.ngram} words are repeats, at most {percent(params.most)} "
            f'may be; "{shown}" comes {times} times'
        )
