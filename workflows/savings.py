"""What a run has done that need not be done again: what is kept, what it cost, how long it took."""

from __future__ import annotations

from offbook.workflows.receipt import Receipt
from offbook.workflows.reuse import Place
from offbook.workflows.run_state import RunState
from offbook.workflows.states import NodeStatus
from offbook.workflows.values import Usage
from offbook.workflows.wall_time import shares


def would_keep(run: RunState) -> Receipt:
    """Return the receipt of a resume that came now: what is completed is kept."""
    receipt = Receipt()
    seconds = seconds_taken(run)
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        each = run.each_of(node.index)[1:] if work.items is not None else [(None, work)]
        kept = [item for item, entry in each if entry.status is NodeStatus.COMPLETED]
        if work.status is NodeStatus.COMPLETED:
            receipt.kept_nodes += 1
        if work.items is not None:
            receipt.kept_items += len(kept)
        for item in kept:
            receipt.save(spent(run, node.id, item), seconds[node.id, item])
    return receipt


def spent(run: RunState, node_id: str, item: int | None) -> Usage:
    """Return the tokens of a node or item; of one that was reused, those of the parent."""
    work = run.work_at(run.plan.index[node_id], item)
    kept = run.kept(node_id, item) if work.reused else None
    return kept.usage if kept is not None else work.usage


def seconds_taken(run: RunState) -> dict[Place, float]:
    """Return how long each completed node and item took that has an output of its own, from its first start on.

    What ran side by side counts once, so that all together are no more than went by. One that was reused has
    what it had in the parent.
    """
    found: dict[Place, float] = {}
    spans: list[tuple[Place, float, float]] = []
    for node in run.plan.nodes:
        for item, each in run.each_of(node.index):
            if each.status is not NodeStatus.COMPLETED or (item is None and each.items is not None):
                continue
            place = (node.id, item)
            kept = run.kept(node.id, item) if each.reused else None
            if kept is not None:
                found[place] = kept.seconds
            else:
                found[place] = 0.0
                if each.started_at is not None and each.finished_at is not None:
                    spans.append((place, each.started_at, each.finished_at))
    found.update(shares(spans))
    return found
