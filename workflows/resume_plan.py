"""What a resume would keep and repeat, and what that is likely to cost. Reads a run, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offbook.workflows.bookings import items_ahead
from offbook.workflows.errors import NotResumable
from offbook.workflows.estimates import Estimate, estimate_of, total_json
from offbook.workflows.plan import PlanNode
from offbook.workflows.receipt import Receipt
from offbook.workflows.run_state import RunState
from offbook.workflows.savings import would_keep
from offbook.workflows.states import ExecutionStatus, NodeStatus
from offbook.workflows.values import JsonObject
from offbook.workflows.work import Work


@dataclass(frozen=True, slots=True)
class Planned:
    """A node or item that would run; or several items that have not begun, as one."""

    node_id: str
    item: int | None
    count: int
    why: str
    estimate: Estimate

    def to_json(self, currency: str) -> JsonObject:
        return {
            "node_id": self.node_id,
            "item": self.item,
            "count": self.count,
            "why": self.why,
            "estimate": self.estimate.to_json(currency),
        }


def resume_plan(run: RunState, currency: str) -> JsonObject:
    """Say what a resume that came now would keep and repeat; NotResumable if it would be refused."""
    if run.status is ExecutionStatus.COMPLETED:
        raise NotResumable(run.execution_id, run.status)
    if run.status.at_rest:
        run.check_regenerations()
    planned = list(_planned(run))
    return {
        "execution_id": run.execution_id,
        "status": run.status.value,
        "keeps": keeps_json(would_keep(run), currency),
        "repeats": [each.to_json(currency) for each in planned],
        "estimated": total_json((each.estimate for each in planned), currency),
    }


def keeps_json(receipt: Receipt, currency: str) -> JsonObject:
    """Show what is kept as a receipt will show it."""
    shown = receipt.to_json(currency)
    return {"nodes": receipt.kept_nodes, "items": receipt.kept_items, **shown["saved"]}


def _planned(run: RunState) -> Iterator[Planned]:
    """Yield what has not finished, in document order; a branch that may be skipped is in it."""
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        if work.settled(node.continue_on_error):
            continue
        if node.foreach is None:
            yield Planned(node.id, None, 1, _why(run, node, None, work), estimate_of(node, None, run))
        elif work.items is None:
            count = items_ahead(node, run)
            estimate = estimate_of(node, 0, run).times(count)
            yield Planned(node.id, None, count, f"its items have not begun ({count} expected)", estimate)
        else:
            yield from _items(run, node, work.items)


def _items(run: RunState, node: PlanNode, items: list[Work]) -> Iterator[Planned]:
    """Yield items that were tried one by one, then those that have not begun, together."""
    waiting = []
    for item, each in enumerate(items):
        if each.settled(node.continue_on_error):
            continue
        if each.attempt or run.kept(node.id, item) is not None:
            yield Planned(node.id, item, 1, _why(run, node, item, each), estimate_of(node, item, run))
        else:
            waiting.append(item)
    if waiting:
        estimate = estimate_of(node, waiting[0], run).times(len(waiting))
        yield Planned(node.id, None, len(waiting), _not_begun(len(waiting)), estimate)


def _not_begun(count: int) -> str:
    return "1 item has not begun" if count == 1 else f"{count} items have not begun"


def _why(run: RunState, node: PlanNode, item: int | None, work: Work) -> str:
    if work.status is NodeStatus.FAILED:
        assert work.error is not None
        return f"it failed: {work.error.type}: {work.error.message}"
    if work.status is NodeStatus.CANCELLED:
        return "it was cancelled"
    if work.status is NodeStatus.WAITING:
        return "it waits"
    if work.attempt:
        return "it was under way"
    return "it has not begun" + ("; its parent's output may hold" if run.kept(node.id, item) is not None else "")
