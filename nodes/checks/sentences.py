"""The check for how many sentences there are at least.

A sentence ends at `.`, `!`, `?` or an ellipsis before a space (not after a single letter, as in "J. Smith"), at the
full stops of Chinese, Japanese, Hindi, Arabic, Urdu and Armenian, and where a paragraph ends. Headings, and the marks
of lists, are left out. Abbreviations of more than one letter count as ends: it rather counts too many than too few.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced

_LEFT_OUT = re.compile(r"^[ \t]*(?:#{1,6}[ \t].*|(?:\d{1,3}[.)]|[-*+\u2022])[ \t]+)", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t\r]*\n")
_MARKS = ".!?\u2026\u203d\u061f\u06d4\u0964\u0965\u0589"
_END = re.compile(
    # Begun only where a run of marks begins: thousands of dots are looked at once.
    rf"(?<![{_MARKS}])(?<!\b[^\W\d_])[{_MARKS}]++[\"'\u201d\u2019\u00bb)\]*_]*+(?=\s|$)"
    r"|[\u3002\uff01\uff1f\uff61]+[\u300d\u300f\u201d\u2019)\uff09]*"
)
_SURE_END = re.compile(r"(?<=[a-z][a-z])[.!?]\s")
"""What is an end wherever it stands, but in a heading."""
_LETTER = re.compile(r"[^\W_]")


def count_sentences(text: str) -> int:
    """Return how many sentences a text has."""
    return sum(_in_paragraph(paragraph) for paragraph in _PARAGRAPHS.split(_LEFT_OUT.sub("", text)))


def _in_paragraph(paragraph: str) -> int:
    count = begin = 0
    for end in _END.finditer(paragraph):
        if _LETTER.search(paragraph, begin, end.start()):
            count += 1
        begin = end.end()
    return count + bool(_LETTER.search(paragraph, begin))


class MinSentencesParams(CheckParams):
    """How many sentences there must be."""

    least: int = Field(ge=1)


class MinSentences(CheckKind):
    """Fails an output with fewer sentences."""

    name = "min_sentences"
    params_model: type[BaseModel] = MinSentencesParams
    shorthand = "least"
    example = "{min_sentences: 10}"

    def examine(self, produced: Produced, params: MinSentencesParams) -> str | None:
        text = produced.text
        if "#" not in text and len(_SURE_END.findall(text)) >= params.least:
            return None
        found = count_sentences(text)
        return f"{found} sentences, at least {params.least} are asked for" if found < params.least else None
