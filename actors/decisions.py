"""Conditions and item lists: what a workflow's expressions decide. Evaluated on the node runner, never elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offbook.actors.outcomes import crash_error
from offbook.workflows.errors import OffbookError
from offbook.workflows.expressions import edge_decisions, item_list
from offbook.workflows.messages import EdgesDecided, ItemsExpanded, RunMessage
from offbook.workflows.scope import Scope
from offbook.workflows.values import NodeError


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


def decide(task: DecideTask, now: float) -> EdgesDecided:
    """Evaluate every condition; one that cannot be evaluated is the node's error."""
    node = task.scope.node
    edges: tuple[bool, ...] = ()
    taken = True
    error: NodeError | None = None
    try:
        edges, taken = edge_decisions(task.scope)
    except OffbookError as refused:
        error = NodeError("validation", f"when: {refused}")
    except Exception as fault:  # noqa: BLE001 - an expression's failure is data for the run
        error = crash_error(fault)
    return EdgesDecided(node.id, task.epoch, edges, taken, now, error)


def expand(task: ExpandTask, now: float) -> ItemsExpanded:
    """Evaluate the items; what is not a list or a number of items is the node's error."""
    node = task.scope.node
    try:
        return ItemsExpanded(node.id, task.epoch, tuple(item_list(task.scope)), now)
    except OffbookError as refused:
        return ItemsExpanded(node.id, task.epoch, (), now, NodeError("validation", str(refused)))
    except Exception as fault:  # noqa: BLE001 - an expression's failure is data for the run
        return ItemsExpanded(node.id, task.epoch, (), now, crash_error(fault))
