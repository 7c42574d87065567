"""What a run owes the ledger for its attempts, also for those that were lost. Enters nothing."""

from __future__ import annotations

from offbook.workflows.ledger import NO_ITEM, Entry, EntryKind
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.values import NO_USAGE, Usage
from offbook.workflows.work import Work


def charge(run: RunState, node: PlanNode, item: int | None, work: Work, usage: Usage, model: str) -> None:
    """Owe the ledger what an attempt used, and as much for each call there that was lost before it."""
    if usage is NO_USAGE or not (usage.input_tokens or usage.output_tokens or usage.cost):
        return
    _owe(run, node, item, work.attempt, run.epoch, usage, model)
    if run.lost_calls:
        _write_off(run, node, item, work, usage, model)


def _write_off(run: RunState, node: PlanNode, item: int | None, work: Work, usage: Usage, model: str) -> None:
    """Owe the ledger what calls that were lost with their incarnation are taken to have used."""
    assert run.lost_calls is not None
    estimate = usage._replace(estimated=True)
    for attempt, epoch in run.lost_calls.pop((node.index, item), ()):
        work.usage = work.usage + estimate
        _owe(run, node, item, attempt, epoch, estimate, model)


def write_off_the_rest(run: RunState) -> None:
    """Perhaps nothing makes the calls again that were lost: they used what they had shown, or were to use.

    Those of which neither is known wait for the next call at their place.
    """
    for index, item in list(run.lost_calls or ()):
        node, work = run.plan.nodes[index], run.work_at(index, item)
        if work.live_usage.tokens:
            _write_off(run, node, item, work, work.live_usage, work.live_model or node.model)
        elif node.estimate is not None and node.estimate.tokens:
            _write_off(run, node, item, work, node.estimate, node.model)
        work.live_usage = NO_USAGE


def _owe(run: RunState, node: PlanNode, item: int | None, attempt: int, epoch: int, usage: Usage, model: str) -> None:
    if run.unsettled is None:
        run.unsettled = []
    place = NO_ITEM if item is None else item
    # What Entry(...) does, in half the time: every paid attempt comes here.
    fields = (EntryKind.SETTLE, node.id, place, attempt, epoch, run.now, model, usage)
    run.unsettled.append(tuple.__new__(Entry, fields))
