"""What is in flight at a run: a call is started, is found again by what is told of it, and lands."""

from __future__ import annotations

from offbook.workflows.effects import Effect, StartNode, WithdrawCalls
from offbook.workflows.errors import StaleMessage
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import Durability, NodeStatus, StepKind
from offbook.workflows.values import NO_USAGE, Usage
from offbook.workflows.work import Work


def start_attempt(run: RunState, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
    """Start the next attempt at a node or item, unless the run is about to rest."""
    if run.stopping is not None:
        return
    work.status = NodeStatus.RUNNING
    work.attempt += 1
    work.tries += 1
    work.started_at = work.started_at or run.now
    work.in_flight = True
    run.in_flight += 1
    run.touch(node.index, work)
    run.steps.add(run.now, node.id, item, StepKind.STARTED, "", run.revision)
    effects.append(StartNode(node.id, item, work.attempt))


def try_again(run: RunState, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
    """Try once more to begin an attempt that was held back: the same number."""
    run.waiting_works.pop((node.index, item), None)
    work.park = None
    work.status = NodeStatus.RUNNING
    if work.tries == 1:
        # What it waited is no time in which anything was done.
        work.started_at = run.now
    work.in_flight = True
    run.in_flight += 1
    run.touch(node.index, work)
    effects.append(StartNode(node.id, item, work.attempt))


def repeat_attempt(run: RunState, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
    """Start an attempt again that was in flight when its actor or process went away: the same number."""
    began = work.started_at is not None
    if began:
        run.open_receipt().repeated_calls += 1
    # What it took before is lost, or nothing was done; while nobody had it, it took no time.
    work.started_at = run.now
    work.in_flight = True
    run.in_flight += 1
    work.live_usage = NO_USAGE
    run.touch(node.index, work)
    run.steps.add(run.now, node.id, item, StepKind.STARTED, "repeated" if began else "", run.revision)
    effects.append(StartNode(node.id, item, work.attempt))


def in_flight_work(run: RunState, node_id: str, item: int | None, attempt: int, epoch: int) -> tuple[PlanNode, Work]:
    """Return what an attempt is at; StaleMessage if that attempt is not in flight."""
    if epoch != run.epoch:
        raise StaleMessage(f"epoch {epoch} reported on {node_id}, but this is epoch {run.epoch}")
    node = run.plan.nodes[run.plan.index[node_id]]
    try:
        work = run.work_at(node.index, item)
    except KeyError:
        raise StaleMessage(f"{node_id} has no item {item}") from None
    if not work.in_flight or work.attempt != attempt:
        raise StaleMessage(f"attempt {attempt} at {node_id} is not the one in flight")
    return node, work


def deciding_work(run: RunState, node_id: str, epoch: int) -> tuple[PlanNode, Work]:
    """Return the node that is being decided on or expanded; StaleMessage if it is not."""
    if epoch != run.epoch:
        raise StaleMessage(f"epoch {epoch} decided on {node_id}, but this is epoch {run.epoch}")
    node = run.plan.node(node_id)
    work = run.works[node.index]
    if not work.in_flight:
        raise StaleMessage(f"nothing is to be decided on {node_id}")
    return node, work


def land(run: RunState, node: PlanNode, item: int | None, work: Work, usage: Usage) -> None:
    """A call is over: it waits for nothing, is in flight no more, and what it used is counted."""
    if run.held_calls:
        run.held_calls.pop((node.index, item), None)
    work.in_flight = False
    run.in_flight -= 1
    if usage is not NO_USAGE:
        work.usage = usage if work.usage is NO_USAGE else work.usage + usage
    work.live_usage = NO_USAGE


def wait(run: RunState, index: int, item: int | None, work: Work) -> None:
    """Have a node or item wait for its time or its signal."""
    work.status = NodeStatus.WAITING
    run.waiting_works[index, item] = work
    run.touch(index, work)


def withdraw(run: RunState, effects: list[Effect]) -> None:
    """Nothing new starts: what is in flight and only waits for its turn ends now; the rest finishes."""
    if run.in_flight:
        effects.append(WithdrawCalls())


def forget_calls(run: RunState, epoch: int) -> None:
    """Nothing that was in flight in an epoch answers to this incarnation. What it used is paid all the same."""
    for node in run.plan.nodes:
        for item, each in run.each_of(node.index):
            if each.in_flight and each.status is NodeStatus.RUNNING and (item is None) is (node.foreach is None):
                if _is_unbegun(run, node.index, item):
                    each.started_at = None
                else:
                    run.lost_calls = run.lost_calls or {}
                    run.lost_calls.setdefault((node.index, item), []).append((each.attempt, epoch))
            each.in_flight = False
    run.in_flight = 0
    run.held_calls = None


def _is_unbegun(run: RunState, index: int, item: int | None) -> bool:
    """Whether an attempt in flight waits for a limit, and has called nobody.

    In `sync` it may have begun unheard: nothing that was called may be forgotten there.
    """
    held = run.held_calls.get((index, item)) if run.held_calls else None
    return held is not None and not held.begun and run.durability != Durability.SYNC
