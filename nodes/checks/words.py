"""Words, and the check for how many there are at least. Knows no language, only how its script parts words.

A word is what stands between spaces, or between dashes or ellipses, and has a letter or digit in it. Chinese and
Japanese write no spaces: each of their characters is a word, as word processors count. Of Thai, Lao, Khmer and
Burmese, which write none either, five characters are: an estimate.
"""

from __future__ import annotations

import re
import string

from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced

_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_PIECE = re.compile(rf"[{_CHARACTERS}]|[{_UNSPACED}]{{1,5}}|[^\s\u2013\u2014\u2026{_CHARACTERS}{_UNSPACED}]+")
_LETTER = re.compile(r"[^\W_]")
_SPACES = bytes.maketrans(b"\t\n\r\v\f", b"     ")
_PUNCTUATION = bytes(each for each in range(128) if not chr(each).isalnum() and not bytes([each]).isspace())
_EDGES = string.punctuation + "\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u3001\u3002\uff0c\uff01\uff1f\u00bf\u00a1"
_KINDS = bytes(
    ord("a" if each < 128 and chr(each).isalnum() else " " if bytes([each]).isspace() else ".") for each in range(256)
)
"""Turns each letter and digit of ASCII into an `a`, white space into a space, all else into a stop."""
_CHARS_PER_WORD = 7
"""Of the beginning that is looked at first; a longer text is read whole only if that has too few."""


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters, without the punctuation around them."""
    if text.isascii():
        return _words_alone(text).decode().lower().split()
    pieces = _PIECE.findall(text.lower())
    return [piece.strip(_EDGES) or piece for piece in pieces if _LETTER.search(piece)]


def count_words(text: str) -> int:
    """Return how many words a text has."""
    if text.isascii():
        return len(_words_alone(text).split())
    return sum(1 for piece in _PIECE.findall(text) if _LETTER.search(piece))


def has_words(text: str, least: int) -> bool:
    """Whether a text has so many words; of a long one no more is read than it takes."""
    beginning = text[: _CHARS_PER_WORD * (least + 1)]
    # What begins with a letter after a space is a word, whatever else there is.
    if beginning.isascii() and beginning.encode().translate(_KINDS).count(b" a") >= least:
        return True
    return count_words(text) >= least


def _words_alone(text: str) -> bytes:
    """Return an ASCII text without punctuation, and with spaces as its only white space."""
    return text.encode().translate(_SPACES, _PUNCTUATION)


class MinWordsParams(CheckParams):
    """How many words there must be."""

    least: int = Field(ge=1)


class MinWords(CheckKind):
    """Fails an output with fewer words."""

    name = "min_words"
    params_model: type[BaseModel] = MinWordsParams
    shorthand = "least"
    example = "{min_words: 300}"

    def examine(self, produced: Produced, params: MinWordsParams) -> str | None:
        return self.examine_text(produced.text, params)

    def examine_text(self, text: str, params: MinWordsParams) -> str | None:
        if has_words(text, params.least):
            return None
        return f"{count_words(text)} words, at least {params.least} are asked for"
