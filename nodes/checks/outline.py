"""The check of an outline: as many chapters as were asked for, each with a title that says something.

Chapters are looked for in JSON (a list, an object with one list or with `chapters`, `outline`, `sections` or `parts`;
entries are titles, or objects with a `title`, `name` or `heading`) and in text: Markdown headings of one level, lines
that begin with a number, lines that begin with a word and a number ("Chapter 3: The Lamp", after `#` or in `**` too).
Where a text can be read in several ways, the one with the right number counts. A title is a placeholder if nothing is
left of it, without its number, but one of the usual words ("Chapter 3", "TBD", "[Title]"), or if all titles are one
word and a number ("Part 1", "Part 2", in any language).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

import orjson
from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.nodes.text import unfenced
from offbook.workflows.values import JsonObject, JsonValue

_LIST_NAMES = ("chapters", "outline", "sections", "parts", "table_of_contents", "toc")
_TITLE_NAMES = ("title", "name", "heading", "chapter_title")
_HEADING = re.compile(r"^[ ]{0,3}(#{1,6})[ \t]+(.+)$")
_NUMBERED = re.compile(r"^[ ]{0,3}(?:\*\*|__)?\d{1,4}(?:\*\*|__)?[.):\u3001\uff0e](?:\*\*|__)?[ \t]*(.*)$")
_WORD_AND_NUMBER = (
    r"(?:[^\W\d_]{3,20}[ \t]+(?:\d{1,4}|[ivxlcIVXLC]{1,7})"
    r"|\u7b2c\s?[\d\u4e00-\u9fff]{1,5}\s?[\u7ae0\u8a71\u8bdd\u56de\u8282\u7bc0])"
)
_CHAPTER = re.compile(rf"^[ ]{{0,3}}(?:#{{1,6}}[ \t]+)?(?:\*\*|__)?{_WORD_AND_NUMBER}(?!\w)(.*)$")
_LEAD = re.compile(rf"^(?:{_WORD_AND_NUMBER}(?!\w)|\d{{1,4}}(?=[\s.):\u3001\uff0e\u2013\u2014-]|$))")
_AROUND = (
    " \t\r\n*_#:.,;\u2013\u2014-)(]['\"`\u201c\u201d\u2018\u2019\u00ab\u00bb<>"
    "\u3001\uff1a\uff0e\u300a\u300b\u300c\u300d\u2026"
)
_PLACEHOLDER = re.compile(
    "|tbd|tba|todo|n/a|na|none|null|untitled|title|titel|titre|titolo|t\u00edtulo|name|heading|placeholder|x|xxx"
    "|chapter|kapitel|chapitre|cap\u00edtulo|capitolo|section|part|string|example|example title|lorem ipsum"
    "|chapter title|chapter name|chapter heading|untitled chapter|title here|your title here|insert title"
    "|insert title here|title of chapter|title of the chapter|to be determined|to be decided|to be announced"
    "|\u6807\u9898|\u7ae0\u8282\u6807\u9898"
)
_NUMBERS = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)
_SHOWN = 3


class OutlineParams(CheckParams):
    """How many chapters there must be."""

    chapters: int = Field(ge=0)


class Outline(CheckKind):
    """Fails an outline with another number of chapters, or with titles that are none."""

    name = "outline"
    params_model: type[BaseModel] = OutlineParams
    shorthand = "chapters"
    example = "{outline: {chapters: 12}}"

    def examine(self, produced: Produced, params: OutlineParams) -> str | None:
        readings = [reading for reading in readings_of(produced.value) if reading]
        fitting = [reading for reading in readings if len(reading) == params.chapters]
        if not fitting:
            if not params.chapters:
                return None
            found = max((len(reading) for reading in readings), default=0)
            return f"{found} chapters can be made out, {params.chapters} are asked for"
        empty = min((placeholders_in(reading) for reading in fitting), key=len)
        if not empty:
            return None
        shown = ", ".join(f"{number} ({title.strip()[:40]!r})" for number, title in empty[:_SHOWN])
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        return f"{len(empty)} of {params.chapters} chapters have no title of their own: {shown}{more}"


def readings_of(value: JsonValue) -> Iterator[list[str]]:
    """Yield the lists of titles that an outline may mean."""
    if isinstance(value, str):
        try:
            read = orjson.loads(unfenced(value))
        except json.JSONDecodeError:
            read = None
        if isinstance(read, dict | list):
            yield from readings_of(read)
            return
        yield from _in_text(value.splitlines())
    elif isinstance(value, dict):
        yield from ([_title(entry) for entry in each] for each in _lists_in(value))
    elif isinstance(value, list | tuple):
        yield [_title(entry) for entry in value]


def placeholders_in(titles: list[str]) -> list[tuple[int, str]]:
    """Return the titles that say nothing, each with its number from 1."""
    words = {_NUMBERS.sub("", title).strip(_AROUND).casefold() for title in titles}
    if len(titles) > 1 and len(words) == 1 and " " not in next(iter(words)):
        return list(enumerate(titles, 1))
    return [(number, title) for number, title in enumerate(titles, 1) if _PLACEHOLDER.fullmatch(bare_title(title))]


def bare_title(title: str) -> str:
    """Return a title in small letters without its number and the marks around it; of "Salt 1" the word."""
    text = title.strip(_AROUND)
    bare = _LEAD.sub("", text, count=1).strip(_AROUND)
    return (bare or _NUMBERS.sub("", text).strip(_AROUND)).casefold()


def _in_text(lines: Iterable[str]) -> Iterator[list[str]]:
    headings: dict[int, list[str]] = {}
    numbered: list[str] = []
    chapters: list[str] = []
    for line in lines:
        if heading := _HEADING.match(line):
            headings.setdefault(len(heading[1]), []).append(heading[2])
        if found := _NUMBERED.match(line):
            numbered.append(found[1])
        if found := _CHAPTER.match(line):
            chapters.append(found[1])
    yield from (headings[level] for level in sorted(headings))
    yield chapters
    yield numbered


def _lists_in(value: JsonObject) -> Iterator[list[JsonValue]]:
    lists = {str(name).lower(): each for name, each in value.items() if isinstance(each, list)}
    known = [lists[name] for name in _LIST_NAMES if name in lists]
    yield from known or (lists.values() if len(lists) == 1 else ())


def _title(entry: JsonValue) -> str:
    if isinstance(entry, dict):
        entry = next((entry[name] for name in _TITLE_NAMES if name in entry), "")
    return entry if isinstance(entry, str) else ""
