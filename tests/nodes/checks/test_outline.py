"""Outlines: how many chapters, in whichever form, and whether their titles are titles."""

from __future__ import annotations

import time

import pytest

from offbook.workflows.values import JsonValue
from tests.nodes.checks.examined import reason

TITLES = ["The Lamp", "Salt", "What the Sea Gave Back"]
GOOD: list[JsonValue] = [
    TITLES,
    [{"title": title, "about": "x"} for title in TITLES],
    {"chapters": [{"name": title} for title in TITLES], "themes": ["a"]},
    {"plan": TITLES},
    '["The Lamp", "Salt", "The Sea"]',
    '```json\n{"chapters": [{"title": "The Lamp"}, {"title": "Salt"}, {"title": "The Sea"}]}\n```',
    "# My Book\n\n## The Lamp\ntext\n\n## Salt\n\n## The Sea\n",
    "## Chapter 1: The Lamp\n\n1. first\n2. second\n\n## Chapter 2: Salt\n\n## Chapter 3: The Sea",
    "1. The Lamp\n2. Salt\n3. The Sea",
    "1) **The Lamp**\n2) **Salt**\n3) **The Sea**",
    "**1. The Lamp**\nWhat happens.\n**2. Salt**\n**3. The Sea**",
    "Chapter 1: The Lamp\nIt begins.\nChapter 2: Salt\nChapter 3: The Sea",
    "**Chapter I \u2013 The Lamp**\n**Chapter II \u2013 Salt**\n**Chapter III \u2013 The Sea**",
    "Kapitel 1: Die Lampe\nKapitel 2: Das Salz\nKapitel 3: Die See",
    "\u7b2c\u4e00\u7ae0 \u706f\n\u7b2c\u4e8c\u7ae0 \u76d0\n\u7b2c\u4e09\u7ae0 \u6d77",
]


@pytest.mark.parametrize("outline", GOOD, ids=range(len(GOOD)))
def test_outline_in_any_form_passes(outline: JsonValue) -> None:
    assert reason("outline", outline, {"chapters": 3}) is None


@pytest.mark.parametrize("outline", GOOD, ids=range(len(GOOD)))
def test_outline_with_another_number_of_chapters_fails_with_both_figures(outline: JsonValue) -> None:
    said = reason("outline", outline, 12)
    assert said is not None
    assert said.endswith("chapters can be made out, 12 are asked for")


@pytest.mark.parametrize(
    "outline",
    [
        ["Chapter 1", "Chapter 2", "Chapter 3"],
        ["The Lamp", "TBD", "Salt"],
        ["The Lamp", "", "Salt"],
        ["The Lamp", "[Title]", "Salt"],
        ["Part 1", "Part 2", "Part 3"],
        ["\u0413\u043b\u0430\u0432\u0430 1", "\u0413\u043b\u0430\u0432\u0430 2", "\u0413\u043b\u0430\u0432\u0430 3"],
        [{"title": "The Lamp"}, {"about": "no title"}, {"title": "Salt"}],
        [{"title": "Chapter Title"}, {"title": "Chapter Title"}, {"title": "Chapter Title"}],
        "## Chapter 1\n\n## Chapter 2\n\n## Chapter 3",
        "1. \n2. \n3. ",
        "Chapter 1: Title\nChapter 2: Title\nChapter 3: Title",
        "1. TODO\n2. The Lamp\n3. Salt",
        [None, "The Lamp", "Salt"],
    ],
)
def test_pain_42_placeholder_titles_fail(outline: JsonValue) -> None:
    said = reason("outline", outline, 3)
    assert said is not None
    assert "of 3 chapters have no title of their own" in said


def test_titles_that_begin_alike_are_titles() -> None:
    assert reason("outline", ["Salt 1", "Salt 2", "The Sea"], 3) is None
    assert reason("outline", ["Theme of salt 1", "Theme of salt 2"], 2) is None
    assert reason("outline", ["1984", "The Lamp"], 2) is not None


@pytest.mark.parametrize("outline", ["", "A story about a lamp.", {}, None, 5, {"a": [1], "b": [2]}])
def test_what_is_no_outline_has_no_chapters(outline: JsonValue) -> None:
    assert reason("outline", outline, 3) == "0 chapters can be made out, 3 are asked for"


@pytest.mark.parametrize(
    "text", ["#" * 300_000, "# " + " #" * 100_000 + "x", "1" * 200_000, "a " * 200_000, "\n" * 200_000]
)
def test_no_text_takes_for_ever(text: str) -> None:
    began = time.thread_time()
    reason("outline", text, 3)
    assert time.thread_time() - began < 2.0
