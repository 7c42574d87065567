"""What a workflow's expressions decide: conditions and item lists. Evaluates templates: for the node runner."""

from __future__ import annotations

from offbook.workflows import templates
from offbook.workflows.item_counts import read_count, read_items
from offbook.workflows.scope import Scope
from offbook.workflows.templates import TemplateError
from offbook.workflows.values import JsonValue


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
        return read_items(templates.evaluate(foreach.items, scope))
    return list(range(read_count(templates.evaluate(foreach.count, scope))))
