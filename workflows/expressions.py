"""What a workflow's expressions decide: conditions and item lists. Evaluates templates: for the node runner."""

from __future__ import annotations

from offbook.workflows import templates
from offbook.workflows.errors import OffbookError
from offbook.workflows.report import brief
from offbook.workflows.scope import Scope
from offbook.workflows.templates import TemplateError
from offbook.workflows.values import JsonValue

MAX_ITEMS = 100_000


class ItemsRefused(OffbookError):
    """The `count` or `items` of a foreach gave what is not a list or a sensible number."""


def edge_decisions(scope: Scope) -> tuple[tuple[bool, ...], bool]:
    """Evaluate the condition of each edge that leads to a node, and its own; TemplateError if one cannot be.

    One on the edge from a node without output, a skipped one perhaps, is then false. The node's own is asked only
    if an edge is open.
    """
    node = scope.node
    edges = tuple(
        condition is None or _is_open(need, condition, scope)
        for need, condition in zip(node.needs, node.edge_conditions, strict=True)
    )
    taken = not edges or any(edges)
    if taken and node.condition is not None:
        taken = templates.evaluate_condition(node.condition, scope)
    return edges, taken


def _is_open(need: int, condition: str | bool, scope: Scope) -> bool:
    try:
        return templates.evaluate_condition(condition, scope)
    except TemplateError:
        if scope.plan.nodes[need].id in scope.outputs:
            raise
        return False


def item_list(scope: Scope) -> list[JsonValue]:
    """Evaluate the items of a foreach; ItemsRefused if they are no list or no number of items."""
    foreach = scope.node.foreach
    assert foreach is not None
    if foreach.items is not None:
        items = templates.evaluate(foreach.items, scope)
        if not isinstance(items, list | tuple):
            raise ItemsRefused(f"items: must give a list, got {brief(items)}")
        if len(items) > MAX_ITEMS:
            raise ItemsRefused(f"items: {len(items)} are more than {MAX_ITEMS}")
        return list(items)
    count = templates.evaluate(foreach.count, scope)
    if isinstance(count, float) and count.is_integer():
        # An input that is a number: 3 and 3.0 are one to whoever fills in a form.
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_ITEMS:
        raise ItemsRefused(f"count: must give a whole number from 0 to {MAX_ITEMS}, got {brief(count)}")
    return list(range(count))
