"""Conditions and item lists: what a workflow's expressions decide. Evaluated on the node runner, never elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offbook.actors.outcomes import crash_error
from offbook.workflows import templates
from offbook.workflows.errors import OffbookError
from offbook.workflows.messages import EdgesDecided, ItemsExpanded, RunMessage
from offbook.workflows.report import brief
from offbook.workflows.scope import Scope
from offbook.workflows.templates import TemplateError
from offbook.workflows.values import JsonValue, NodeError

MAX_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class DecideTask:
    """Execution to node runner: evaluate the conditions that lead to a node."""

    epoch: int
    scope: Scope
    reply: Callable[[RunMessage], None]


@dataclass(frozen=True, slots=True)
class ExpandTask:
    """Execution to node runner: evaluate the items of a foreach."""

    epoch: int
    scope: Scope
    reply: Callable[[RunMessage], None]


class ItemsRefused(OffbookError):
    """The `count` or `items` of a foreach gave what is not a list or a sensible number."""


def decide(task: DecideTask, now: float) -> EdgesDecided:
    """Evaluate every condition; one that cannot be evaluated is the node's error.

    One on the edge from a node without output, a skipped one perhaps, is then false. The node's own is asked only
    if an edge is open.
    """
    node = task.scope.node
    edges: list[bool] = []
    taken = True
    error: NodeError | None = None
    try:
        for need, condition in zip(node.needs, node.edge_conditions, strict=True):
            edges.append(condition is None or _is_open(need, condition, task.scope))
        taken = not edges or any(edges)
        if taken and node.condition is not None:
            taken = templates.evaluate_condition(node.condition, task.scope)
    except OffbookError as refused:
        error = NodeError("validation", f"when: {refused}")
    except Exception as fault:  # noqa: BLE001 - an expression's failure is data for the run
        error = crash_error(fault)
    return EdgesDecided(node.id, task.epoch, tuple(edges), taken, now, error)


def _is_open(need: int, condition: str | bool, scope: Scope) -> bool:
    try:
        return templates.evaluate_condition(condition, scope)
    except TemplateError:
        if scope.plan.nodes[need].id in scope.outputs:
            raise
        return False


def expand(task: ExpandTask, now: float) -> ItemsExpanded:
    """Evaluate the items; what is not a list or a number of items is the node's error."""
    node = task.scope.node
    try:
        return ItemsExpanded(node.id, task.epoch, tuple(_items(task.scope)), now)
    except OffbookError as refused:
        return ItemsExpanded(node.id, task.epoch, (), now, NodeError("validation", str(refused)))
    except Exception as fault:  # noqa: BLE001 - an expression's failure is data for the run
        return ItemsExpanded(node.id, task.epoch, (), now, crash_error(fault))


def _items(scope: Scope) -> list[JsonValue]:
    foreach = scope.node.foreach
    assert foreach is not None
    if foreach.items is not None:
        items = templates.evaluate(foreach.items, scope)
        if not isinstance(items, list | tuple):
            raise ItemsRefused(f"items: must give a list, got {type(items).__name__}")
        if len(items) > MAX_ITEMS:
            raise ItemsRefused(f"items: {len(items)} are more than {MAX_ITEMS}")
        return list(items)
    count = templates.evaluate(foreach.count, scope)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_ITEMS:
        raise ItemsRefused(f"count: must give a whole number from 0 to {MAX_ITEMS}, got {brief(count)}")
    return list(range(count))
