"""Random workflows and what is to happen at their nodes, and the plain model of what must come out of them."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from offbook.nodes.registry import NodeRegistry
from offbook.workflows.budgets import Budget, BudgetScope, BudgetUnit
from offbook.workflows.document import Workflow
from offbook.workflows.plan import Plan, PlanNode, compile_plan
from offbook.workflows.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from offbook.workflows.forking import Edits
    from tests.simulation.forks import Parent

TYPES = NodeRegistry.with_builtins()

OK = "ok"
RETRYABLE = "retryable"
FATAL = "fatal"
REFUSED = "refused by a check"

Place = tuple[str, int | None]
"""A node, or an item of a foreach."""


@dataclass(slots=True)
class Story:
    """One execution: its workflow, inputs, and how each attempt at each place ends."""

    plan: Plan
    inputs: JsonObject
    durability: str
    outcomes: dict[Place, list[str]] = field(default_factory=dict)
    """By attempt, from 1; attempts past the end succeed."""
    parent: Parent | None = None
    """Of a fork: what it was forked from, and which outputs were edited."""
    budget: Budget | None = None

    def outcome(self, place: Place, attempt: int) -> str:
        script = self.outcomes.get(place, [])
        return script[attempt - 1] if attempt <= len(script) else OK


def draw(chance: random.Random) -> Story:
    """Draw an acyclic graph with branches, conditions, fan-outs, retries, waits and approvals."""
    count = min(12, 2 + int(chance.expovariate(0.22)))
    inputs: JsonObject = {"yes": True, "no": False, "n": chance.randrange(5)}
    outcomes: dict[Place, list[str]] = {}
    nodes: list[JsonObject] = []
    for number in range(count):
        node_id = f"n{number}"
        node: JsonObject = {"id": node_id, **_body(chance, node_id, inputs, outcomes)}
        if number and chance.random() < 0.85:
            needs = chance.sample(range(number), min(number, chance.choice((1, 1, 1, 2, 3))))
            node["needs"] = [_need(chance, f"n{need}") for need in sorted(needs)]
        if chance.random() < 0.12:
            node["when"] = f"inputs.{chance.choice(('yes', 'no'))}"
        nodes.append(node)
    document: JsonObject = {
        "name": "story",
        "inputs": {
            "yes": {"type": "boolean"},
            "no": {"type": "boolean"},
            "n": {"type": "integer"},
        },
        "nodes": nodes,
        "restart": {"max_restarts": chance.choice((0, 2, 100)), "within": 1.0},
    }
    durability = chance.choice(("sync", "async", "async", "exit"))
    # Of a chance of its own, so that seeds without checks are what they were before there were checks.
    own = random.Random(hash(chance.getstate()[1]))
    if own.random() < 0.3:
        for node in nodes:
            _add_checks(own, node, inputs, outcomes)
    budget = None
    if chance.random() < 0.15:
        budget = Budget(BudgetScope.EXECUTION, BudgetUnit.TOKENS, chance.randrange(25))
    return Story(compile_plan(Workflow.model_validate(document), TYPES), inputs, durability, outcomes, budget=budget)


def _need(chance: random.Random, node_id: str) -> Any:
    if chance.random() < 0.15:
        return {"node": node_id, "when": f"inputs.{chance.choice(('yes', 'no'))}"}
    return node_id


def _body(chance: random.Random, node_id: str, inputs: JsonObject, outcomes: dict[Place, list[str]]) -> JsonObject:
    kind = chance.random()
    call: JsonObject = {"type": "python", "config": {"function": "simulated"}}
    if kind < 0.08:
        return {"type": "wait", "config": {"seconds": round(chance.uniform(0, 30), 2)}}
    if kind < 0.15:
        return {"type": "approval", "config": {"signal": node_id}}
    body = dict(call)
    items: list[int | None] = [None]
    if kind < 0.38:
        body = {
            "type": "foreach",
            "config": {"count": "inputs.n", "concurrency": chance.choice((1, 1, 2, 3)), "do": call},
        }
        items = list(range(inputs["n"]))
    attempts = chance.choice((1, 1, 2, 3))
    if attempts > 1:
        body["retry"] = {"attempts": attempts, "delay": 0.5, "max_delay": 2.0}
    if chance.random() < 0.15:
        body["continue_on_error"] = True
    for item in items:
        if chance.random() < 0.2:
            outcomes[node_id, item] = [
                chance.choice((RETRYABLE, RETRYABLE, FATAL)) for _ in range(chance.choice((1, 1, 2)))
            ]
    return body


def _add_checks(
    chance: random.Random, node: JsonObject, inputs: JsonObject, outcomes: dict[Place, list[str]]
) -> None:
    """Have some outputs refused by a check, among whatever else is to happen to their attempts."""
    if node["type"] not in ("python", "foreach") or chance.random() < 0.4:
        return
    body = node
    if node["type"] == "foreach":
        body = node["config"]["do"] = dict(node["config"]["do"])
    body |= {"checks": ["empty"], "check_retry": {"attempts": chance.choice((1, 2, 3))}}
    for item in range(inputs["n"]) if node["type"] == "foreach" else (None,):
        if chance.random() < 0.5:
            script = [*outcomes.get((node["id"], item), []), *[REFUSED] * chance.choice((1, 1, 2, 4))]
            chance.shuffle(script)
            outcomes[node["id"], item] = script


def computed(node: PlanNode, item: int | None, upstream: list[JsonValue]) -> JsonValue:
    """What a node returns: a trace of all that it was given."""
    edition = node.body.config.get("args", {}).get("edition", 0)
    return [node.id, item, zlib.crc32(orjson.dumps([upstream, edition] if edition else upstream))]


def written(attempt: int) -> str:
    """What an attempt had written that was refused by a check."""
    return f"what attempt {attempt} wrote"


def reasons(attempt: int) -> tuple[str, ...]:
    """Why it was refused."""
    return (f"attempt {attempt} is too short", "it repeats itself")


def expected(
    story: Story, given_up: frozenset[Place], approved: dict[str, JsonValue], edits: Edits
) -> dict[str, JsonValue]:
    """Work out what each node that is not skipped must have given in the end, without any engine.

    `given_up`: places with `continue_on_error` that used up their attempts. `edits`: outputs given by hand.
    """
    outputs: dict[str, JsonValue] = {}
    skipped: set[int] = set()
    for node in story.plan.nodes:
        if not _runs(node, story.inputs, skipped):
            skipped.add(node.index)
            continue
        upstream = [outputs.get(story.plan.nodes[need].id) for need in node.needs]
        if node.foreach is not None:
            outputs[node.id] = [
                edits.get((node.id, item), computed(node, item, upstream))
                if (node.id, item) not in given_up
                else None
                for item in range(story.inputs["n"])
            ]
        elif node.type == "wait":
            outputs[node.id] = None
        elif node.type == "approval":
            outputs[node.id] = approved.get(node.id)
        elif (node.id, None) not in given_up:
            outputs[node.id] = edits.get((node.id, None), computed(node, None, upstream))
    return outputs


def _runs(node: PlanNode, inputs: JsonObject, skipped: set[int]) -> bool:
    if node.condition is not None and not inputs[str(node.condition).removeprefix("inputs.")]:
        return False
    if not node.needs:
        return True
    return any(
        need not in skipped and (when is None or inputs[str(when).removeprefix("inputs.")])
        for need, when in zip(node.needs, node.edge_conditions, strict=True)
    )
