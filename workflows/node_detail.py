"""One node as anybody is told of it who asks for it alone: with each of its items. Reads a run, changes nothing."""

from __future__ import annotations

from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import NodeStatus
from offbook.workflows.status import INLINE_OUTPUT_BYTES, item_entry, node_entry, output_url, waits
from offbook.workflows.values import JsonObject, JsonValue
from offbook.workflows.work import Work

MAX_ITEMS = 1000
"""Items of one answer at most."""


def node_detail(run: RunState, node_id: str, *, first: int = 0, limit: int = MAX_ITEMS) -> JsonObject:
    """Describe a node, and so many of its items from the `first`; KeyError if the workflow has no such node.

    An item that nothing has happened to is left out: it is pending.
    """
    node = run.plan.node(node_id)
    work = run.works[node.index]
    waiting = {each["item"]: each for _, each in waits(run) if each["node_id"] == node_id}
    items = work.items or []
    last = min(len(items), first + min(limit, MAX_ITEMS))
    return {
        "execution_id": run.execution_id,
        "node_id": node_id,
        "type": node.type,
        **node_entry(run, node, work, run.status),
        "waiting": waiting.get(None),
        "item_results": [
            {"item": item, **_item(run, node, item, items[item]), "waiting": waiting.get(item)}
            for item in range(first, last)
            if items[item].revision
        ],
        "next_item": last if last < len(items) else None,
    }


def _item(run: RunState, node: PlanNode, item: int, work: Work) -> JsonObject:
    entry = item_entry(run, node, item, work)
    url: JsonValue = None
    if work.status is NodeStatus.COMPLETED:
        url = f"{output_url(run, node.id)}?item={item}"
    entry["output_url"] = url
    if work.partial:
        entry["partial_output"] = work.partial[-INLINE_OUTPUT_BYTES:]
    return entry
