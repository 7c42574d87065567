"""Empty answers, and answers that must fit a JSON Schema."""

from __future__ import annotations

import pytest

from offbook.workflows.values import JsonValue
from tests.nodes.checks.examined import reason

SCHEMA = {
    "type": "object",
    "required": ["title", "pages"],
    "properties": {"title": {"type": "string"}, "pages": {"type": "integer", "minimum": 1}},
}


@pytest.mark.parametrize("output", [None, "", "  \n", "...", "***\n---", [], {}, ["", None], {"a": {"b": " "}}])
def test_answer_that_says_nothing_is_empty(output: JsonValue) -> None:
    assert reason("empty", output) is not None


@pytest.mark.parametrize("output", ["a", "7.", 0, False, [0], {"a": [{"b": "x"}]}, "\u706f"])
def test_answer_that_says_anything_is_not_empty(output: JsonValue) -> None:
    assert reason("empty", output) is None


@pytest.mark.parametrize(
    "output",
    [
        {"title": "Salt", "pages": 3},
        '{"title": "Salt", "pages": 3}',
        '```json\n{"title": "Salt", "pages": 3}\n```',
    ],
)
def test_answer_that_fits_its_schema_passes_as_value_and_as_text(output: JsonValue) -> None:
    assert reason("json_schema", output, SCHEMA) is None


def test_reason_names_each_place_that_does_not_fit() -> None:
    said = reason("json_schema", {"pages": "three"}, SCHEMA)
    assert said is not None
    assert "answer.title: `title` is required" in said
    assert "answer.pages: must be integer, got 'three'" in said


def test_text_that_is_no_json_is_said_to_be_none() -> None:
    said = reason("json_schema", "Here you are: {}", SCHEMA)
    assert said == "the answer is no JSON (line 1, column 1): answer with JSON alone"


def test_schema_of_text_is_for_the_text_itself() -> None:
    assert reason("json_schema", "Salt", {"type": "string", "maxLength": 4}) is None
    assert reason("json_schema", "The sea", {"type": "string", "maxLength": 4}) is not None


def test_many_things_wrong_are_named_in_part() -> None:
    said = reason("json_schema", ["a"] * 40, {"type": "array", "items": {"type": "integer"}})
    assert said is not None
    assert said.count("must be integer") == 5
    assert said.endswith("; and 35 more")
