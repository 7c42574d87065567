"""A foreach and its items: begun, filled up to its concurrency, finished, at rest, gone on with."""

from __future__ import annotations

from offbook.workflows.effects import Effect, ExpandItems
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import NodeStatus, StepKind
from offbook.workflows.transitions import calls
from offbook.workflows.work import Work


def begin(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    """Begin a foreach: its items are to be found first, unless an attempt before this one found them."""
    work.status = NodeStatus.RUNNING
    work.attempt += 1
    work.started_at = work.started_at or run.now
    run.touch(node.index, work)
    run.steps.add(run.now, node.id, None, StepKind.STARTED, "", run.revision)
    if work.items is None:
        _expand(run, node, work, effects)
    else:
        fill(run, node, work, effects)


def go_on(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    """Start again what was unfinished in an incarnation before this one."""
    work.status = NodeStatus.RUNNING
    if work.items is None:
        _expand(run, node, work, effects)
        return
    for item, each in enumerate(work.items):
        if each.status is NodeStatus.RUNNING:
            calls.repeat_attempt(run, node, item, each, effects)
        elif each.is_held_back:
            calls.try_again(run, node, item, each, effects)
    fill(run, node, work, effects)


def fill(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    """Start items of a foreach, in order, until as many are active as may be."""
    assert node.foreach is not None
    assert work.items is not None
    if all(item.settled(node.continue_on_error) for item in work.items):
        _finish(run, node, work, effects)
        return
    active = sum(1 for item in work.items if item.status in (NodeStatus.RUNNING, NodeStatus.WAITING))
    for position, item in enumerate(work.items):
        if active >= node.foreach.concurrency or run.stopping is not None:
            return
        if item.status is NodeStatus.PENDING:
            calls.start_attempt(run, node, position, item, effects)
            active += 1


def item_settled(run: RunState, node: PlanNode, effects: list[Effect]) -> None:
    """An item is done with for good: begin the next, or finish."""
    work = run.works[node.index]
    run.touch(node.index, work)
    fill(run, node, work, effects)


def rest(run: RunState, node: PlanNode, work: Work) -> None:
    """A foreach rests as what its items ended as: failed if one failed for good, else pending again."""
    if work.items is None or work.status is not NodeStatus.RUNNING or node.continue_on_error:
        return
    failed = [item for item in work.items if item.status is NodeStatus.FAILED]
    work.revision = run.revision
    if failed:
        work.status = NodeStatus.FAILED
        work.error = failed[0].error
        work.finished_at = run.now


def _finish(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    assert work.items is not None
    run.outputs[node.id] = [item.output for item in work.items]
    failed = [item for item in work.items if item.status is NodeStatus.FAILED]
    work.finished_at = run.now
    run.touch(node.index, work)
    if failed:
        work.status = NodeStatus.FAILED
        work.error = failed[0].error
        text = f"{len(failed)} of {len(work.items)} items failed"
        run.steps.add(run.now, node.id, None, StepKind.FAILED, text, run.revision)
    else:
        work.status = NodeStatus.COMPLETED
        work.error = None
        run.steps.add(run.now, node.id, None, StepKind.FINISHED, "", run.revision)
        if run.reuse is not None and all(item.reused for item in work.items):
            run.open_receipt().kept_nodes += 1
    run.settle(node, work)


def _expand(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    work.in_flight = True
    run.in_flight += 1
    effects.append(ExpandItems(node.id))
