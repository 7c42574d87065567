"""A workflow as a picture: its nodes with what people read on them, its edges, and where each is drawn."""

from __future__ import annotations

from offbook.workflows.layout import HEIGHT, WIDTH, lay_out
from offbook.workflows.plan import Plan, PlanNode
from offbook.workflows.values import JsonObject


def picture_of(plan: Plan) -> JsonObject:
    """Lay a workflow out: `{name, fingerprint, width, height, nodes, edges}`, in pixels at full size."""
    layout = lay_out([node.needs for node in plan.nodes])
    return {
        "name": plan.workflow.name,
        "fingerprint": plan.fingerprint,
        "description": plan.workflow.description,
        "width": layout.width,
        "height": layout.height,
        "nodes": [
            {**_node(node), "x": x, "y": y, "width": WIDTH, "height": HEIGHT}
            for node, (x, y) in zip(plan.nodes, layout.corners, strict=True)
        ],
        "edges": [
            {
                "from": plan.nodes[edge.source].id,
                "to": plan.nodes[edge.target].id,
                "when": _when(plan.nodes[edge.target], edge.source),
                "points": [list(point) for point in edge.points],
            }
            for edge in layout.edges
        ],
    }


def _node(node: PlanNode) -> JsonObject:
    model = node.body.config.get("model")
    return {
        "id": node.id,
        "label": node.label,
        "type": node.body.type,
        "foreach": node.foreach is not None,
        "model": model if isinstance(model, str) else None,
        "when": _shown(node.condition),
        "needs_prompt": isinstance(node.body.config.get("prompt"), str),
    }


def _when(node: PlanNode, source: int) -> str | None:
    return next(
        (_shown(when) for need, when in zip(node.needs, node.edge_conditions, strict=True) if need == source), None
    )


def _shown(condition: str | bool | None) -> str | None:
    return condition if condition is None or isinstance(condition, str) else str(condition).lower()
