"""After each message: start what became ready, arm the timer, see whether the run has come to rest."""

from __future__ import annotations

from offbook.workflows.effects import ArmTimer, Effect, SaveCheckpoint, SaveOutcome
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus, NodeStatus, StepKind
from offbook.workflows.transitions import charges, decisions, fan_out

_REST_STEPS = {
    ExecutionStatus.FAILED: StepKind.FAILED,
    ExecutionStatus.CANCELLED: StepKind.CANCELLED,
    ExecutionStatus.PAUSED: StepKind.PAUSED,
    ExecutionStatus.INTERRUPTED: StepKind.PAUSED,
}


def advance(run: RunState, effects: list[Effect]) -> None:
    """Start what became ready, then see whether the run has come to rest."""
    if run.status in (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING):
        # Its turn has not come: `Recovered` finds again what is ready.
        run.ready.clear()
        if run.stopping is not None:
            _come_to_rest(run, run.stopping, effects)
        return
    while run.ready and run.stopping is None:
        decisions.consider(run, run.plan.nodes[run.ready.pop(0)], effects)
    run.ready.clear()
    if run.status.at_rest:
        if run.stopping is ExecutionStatus.CANCELLED and run.status is not ExecutionStatus.CANCELLED:
            _come_to_rest(run, ExecutionStatus.CANCELLED, effects)
        return
    if run.stopping is not None:
        if not run.in_flight:
            _come_to_rest(run, run.stopping, effects)
        else:
            run.status = ExecutionStatus.RUNNING
        return
    if not run.open_nodes:
        if run.lost_calls:
            charges.write_off_the_rest(run)
        run.status = ExecutionStatus.COMPLETED
        run.finished_at = run.now
        effects.append(SaveOutcome())
        return
    held = len(run.held_calls) if run.held_calls else 0
    idle = run.in_flight == held and bool(run.waiting_works or held)
    run.status = ExecutionStatus.WAITING if idle else ExecutionStatus.RUNNING
    if run.waiting_works:
        _arm_timer(run, effects)


def _arm_timer(run: RunState, effects: list[Effect]) -> None:
    dues = [work.due for work in run.waiting_works.values() if work.due is not None]
    if dues and (run.next_timer is None or min(dues) < run.next_timer):
        run.next_timer = min(dues)
        effects.append(ArmTimer(run.next_timer))


def _come_to_rest(run: RunState, status: ExecutionStatus, effects: list[Effect]) -> None:
    cancelled = status is ExecutionStatus.CANCELLED
    if run.lost_calls and status.ended:
        charges.write_off_the_rest(run)
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        for item, each in run.each_of(node.index):
            if cancelled and each.status in (NodeStatus.WAITING, NodeStatus.RUNNING):
                run.waiting_works.pop((node.index, item), None)
                each.status = NodeStatus.CANCELLED
                each.finished_at = run.now
                run.touch(node.index, each)
        fan_out.rest(run, node, work)
    run.status = status
    run.stopping = None
    if status.ended:
        run.finished_at = run.now
    run.steps.add(run.now, None, None, _REST_STEPS[status], "", run.revision)
    effects.append(SaveCheckpoint())
