"""A run at rest goes on, in an epoch of its own, where it had not finished."""

from __future__ import annotations

from offbook.workflows.effects import Effect
from offbook.workflows.errors import NotResumable, StaleMessage
from offbook.workflows.messages import ResumeRequested
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus, NodeStatus, StepKind
from offbook.workflows.transitions import epochs
from offbook.workflows.work import Work


def resume_requested(run: RunState, message: ResumeRequested, effects: list[Effect]) -> None:
    if not run.status.resumable:
        raise NotResumable(run.execution_id, run.status)
    run.check_regenerations()
    if message.epoch <= run.epoch:
        raise StaleMessage(f"epoch {message.epoch} of execution {run.execution_id} has passed")
    epochs.open_epoch(run, message.epoch)
    epochs.count_transactions(run, message)
    if message.user is not None:
        before = run.user.id if run.user is not None else "nobody"
        text = f"on behalf of {message.user.id} in place of {before}"
        run.steps.add(run.now, None, None, StepKind.RESUMED, text, run.revision)
        run.user = message.user
    # A worker that went away stopped nobody: what it cost to go on is told until it is through.
    run.receipt = epochs.begin_receipt(run, run.receipt if run.status is ExecutionStatus.INTERRUPTED else None)
    guided: bool | None = bool(message.guidance)
    if message.guidance or run.reuse is None:
        run.guidance = message.guidance
    else:
        # What was said when it was forked is for nodes that it may not have come to yet.
        guided = None
    run.failure = None
    run.stopping = None
    run.finished_at = None
    run.status = ExecutionStatus.RECOVERING
    _reset_unfinished(run, guided=guided)
    run.index_works()
    run.steps.add(run.now, None, None, StepKind.RESUMED, message.guidance, run.revision)


def _reset_unfinished(run: RunState, *, guided: bool | None) -> None:
    """Put what failed or was cancelled back to pending; what is settled for good stays.

    `guided`: whether guidance is for it; None leaves that as it is.
    """
    stopped = (NodeStatus.FAILED, NodeStatus.CANCELLED)
    targets: list[Work] = []
    for node in run.plan.nodes:
        for item, each in run.each_of(node.index):
            each.guided = each.guided and guided is None
            finished_with_error = node.continue_on_error and each.status is NodeStatus.FAILED
            if each.status in stopped and not finished_with_error:
                targets.append(each)
                each.status = NodeStatus.PENDING
                each.tries = 0
                if run.checked is not None and (node.index, item) in run.checked:
                    run.checked[node.index, item].tries = 0
                each.retry_at = None
                each.park = None
                each.finished_at = None
                if each.items is None:
                    # Between its failure and this it took no time.
                    each.started_at = None
                each.fraction = 0.0
                run.touch(node.index, each)
    if not targets:
        # Nothing had failed: guidance is for what was on its way when the run stopped.
        targets = [
            each
            for node in run.plan.nodes
            for _, each in run.each_of(node.index)
            if each.status is NodeStatus.RUNNING and each.items is None
        ]
    for each in targets if guided else ():
        each.guided = True
