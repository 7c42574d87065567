"""What validation refuses: graph, types, configs, foreach, inputs; each with code, path and hint."""

from __future__ import annotations

import time
from typing import Any

import pytest

from offbook.workflows.document import Workflow
from offbook.workflows.errors import Problem
from offbook.workflows.validation import find_problems, validate_workflow
from tests.workflows.fake_types import TYPES

LLM = {"type": "llm", "config": {"model": "scripted/x", "prompt": "go"}}


def problems(*nodes: dict[str, Any], inputs: dict[str, Any] | None = None) -> list[Problem]:
    return find_problems({"name": "x", "inputs": inputs or {}, "nodes": [{**LLM, **node} for node in nodes]}, TYPES)


def only(*nodes: dict[str, Any], inputs: dict[str, Any] | None = None) -> Problem:
    (problem,) = problems(*nodes, inputs=inputs)
    return problem


def config(**fields: Any) -> dict[str, Any]:
    return {"config": {"model": "scripted/x", "prompt": "go", **fields}}


def foreach(**fields: Any) -> dict[str, Any]:
    return {"type": "foreach", "config": {"do": LLM, **fields}}


def test_valid_graph_has_no_problems() -> None:
    assert (
        problems({"id": "a"}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["a", {"node": "b", "when": True}]})
        == []
    )


def test_cycle_is_named_once_in_running_order() -> None:
    problem = only({"id": "a", "needs": ["c"]}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["b"]})
    assert (problem.code, problem.path, problem.node_id) == ("cycle", "nodes[0].needs[0]", "a")
    assert "a -> b -> c -> a" in problem.message
    assert "`c`" in problem.hint


def test_two_cycles_are_two_problems() -> None:
    found = problems(
        {"id": "a", "needs": ["b"]},
        {"id": "b", "needs": ["a"]},
        {"id": "c", "needs": ["d"]},
        {"id": "d", "needs": ["c"]},
    )
    assert [(p.code, p.node_id) for p in found] == [("cycle", "a"), ("cycle", "c")]


def test_node_after_a_cycle_is_unreachable() -> None:
    found = problems({"id": "a", "needs": ["b"]}, {"id": "b", "needs": ["a"]}, {"id": "z", "needs": ["b"]})
    assert [(p.code, p.node_id) for p in found] == [("cycle", "a"), ("unreachable", "z")]
    assert "a -> b -> a" in found[1].message


@pytest.mark.parametrize(
    ("nodes", "code", "path", "said"),
    [
        (({"id": "a", "needs": ["a"]},), "self-edge", "nodes[0].needs[0]", "needs itself"),
        (
            ({"id": "outline"}, {"id": "b", "needs": ["outlin"]}),
            "unknown-node",
            "nodes[1].needs[0]",
            "did you mean `outline`?",
        ),
        (
            ({"id": "a"}, {"id": "b", "needs": [{"node": "zzz"}]}),
            "unknown-node",
            "nodes[1].needs[0]",
            "add that node",
        ),
        (({"id": "a"}, {"id": "b", "needs": ["a", "a"]}), "duplicate-edge", "nodes[1].needs[1]", "twice"),
        (({"id": "a"}, {"id": "a"}), "duplicate-id", "nodes[1].id", "write `a_2`"),
        (({"id": "Node-1"},), "bad-id", "nodes[0].id", "write `node_1`"),
        (({"id": "1st step"},), "bad-id", "nodes[0].id", "write `node_1st_step`"),
        (({"id": "a" * 65},), "bad-id", "nodes[0].id", f"write `{'a' * 60}`"),
        (({"id": ""},), "bad-value", "nodes[0].id", "`id` must be small letters"),
        (({"id": "a\n"},), "bad-id", "nodes[0].id", "write `a`"),
        (({"id": "a", "type": "lllm"},), "unknown-type", "nodes[0].type", "did you mean `llm`?"),
        (({"id": "a", "type": "quantum"},), "unknown-type", "nodes[0].type", "`foreach`"),
    ],
)
def test_wrong_graph_is_told(nodes: tuple[dict[str, Any], ...], code: str, path: str, said: str) -> None:
    problem = only(*nodes)
    assert (problem.code, problem.path) == (code, path)
    assert said in f"{problem.message} {problem.hint}"


def test_suggested_ids_do_not_collide() -> None:
    found = problems({"id": "node_1"}, {"id": "Node 1"}, {"id": "NODE-1"})
    assert [p.hint.split("`")[1] for p in found] == ["node_1_2", "node_1_3"]


@pytest.mark.parametrize(
    ("node", "code", "path", "said"),
    [
        ({"config": {}}, "missing-model", "nodes[0].config.model", "provider/name"),
        (config(promt="x"), "unknown-field", "nodes[0].config.promt", "did you mean `prompt`?"),
        (config(temperature="hot"), "wrong-type", "nodes[0].config.temperature", "must be a number, got 'hot'"),
        ({"type": "template", "config": {}}, "missing-field", "nodes[0].config.text", "`text` is required"),
        ({"type": "refine"}, "no-content-upstream", "nodes[0]", "nothing before it produces one"),
    ],
)
def test_wrong_config_is_told(node: dict[str, Any], code: str, path: str, said: str) -> None:
    problem = only({"id": "a", **node})
    assert (problem.code, problem.path, problem.node_id) == (code, path, "a")
    assert said in f"{problem.message} {problem.hint}"


def test_field_with_a_template_is_checked_only_when_it_is_rendered() -> None:
    inputs = {"heat": {"type": "number", "default": 1}}
    assert problems({"id": "a", **config(temperature="{{ inputs.heat }}")}, inputs=inputs) == []
    other = problems({"id": "a", **config(temperature="{{ inputs.heat }}", max_tokens="many")}, inputs=inputs)
    assert [p.path for p in other] == ["nodes[0].config.max_tokens"]


def test_refine_needs_content_from_any_ancestor() -> None:
    refine = {"id": "z", "type": "refine"}
    assert (
        problems({"id": "a"}, {"id": "w", "type": "wait", "config": {}, "needs": ["a"]}, {**refine, "needs": ["w"]})
        == []
    )
    gate = {"id": "w", "type": "wait", "config": {}}
    assert only(gate, {**refine, "needs": ["w"]}).code == "no-content-upstream"
    chapters = {"id": "c", **foreach(count=2)}
    assert problems(chapters, {**refine, "needs": ["c"]}) == []


@pytest.mark.parametrize(
    ("node", "code", "path", "said"),
    [
        (foreach(), "count-or-items", "nodes[0].config", "neither"),
        (foreach(count=1, items=[1]), "count-or-items", "nodes[0].config.count", "both"),
        (foreach(count=-1), "out-of-range", "nodes[0].config.count", "at least 0"),
        (foreach(count=100_001), "out-of-range", "nodes[0].config.count", "at most 100000"),
        (foreach(count=True), "wrong-type", "nodes[0].config.count", ""),
        (foreach(count=1, concurrency=0), "out-of-range", "nodes[0].config.concurrency", "at least 1"),
        (foreach(count="'three'"), "count-not-number", "nodes[0].config.count", "got 'three'"),
        (foreach(count="inputs.topic"), "count-not-number", "nodes[0].config.count", "the text `inputs.topic`"),
        (foreach(items="inputs.n"), "items-not-list", "nodes[0].config.items", "the integer `inputs.n`"),
        (foreach(items=5), "wrong-type", "nodes[0].config.items", "text or a list, got 5"),
        (foreach(count=1, kount=2), "unknown-field", "nodes[0].config.kount", "did you mean `count`?"),
        (foreach(count=1, do={"config": {}}), "missing-field", "nodes[0].config.do.type", "`type` is required"),
        (foreach(count=1, do={"type": "lm"}), "unknown-type", "nodes[0].config.do.type", "did you mean `llm`?"),
        (foreach(count=1, do={**LLM, "needs": []}), "unknown-field", "nodes[0].config.do.needs", ""),
        (foreach(count=1, do={"type": "llm"}), "missing-model", "nodes[0].config.do.config.model", ""),
        (foreach(count=1, do=foreach(count=1)), "nested-foreach", "nodes[0].config.do.type", "one list"),
        ({"type": "foreach", "config": {"count": 1}}, "missing-field", "nodes[0].config.do", "`do` is required"),
    ],
)
def test_wrong_foreach_is_told(node: dict[str, Any], code: str, path: str, said: str) -> None:
    problem = only({"id": "a", **node}, inputs={"topic": {"type": "text"}, "n": {"type": "integer"}})
    assert (problem.code, problem.path, problem.node_id) == (code, path, "a")
    assert said in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    "items", ["inputs.list", "inputs.many", "[1, 2]", "inputs.text.split(',')", ["a", "{{ inputs.text }}"], []]
)
def test_items_may_be_any_expression_that_can_give_a_list(items: object) -> None:
    inputs = {
        "list": {"type": "list"},
        "many": {"type": "select", "multiple": True, "options": ["a"]},
        "text": {"type": "text"},
    }
    assert problems({"id": "a", **foreach(items=items)}, inputs=inputs) == []


def test_two_nodes_waiting_for_one_signal_are_refused() -> None:
    def approval(node_id: str, **fields: Any) -> dict[str, Any]:
        return {"id": node_id, "type": "approval", "config": fields}

    assert problems(approval("a"), approval("b")) == []
    problem = only(approval("a", signal="ok"), approval("b", signal="ok"))
    assert (problem.code, problem.node_id) == ("duplicate-signal", "b")
    assert only(approval("ok"), approval("b", signal="ok")).code == "duplicate-signal"


@pytest.mark.parametrize(
    ("field", "code", "path"),
    [
        ({"type": "select"}, "missing-options", "inputs.x"),
        ({"type": "select", "options": ["a"], "default": "b"}, "unknown-option", "inputs.x.default"),
        (
            {"type": "select", "options": ["a"], "multiple": True, "default": ["b"]},
            "unknown-option",
            "inputs.x.default",
        ),
        ({"type": "text", "options": ["a"]}, "useless-field", "inputs.x.options"),
        ({"type": "text", "default": 5}, "wrong-type", "inputs.x.default"),
        ({"type": "integer", "default": "5"}, "wrong-type", "inputs.x.default"),
        ({"type": "boolean", "default": "no"}, "wrong-type", "inputs.x.default"),
        ({"type": "list", "default": {}}, "wrong-type", "inputs.x.default"),
        ({"type": "object", "default": []}, "wrong-type", "inputs.x.default"),
        ({"type": "text", "required": True, "default": "a"}, "required-with-default", "inputs.x.default"),
    ],
)
def test_wrong_input_definition_is_told(field: dict[str, Any], code: str, path: str) -> None:
    problem = only({"id": "a"}, inputs={"x": field})
    assert (problem.code, problem.path) == (code, path)
    assert problem.hint or code != "missing-options"


def test_right_input_definitions_have_no_problems() -> None:
    inputs = {
        "a": {"type": "select", "options": ["x", 2], "default": 2},
        "b": {"type": "select", "multiple": True, "options": ["x"], "default": ["x"]},
        "c": {"type": "number", "default": 1},
        "d": {"type": "boolean", "default": False},
        "e": {"type": "file", "required": True},
        "f": {},
    }
    assert problems({"id": "a"}, inputs=inputs) == []


def test_built_workflow_is_checked_like_a_document() -> None:
    workflow = Workflow.model_validate(
        {"name": "x", "nodes": [{"id": "a", "type": "refine", "config": {"model": "a/b"}}]}
    )
    assert [p.code for p in validate_workflow(workflow, TYPES)] == ["no-content-upstream"]


def test_long_document_is_checked_in_well_under_a_second() -> None:
    nodes = [
        {
            "id": f"n{i}",
            "needs": [f"n{i - 1}"] if i else [],
            "when": "inputs.go == 'x'",
            **config(prompt=f"Part {i} of {{{{ inputs.go }}}}" + (" after {{ last_output }}" if i else "")),
        }
        for i in range(200)
    ]
    # Of this thread: others may have the processor too.
    started = time.thread_time()
    assert problems(*nodes, inputs={"go": {"type": "text"}}) == []
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize(
    "junk", [None, 5, "x", "", [], {}, [[]], {"a": 1}, True, [None], {"": {}}, ["a", {"node": []}]]
)
@pytest.mark.parametrize(
    "word", ["name", "inputs", "nodes", "id", "type", "config", "needs", "when", "retry", "do", "items"]
)
def test_whatever_stands_where_is_a_problem_and_no_crash(word: str, junk: object) -> None:
    node: dict[str, Any] = {"id": "a", **foreach(count=1)}
    document: dict[str, Any] = {
        "name": "x",
        "inputs": {"i": {"type": "text"}},
        "nodes": [node, {"id": "b", "needs": ["a"], **LLM}],
    }
    if word in ("name", "inputs", "nodes"):
        document[word] = junk
    elif word in ("do", "items"):
        node["config"][word] = junk
    else:
        node[word] = junk
    found = find_problems(document, TYPES)
    for problem in found:
        assert problem.code
        assert problem.message
    if not found:
        Workflow.model_validate(document)
