"""What a run has to enter into the ledger: with its insert, with a claim, with each save. Stores nothing."""

from __future__ import annotations

from offbook.workflows.document import ForeachConfig
from offbook.workflows.item_counts import input_of
from offbook.workflows.ledger import NO_ITEM, Bookings, Entry, EntryKind
from offbook.workflows.money import MOST_COST
from offbook.workflows.plan import PlanNode
from offbook.workflows.receipt import Receipt
from offbook.workflows.run_state import RunState
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject, Usage
from offbook.workflows.work import Work


def reservation(run: RunState, epoch: int, at: float, user: ExecutionUser | None = None) -> Bookings | None:
    """Return what a run reserves when it begins or goes on in an epoch; None if nothing in it is known to cost.

    `user`: on whose behalf it is to go on, if that changes. More than the books can keep is cut.
    """
    if not run.plan.is_paid:
        return None
    usage = expected_usage(run)
    if not usage.tokens:
        return None
    asked, answered, estimated, cost, unpriced = usage
    usage = Usage(min(asked, MOST_COST), min(answered, MOST_COST), estimated, min(cost, MOST_COST), unpriced)
    return Bookings(
        user.id if user else user_of(run), (Entry(EntryKind.RESERVE, "", NO_ITEM, 0, epoch, at, "", usage),)
    )


def settlement(run: RunState) -> Bookings | None:
    """Return what a save of a run enters; None if there is nothing."""
    entries = tuple(run.unsettled or ())
    if run.receipt is not None and run.receipt.saved_tokens:
        entries = (*entries, _saved(run, run.receipt))
    if not entries and not run.plan.is_paid:
        return None
    return Bookings(user_of(run), entries, release=run.plan.is_paid)


def expected_usage(run: RunState) -> Usage:
    """Guess what a run will use until it is completed: one attempt at each node and item that is not settled."""
    total = NO_USAGE
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        if node.estimate is not None and node.estimate.tokens and not work.settled(node.continue_on_error):
            count = _attempts_left(node, work, run)
            total = total + _times(node.estimate, count) if count else total
    return total


def user_of(run: RunState) -> str:
    return run.user.id if run.user is not None else ""


def _attempts_left(node: PlanNode, work: Work, run: RunState) -> int:
    """Count attempts; in a fork without those that may be spared by what it can keep."""
    if node.foreach is None:
        return 0 if run.kept(node.id, None) is not None else 1
    if work.items is not None:
        left = [item for item, each in enumerate(work.items) if not each.settled(node.continue_on_error)]
        return sum(run.kept(node.id, item) is None for item in left)
    count = items_ahead(node, run)
    if run.reuse is None:
        return count
    usable = sum(run.kept(*place) is not None for place in run.reuse.places if place[0] == node.id)
    return max(0, count - usable)


def items_ahead(node: PlanNode, run: RunState) -> int:
    """Say how many items a foreach will have, where that needs no template; else one."""
    assert node.foreach is not None
    return _count(node.foreach, run.inputs)


def _count(foreach: ForeachConfig, inputs: JsonObject) -> int:
    """Say how many items there will be, where that needs no template; else one."""
    written = foreach.count if foreach.count is not None else foreach.items
    if isinstance(written, str):
        name = input_of(written)
        written = inputs.get(name) if name else None
    if isinstance(written, int):
        return max(0, int(written))
    return len(written) if isinstance(written, list) else 1


def _times(usage: Usage, count: int) -> Usage:
    return Usage(usage.input_tokens * count, usage.output_tokens * count, True, usage.cost * count, usage.unpriced)


def _saved(run: RunState, receipt: Receipt) -> Entry:
    usage = Usage(receipt.saved_tokens, cost=receipt.saved_cost, unpriced=receipt.saved_unpriced)
    return Entry(EntryKind.SAVED, "", NO_ITEM, 1, run.epoch, run.now, "", usage)
