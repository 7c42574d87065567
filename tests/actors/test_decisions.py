"""Conditions and item lists: what they decide, what they may not be, and that a fault in one is its node's error."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.actors.decisions import DecideTask, ExpandTask, decide, expand
from offbook.workflows import templates
from offbook.workflows.item_counts import MAX_ITEMS
from offbook.workflows.messages import EdgesDecided, ItemsExpanded
from offbook.workflows.values import JsonObject, JsonValue
from tests.actors.stage import Stage

STAGE = Stage(start=False)


def template(node_id: str, **more: Any) -> JsonObject:
    return {"id": node_id, "type": "template", "config": {"text": "a"}, **more}


def decided(*nodes: JsonObject, **view: Any) -> EdgesDecided:
    return decide(DecideTask(3, STAGE.scope(list(nodes), **view), lambda message: None), 5.0)


def expanded(config: JsonObject, **view: Any) -> ItemsExpanded:
    node = {
        "id": "node",
        "type": "foreach",
        "config": {**config, "do": {"type": "template", "config": {"text": "a"}}},
    }
    scope = STAGE.scope([template("before"), {**node, "needs": ["before"]}], **view)
    return expand(ExpandTask(3, scope, lambda message: None), 5.0)


def refusal(told: EdgesDecided | ItemsExpanded) -> str:
    assert told.error is not None
    assert (told.error.type, told.error.retryable) == ("validation", False)
    return told.error.message


# Conditions


@pytest.mark.parametrize(
    "when", ["inputs.cover", "{{ inputs.cover }}", "inputs.cover and 1 < 2", "not not inputs.cover"]
)
@pytest.mark.parametrize("cover", [True, False])
def test_condition_of_a_node_says_whether_it_runs(when: str, cover: bool) -> None:
    told = decided(template("node", when=when), inputs={"cover": cover})
    assert told == EdgesDecided("node", 3, (), cover, 5.0)


@pytest.mark.parametrize("when", [True, False])
def test_condition_may_be_plain(when: bool) -> None:
    assert decided(template("node", when=when)).taken is when


def test_each_edge_has_its_own_answer_in_the_order_of_the_document() -> None:
    needs = [{"node": "a", "when": "inputs.cover"}, "b", {"node": "c", "when": "not inputs.cover"}]
    told = decided(
        template("a"), template("b"), template("c"), template("node", needs=needs), inputs={"cover": False}
    )
    assert (told.edges, told.taken, told.error) == ((False, True, True), True, None)


def test_condition_sees_what_is_upstream() -> None:
    node = template("node", needs=[{"node": "a", "when": "nodes.a.output.score > 5"}])
    for score, taken in ((7, True), (5, False)):
        assert decided(template("a"), node, outputs={"a": {"score": score}}).edges == (taken,)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("inputs.chapters", "must give a boolean"),
        ("inputs.nothing", "inputs.nothing"),
        ("nodes.aside.output", "does not need `aside`"),
        ("1 / 0 > 1", "division"),
        ("inputs.chapters >", ""),
        ("range(10**9) | list", ""),
    ],
)
def test_condition_that_decides_nothing_is_the_nodes_error(when: str, said: str) -> None:
    told = decided(template("aside"), template("node", when=when), inputs={"chapters": 3}, outputs={"aside": True})
    message = refusal(told)
    assert message.startswith("when: ")
    assert said in message


def test_condition_that_decides_nothing_is_an_error_on_an_edge_too() -> None:
    node = template("node", needs=[{"node": "a", "when": "nodes.a.output.score > 5"}])
    assert "score" in refusal(decided(template("a"), node, outputs={"a": {}}))


def test_edge_from_a_node_without_output_is_closed_if_it_asks_for_one() -> None:
    needs = [{"node": "a", "when": "nodes.a.output.score > 5"}, {"node": "b", "when": "nodes.b.output.score > 5"}]
    nodes = (template("a"), template("b"), template("node", needs=needs))
    told = decided(*nodes, outputs={"b": {"score": 7}})
    assert (told.edges, told.taken, told.error) == ((False, True), True, None)


def test_edge_may_lead_round_a_node_that_gave_nothing() -> None:
    node = template("node", needs=[{"node": "a", "when": "nodes.a.output is none"}])
    assert decided(template("a"), node).edges == (True,)
    assert decided(template("a"), node, outputs={"a": "text"}).edges == (False,)


def test_condition_of_a_node_that_no_edge_leads_to_is_not_asked() -> None:
    node = template("node", needs=[{"node": "a", "when": False}], when="nodes.a.output.score > 5")
    told = decided(template("a"), node)
    assert (told.edges, told.taken, told.error) == ((False,), False, None)


# Items


@pytest.mark.parametrize(
    ("config", "items"),
    [
        ({"count": 3}, (0, 1, 2)),
        ({"count": 0}, ()),
        ({"count": "inputs.chapters"}, (0, 1)),
        ({"count": "{{ inputs.chapters + 1 }}"}, (0, 1, 2)),
        ({"count": "inputs.chapters / 1"}, (0, 1)),
        ({"count": "nodes.before.output | length"}, (0, 1, 2)),
        ({"items": "nodes.before.output"}, ("x", None, {"y": 1})),
        ({"items": "{{ nodes.before.output[:1] }}"}, ("x",)),
        ({"items": ["a", "{{ inputs.chapters }}", {"n": "{{ inputs.chapters }}"}]}, ("a", 2, {"n": 2})),
        ({"items": []}, ()),
        ({"items": "range(inputs.chapters)"}, (0, 1)),
    ],
)
def test_items_are_counted_or_listed(config: JsonObject, items: tuple[JsonValue, ...]) -> None:
    told = expanded(config, inputs={"chapters": 2}, outputs={"before": ["x", None, {"y": 1}]})
    assert told == ItemsExpanded("node", 3, items, 5.0)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"count": "inputs.cover"}, "got true"),
        ({"count": "inputs.half"}, "got 0.5"),
        ({"count": "inputs.text"}, "got 'xxx"),
        ({"count": "-1"}, "got -1"),
        ({"count": MAX_ITEMS + 1}, f"from 0 to {MAX_ITEMS}"),
        ({"count": "inputs.nothing"}, "inputs.nothing"),
        ({"items": "inputs.text"}, "must give a list, got 'xxx"),
        ({"items": "inputs"}, "must give a list, got {"),
        ({"items": "none"}, "must give a list, got nothing"),
    ],
)
def test_items_that_are_none_are_the_nodes_error(config: JsonObject, said: str) -> None:
    told = expanded(config, inputs={"cover": True, "half": 0.5, "text": "x" * 10_000})
    message = refusal(told)
    assert said in message
    assert len(message) < 300
    assert told.items == ()


def test_list_that_is_too_long_is_refused() -> None:
    assert "more than" in refusal(
        expanded({"items": "nodes.before.output"}, outputs={"before": [0] * (MAX_ITEMS + 1)})
    )
    assert len(expanded({"items": "nodes.before.output"}, outputs={"before": [0] * MAX_ITEMS}).items) == MAX_ITEMS


def test_fault_that_nobody_thought_of_is_the_nodes_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a decision waits for ever if none comes."""

    def broken(*_: object) -> bool:
        raise SystemError("a fault of ours")

    monkeypatch.setattr(templates, "evaluate", broken)
    monkeypatch.setattr(templates, "evaluate_condition", broken)
    for told in (decided(template("node", when="true")), expanded({"count": 3})):
        assert told.error is not None
        assert (told.error.type, told.error.message) == ("crash", "SystemError: a fault of ours")
