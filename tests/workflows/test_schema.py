"""The JSON Schema that editors use agrees with what loading accepts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from offbook.workflows.schema import workflow_schema
from tests.workflows.fake_types import NOVELLA, TYPES


@pytest.fixture(scope="module")
def editor() -> Draft202012Validator:
    schema = workflow_schema(TYPES)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def document(**node: Any) -> dict[str, Any]:
    return {"name": "x", "nodes": [{"id": "a", "type": "llm", "config": {"model": "a/b"}, **node}]}


def test_example_of_the_design_fits(editor: Draft202012Validator) -> None:
    editor.validate(yaml.safe_load(NOVELLA))


@pytest.mark.parametrize(
    "node",
    [
        {"needs": ["b", {"node": "c", "when": "inputs.x"}]},
        {"config": {"model": "a/b", "temperature": "{{ inputs.heat }}"}},
        {"type": "wait", "config": {"until": "inputs.when"}},
        {"type": "foreach", "config": {"items": [1], "do": {"type": "llm", "config": {}}}},
        {"checks": ["empty", "prose", {"min_words": 300}, {"min_words": {"least": "{{ inputs.n }}"}}]},
        {"checks": [{"json_schema": {"type": "object"}}, {"outline": "{{ inputs.n }}"}, {"function": "f"}]},
        {"type": "foreach", "config": {"items": [1], "do": {"type": "llm", "config": {}, "checks": ["refusal"]}}},
        {"check_retry": {"attempts": 2}, "max_regenerations": 0},
    ],
)
def test_right_node_fits(node: dict[str, Any], editor: Draft202012Validator) -> None:
    editor.validate(document(**node))


@pytest.mark.parametrize(
    "node",
    [
        {"id": "Bad Id"},
        {"type": "quantum"},
        {"extra": 1},
        {"checks": "empty"},
        {"checks": ["min_words"]},
        {"checks": [{"min_words": "many"}]},
        {"checks": [{"quality": 3}]},
        {"checks": [{"empty": None, "refusal": None}]},
        {"checks": [{"repetition": {"most": 2}}]},
        {"check_retry": {"delay": 2}},
        {"needs": [5]},
        {"config": {"temperature": "hot"}},
        {"config": {"promt": "x"}},
        {"type": "template", "config": {}},
        {"type": "foreach", "config": {"count": 1, "do": {"type": "llm", "config": {"promt": "x"}}}},
        {"type": "foreach", "config": {"count": 1, "do": {"type": "foreach"}}},
    ],
)
def test_wrong_node_does_not_fit(node: dict[str, Any], editor: Draft202012Validator) -> None:
    assert not editor.is_valid(document(**node))


def test_every_type_is_offered() -> None:
    schema = workflow_schema(TYPES)
    assert schema["$defs"]["Node"]["properties"]["type"]["enum"] == [*sorted(TYPES.names()), "foreach"]
    assert "foreach" not in schema["$defs"]["NodeBody"]["properties"]["type"]["enum"]
