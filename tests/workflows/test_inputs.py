"""Inputs of executions: defaults, conversions, and every problem at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbook.workflows.document import Workflow
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.inputs import check_inputs


def workflow(**inputs: dict[str, Any]) -> Workflow:
    return Workflow.model_validate({"name": "x", "inputs": inputs, "nodes": [{"id": "a", "type": "output"}]})


def refuse(definition: Workflow, inputs: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(ValidationFailed) as refused:
        check_inputs(definition, inputs)
    return refused.value.problems


@pytest.mark.parametrize(
    ("field", "given_value", "value"),
    [
        ({"type": "text"}, "", ""),
        ({"type": "text"}, "12", "12"),
        ({"type": "file"}, "a\nb", "a\nb"),
        ({"type": "integer"}, 12, 12),
        ({"type": "integer"}, "12", 12),
        ({"type": "integer"}, " -3 ", -3),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "number"}, 1, 1),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "number"}, "2", 2),
        ({"type": "boolean"}, True, True),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "select", "options": ["a", 2, True]}, "a", "a"),
        ({"type": "select", "options": ["a", 2, True]}, 2, 2),
        ({"type": "select", "options": ["a", 2, True]}, "2", 2),
        ({"type": "select", "options": [1, True]}, True, True),
        ({"type": "select", "options": ["a", "b"], "multiple": True}, ["b", "a"], ["b", "a"]),
        ({"type": "select", "options": ["a", "b"], "multiple": True}, "b", ["b"]),
        ({"type": "select", "options": ["a", "b"], "multiple": True}, [], []),
        ({"type": "list"}, [1, {"a": None}], [1, {"a": None}]),
        ({"type": "list"}, '["a"]', ["a"]),
        ({"type": "object"}, {"a": [1]}, {"a": [1]}),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_value_is_accepted(field: dict[str, Any], given_value: object, value: object) -> None:
    checked = check_inputs(workflow(x=field), {"x": given_value})
    assert checked == {"x": value}
    assert type(checked["x"]) is type(value)


@pytest.mark.parametrize(
    ("field", "given_value", "code", "said"),
    [
        ({"type": "text"}, 5, "wrong-type", "must be text, got 5"),
        ({"type": "text"}, ["a"], "wrong-type", "must be text"),
        ({"type": "file"}, {}, "wrong-type", "must be text"),
        ({"type": "integer"}, "1.5", "wrong-type", "a whole number"),
        ({"type": "integer"}, 1.5, "wrong-type", "a whole number"),
        ({"type": "integer"}, True, "wrong-type", "got true"),
        ({"type": "integer"}, "1" * 40, "wrong-type", "a whole number"),
        ({"type": "number"}, "nan", "wrong-type", "a number"),
        ({"type": "number"}, "x", "wrong-type", "a number"),
        ({"type": "boolean"}, "yes", "wrong-type", "true or false"),
        ({"type": "boolean"}, 1, "wrong-type", "true or false"),
        ({"type": "select", "options": ["horror", "romance"]}, "horor", "unknown-option", "did you mean `horror`?"),
        ({"type": "select", "options": [1]}, True, "unknown-option", "one of 1"),
        ({"type": "select", "options": ["a"], "multiple": True}, ["a", "z"], "unknown-option", "got 'z'"),
        ({"type": "list"}, "a, b", "wrong-type", "a list"),
        ({"type": "list"}, "[1,", "wrong-type", "must be JSON"),
        ({"type": "object"}, [], "wrong-type", "an object"),
    ],
)
def test_value_is_refused(field: dict[str, Any], given_value: object, code: str, said: str) -> None:
    (problem,) = refuse(workflow(x=field), {"x": given_value})
    assert (problem.code, problem.path) == (code, "inputs.x")
    assert said in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize("given_inputs", [{}, {"premise": None}])
def test_missing_required_input_is_named(given_inputs: dict[str, Any]) -> None:
    definition = workflow(premise={"type": "text", "required": True, "description": "what it is about"})
    (problem,) = refuse(definition, given_inputs)
    assert (problem.code, problem.path) == ("missing-input", "inputs.premise")
    assert "what it is about" in problem.hint


def test_all_problems_come_at_once() -> None:
    definition = workflow(premise={"required": True}, n={"type": "integer"}, ok={"type": "text"})
    found = refuse(definition, {"n": "x", "premis": "a lamp", "ok": "fine", "zzz": 1})
    assert [(p.code, p.path) for p in found] == [
        ("unknown-input", "inputs.premis"),
        ("unknown-input", "inputs.zzz"),
        ("missing-input", "inputs.premise"),
        ("wrong-type", "inputs.n"),
    ]
    assert found[0].hint == "did you mean `premise`?"


def foreach(node_id: str, *, needs: list[Any] | None = None, **config: Any) -> dict[str, Any]:
    more: dict[str, Any] = {word: config.pop(word) for word in ("when", "continue_on_error") if word in config}
    do = {"type": "output", "config": {"value": 1}}
    return {"id": node_id, "type": "foreach", "config": {**config, "do": do}, "needs": needs or [], **more}


COUNTED = {"n": {"type": "number", "default": 2}, "topics": {"type": "list"}, "premise": {"required": True}}


def fan_outs(*nodes: dict[str, Any]) -> Workflow:
    return Workflow.model_validate({"name": "x", "inputs": COUNTED, "nodes": list(nodes)})


@pytest.mark.parametrize(
    ("config", "value", "code", "said"),
    [
        ({"count": "inputs.n"}, -1, "out-of-range", "a whole number from 0 to 100000, got -1"),
        ({"count": "{{ inputs.n }}"}, 100_001, "out-of-range", "a whole number from 0 to 100000, got 100001"),
        ({"count": "inputs.n"}, 2.5, "count-not-number", "a whole number from 0 to 100000, got 2.5"),
        ({"items": "inputs.n"}, 2, "items-not-list", "a list, got 2"),
        ({"items": "inputs.topics"}, [0] * 100_001, "out-of-range", "no more than 100000, got 100001"),
    ],
)
def test_number_of_items_that_cannot_be_is_refused(config: Any, value: Any, code: str, said: str) -> None:
    (word, written) = next(iter(config.items()))
    name = written.strip("{ }").removeprefix("inputs.")
    definition = fan_outs({"id": "a", "type": "output"}, foreach("parts", needs=["a"], **config))
    (problem,) = refuse(definition, {"premise": "x", name: value})
    assert (problem.code, problem.path, problem.node_id) == (code, f"inputs.{name}", "parts")
    assert problem.message == f"the `{word}` of `parts` must give {said}"


def test_numbers_of_items_are_refused_together_with_other_inputs() -> None:
    definition = fan_outs(foreach("parts", count="inputs.n"), foreach("more", count="inputs.n"))
    found = refuse(definition, {"n": -1, "topics": "x"})
    assert [(p.path, p.node_id) for p in found] == [
        ("inputs.topics", None),
        ("inputs.premise", None),
        ("inputs.n", "parts"),
        ("inputs.n", "more"),
    ]


@pytest.mark.parametrize("value", [0, 3, 3.0, 100_000, None])
def test_number_of_items_within_the_limits_is_accepted(value: Any) -> None:
    check_inputs(fan_outs(foreach("parts", count="inputs.n")), {"n": value, "premise": "x"})


FIRST: dict[str, Any] = {"id": "a", "type": "output"}
ON_CONDITION: dict[str, Any] = {"id": "b", "type": "output", "needs": ["a"], "when": "inputs.n > 0"}


@pytest.mark.parametrize(
    "nodes",
    [
        [FIRST, foreach("parts", count="inputs.n", needs=["a"], when="inputs.n > 0")],
        [FIRST, foreach("parts", count="inputs.n", needs=[{"node": "a", "when": "inputs.n > 0"}])],
        [FIRST, ON_CONDITION, foreach("parts", count="inputs.n", needs=["b"])],
        [FIRST, foreach("parts", count="inputs.n", needs=["a"], continue_on_error=True)],
        [FIRST, foreach("parts", count="[inputs.n, 0] | max", needs=["a"])],
    ],
    ids=["its own condition", "an edge's", "one before it", "may fail", "no plain input"],
)
def test_number_of_items_that_may_never_be_asked_for_is_left_to_the_run(nodes: list[dict[str, Any]]) -> None:
    assert check_inputs(fan_outs(*nodes), {"n": -1, "premise": "x"})["n"] == -1


def test_another_way_to_a_foreach_makes_it_certain() -> None:
    nodes = [FIRST, ON_CONDITION, foreach("parts", count="inputs.n", needs=["b", "a"], when=True)]
    (problem,) = refuse(fan_outs(*nodes), {"n": -1, "premise": "x"})
    assert problem.node_id == "parts"


def test_defaults_are_filled_in() -> None:
    definition = workflow(
        a={"type": "integer", "default": 3},
        b={"type": "boolean", "default": True},
        c={"type": "select", "options": ["x", "y"], "multiple": True, "default": ["y"]},
    )
    assert check_inputs(definition, {"a": None}) == {"a": 3, "b": True, "c": ["y"]}


def test_optional_input_that_is_not_given_is_empty() -> None:
    definition = workflow(
        a={"type": "text"},
        b={"type": "boolean"},
        c={"type": "list"},
        d={"type": "select", "options": ["x"], "multiple": True},
        e={"type": "object"},
        f={"type": "integer"},
    )
    assert check_inputs(definition, {}) == {"a": None, "b": False, "c": [], "d": [], "e": None, "f": None}


def test_pain_47_long_text_is_never_cut() -> None:
    transcript = "word " * 400_000
    checked = check_inputs(workflow(transcript={"type": "file", "required": True}), {"transcript": transcript})
    assert checked["transcript"] is transcript


@pytest.mark.parametrize("value", [[float("inf")], [2**80], ["\udfff"], [{1: 2}], [object()]])
def test_value_that_is_no_json_is_refused(value: list[object]) -> None:
    (problem,) = refuse(workflow(x={"type": "list"}), {"x": value})
    assert problem.code == "not-json"
    assert problem.path.startswith("inputs.x[0]")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "f", "zzz"]), json_values, max_size=5))
def test_checking_accepted_inputs_again_changes_nothing(inputs: dict[str, Any]) -> None:
    definition = workflow(
        a={"type": "text"},
        b={"type": "integer"},
        c={"type": "boolean", "default": True},
        d={"type": "list"},
        e={"type": "object"},
        f={"type": "number", "default": 0.5},
    )
    try:
        checked = check_inputs(definition, inputs)
    except ValidationFailed:
        # What is refused has nothing to be checked again.
        return
    assert check_inputs(definition, json.loads(json.dumps(checked))) == checked
