"""Workflows from text and objects, with every problem at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from offbook.workflows.document import Workflow
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.loading import load_workflow
from offbook.workflows.plan import compile_plan
from tests.workflows.fake_types import NOVELLA, TYPES


def refuse(source: Any, **more: Any) -> tuple[Problem, ...]:
    with pytest.raises(ValidationFailed) as refused:
        load_workflow(source, types=TYPES, **more)
    return refused.value.problems


def test_example_of_the_design_loads_without_a_problem() -> None:
    workflow = load_workflow(NOVELLA, types=TYPES)
    assert [node.id for node in workflow.nodes] == ["outline", "chapters", "picture", "book"]
    assert workflow.nodes[3].config == {"value": "{{ nodes.chapters.output | join('\\n\\n') }}"}
    plan = compile_plan(workflow, TYPES)
    assert [node.needs for node in plan.nodes] == [(), (0,), (0,), (1, 2)]


def test_yaml_json_and_object_of_one_document_have_one_fingerprint() -> None:
    document = yaml.safe_load(NOVELLA)
    fingerprints = {
        load_workflow(source, types=TYPES).fingerprint for source in (NOVELLA, json.dumps(document), document)
    }
    assert len(fingerprints) == 1


def test_workflow_built_in_python_has_the_same_words() -> None:
    built = Workflow.model_validate(yaml.safe_load(NOVELLA))
    assert built.fingerprint == load_workflow(NOVELLA, types=TYPES).fingerprint


def test_loading_its_own_json_changes_nothing() -> None:
    workflow = load_workflow(NOVELLA, types=TYPES)
    again = load_workflow(workflow.to_json(), types=TYPES)
    assert again == workflow
    assert again.fingerprint == workflow.fingerprint


def test_shape_errors_do_not_hide_those_of_the_graph() -> None:
    text = """
name: broken
inputs:
  topic: {type: txt}
nodes:
  - id: first
    type: llm
    needs: [second]
    retry: {attempts: 0}
    config: {model: a/b, prompt: "{{ inputs.topci }}"}
  - id: second
    type: llmm
    needs: [first, third]
    config: {}
  - type: output
  - 5
"""
    found = [(p.code, p.path, p.line) for p in refuse(text)]
    assert found == [
        ("bad-value", "inputs.topic.type", 4),
        ("cycle", "nodes[0].needs[0]", 8),
        ("out-of-range", "nodes[0].retry.attempts", 9),
        ("unknown-input", "nodes[0].config.prompt", 10),
        ("unknown-type", "nodes[1].type", 12),
        ("unknown-node", "nodes[1].needs[1]", 13),
        ("missing-field", "nodes[2].id", 15),
        ("wrong-type", "nodes[3]", 16),
    ]


@pytest.mark.parametrize(
    ("change", "code", "path", "said"),
    [
        ({"name": ""}, "out-of-range", "name", "must not be empty"),
        ({"name": 5}, "wrong-type", "name", "`name` must be text, got 5"),
        ({"nodes": []}, "out-of-range", "nodes", "must not be empty"),
        ({"nodes": "a"}, "wrong-type", "nodes", "must be a list"),
        ({"format": 2}, "bad-value", "format", "must be 1"),
        ({"edges": []}, "unknown-field", "edges", "needs: [id]"),
        ({"naem": "x"}, "unknown-field", "naem", "did you mean `name`?"),
        ({"durability": "fast"}, "bad-value", "durability", "`sync`, `async` or `exit`"),
        ({"restart": {"within": 0}}, "out-of-range", "restart.within", "more than 0"),
        ({"inputs": {"a": {"typ": "text"}}}, "unknown-field", "inputs.a.typ", "did you mean `type`?"),
        ({"inputs": []}, "wrong-type", "inputs", "must be a mapping"),
    ],
)
def test_wrong_field_of_the_workflow_is_told(change: dict[str, Any], code: str, path: str, said: str) -> None:
    document = {"name": "x", "nodes": [{"id": "a", "type": "output"}], **change}
    (problem,) = refuse(document)
    assert (problem.code, problem.path) == (code, path)
    assert said in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    ("change", "code", "path", "said"),
    [
        ({"prompt": "x"}, "unknown-field", "nodes[0].prompt", "under `config`"),
        ({"retries": 3}, "unknown-field", "nodes[0].retries", "`retry"),
        ({"retry": {"attempts": 0}}, "out-of-range", "nodes[0].retry.attempts", "at least 1, got 0"),
        ({"retry": {"attempts": 1.5}}, "wrong-type", "nodes[0].retry.attempts", "a whole number"),
        ({"retry": {"atempts": 1}}, "unknown-field", "nodes[0].retry.atempts", "did you mean `attempts`?"),
        ({"timeout": {"total": 0}}, "out-of-range", "nodes[0].timeout.total", "more than 0"),
        ({"timeout": 60}, "wrong-type", "nodes[0].timeout", "a mapping"),
        ({"needs": {"node": "a"}}, "wrong-type", "nodes[0].needs", "a list"),
        ({"needs": [5]}, "wrong-type", "nodes[0].needs[0]", "a mapping"),
        ({"needs": [{"when": True}]}, "missing-field", "nodes[0].needs[0].node", "`node` is required"),
        ({"config": "x"}, "wrong-type", "nodes[0].config", "a mapping"),
        ({"id": 5}, "wrong-type", "nodes[0].id", "must be text"),
        ({"continue_on_error": "perhaps"}, "wrong-type", "nodes[0].continue_on_error", "true or false"),
    ],
)
def test_wrong_field_of_a_node_is_told(change: dict[str, Any], code: str, path: str, said: str) -> None:
    (problem,) = refuse({"name": "x", "nodes": [{"id": "a", "type": "output", **change}]})
    assert (problem.code, problem.path) == (code, path)
    assert said in f"{problem.message} {problem.hint}"


def test_duplicate_keys_come_with_all_other_problems() -> None:
    text = "name: x\nname: y\nnodes:\n  - id: a\n    type: nothing\n"
    assert [(p.code, p.line) for p in refuse(text)] == [("duplicate-key", 2), ("unknown-type", 5)]


def test_syntax_error_is_the_only_problem() -> None:
    (problem,) = refuse("name: x\nnodes: [")
    assert (problem.code, problem.line) == ("yaml-syntax", 2)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "empty-document", "book.yaml is empty"),
        ("# only a comment\n", "empty-document", "empty"),
        ("- a\n- b\n", "not-a-document", "not a list"),
        ("just text", "not-a-document", "not a text"),
    ],
)
def test_text_without_a_document_is_told(text: str, code: str, said: str) -> None:
    (problem,) = refuse(text, source_name="book.yaml")
    assert problem.code == code
    assert said in problem.message


@pytest.mark.parametrize(
    "value", [float("nan"), 2**70, "\ud800", {1: "x"}, {"x": object()}, {"x": {1, 2}}, [[]] * 3 + [b"x"]]
)
def test_object_that_is_no_json_is_refused(value: object) -> None:
    problems = refuse({"name": "x", "nodes": [{"id": "a", "type": "output", "config": {"value": value}}]})
    assert problems[0].code == "not-json"
    assert problems[0].path.startswith("nodes[0].config.value")


def test_endlessly_deep_object_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    (problem,) = refuse({"name": "x", "nodes": [{"id": "a", "type": "output", "config": {"value": deep}}]})
    assert problem.code == "too-deep"


def test_error_in_a_block_of_text_has_its_own_line() -> None:
    text = """
name: x
nodes:
  - id: a
    type: template
    config:
      text: |
        first
        {{ inputs.absent }}
        {{ 'open
"""
    assert [(p.code, p.line) for p in refuse(text)] == [("template-syntax", 10)]
    assert [(p.code, p.line) for p in refuse(text.replace("        {{ 'open\n", ""))] == [("unknown-input", 9)]


def test_failure_names_every_problem_in_its_text() -> None:
    with pytest.raises(ValidationFailed, match=r"2 problem\(s\): name: .*; nodes\[0\].type: "):
        load_workflow({"name": "", "nodes": [{"id": "a", "type": "nothing"}]}, types=TYPES)
