"""A run goes on in another incarnation of its actor: everything that is unfinished is started again."""

from __future__ import annotations

from offbook.workflows.effects import Effect, SaveCheckpoint, SaveOutcome
from offbook.workflows.errors import IllegalTransition, StaleMessage
from offbook.workflows.messages import Recovered, ResumeRequested, TakenUp
from offbook.workflows.receipt import Receipt
from offbook.workflows.run_state import REVISIONS_PER_EPOCH, RunState
from offbook.workflows.savings import would_keep
from offbook.workflows.states import ExecutionStatus, NodeStatus
from offbook.workflows.transitions import calls, fan_out


def recovered(run: RunState, message: Recovered, effects: list[Effect]) -> None:
    if message.epoch < run.epoch:
        raise StaleMessage(f"epoch {message.epoch} of execution {run.execution_id} has passed")
    if run.status.at_rest:
        raise IllegalTransition(run.execution_id, run.status, "going on without a resume")
    before = run.epoch
    if message.epoch > run.epoch:
        _go_on_in(run, message.epoch)
    if message.lost:
        run.open_receipt().went_back_to = message.lost
    run.status = ExecutionStatus.RUNNING
    run.next_timer = None
    if run.started_at is None:
        # It begins: nothing is in flight, and all is indexed.
        run.started_at = run.now
    else:
        calls.forget_calls(run, before)
        run.index_works()
    if run.stopping not in (None, ExecutionStatus.INTERRUPTED):
        # It was on its way to rest, by a command that was accepted or a failure; now nothing keeps it.
        return
    run.stopping = None
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        if work.settled(node.continue_on_error):
            continue
        if node.foreach is not None and work.status is not NodeStatus.WAITING and work.attempt:
            fan_out.go_on(run, node, work, effects)
        elif work.status is NodeStatus.RUNNING:
            calls.repeat_attempt(run, node, None, work, effects)
        elif work.is_held_back:
            calls.try_again(run, node, None, work, effects)
        elif work.status is NodeStatus.PENDING and not run.missing[node.index]:
            run.ready.append(node.index)


def taken_up(run: RunState, message: TakenUp, effects: list[Effect]) -> None:
    if message.epoch <= run.epoch:
        raise StaleMessage(f"epoch {message.epoch} of execution {run.execution_id} has passed")
    before = run.epoch
    _go_on_in(run, message.epoch)
    count_transactions(run, message)
    if message.user is not None:
        run.user = message.user
    if not run.status.at_rest:
        run.status = ExecutionStatus.RECOVERING
        calls.forget_calls(run, before)
        if run.stopping is ExecutionStatus.INTERRUPTED:
            run.stopping = None
    elif run.status is ExecutionStatus.COMPLETED:
        effects.append(SaveOutcome())
    else:
        effects.append(SaveCheckpoint())


def open_epoch(run: RunState, epoch: int) -> None:
    """Open an epoch: revisions are above those of the one before, and progress may go back."""
    run.epoch = epoch
    run.revision = epoch * REVISIONS_PER_EPOCH + 1
    run.restore_percent(0.0)


def count_transactions(run: RunState, message: TakenUp | ResumeRequested) -> None:
    """Take over what was counted since the last save, which a process that went away had in memory only."""
    run.db_reads = max(run.db_reads, message.reads)
    run.db_writes = max(run.db_writes, message.writes)


def begin_receipt(run: RunState, before: Receipt | None) -> Receipt:
    """Count what is kept from here on; what was repeated or lost since the resume before goes on being told."""
    receipt = would_keep(run)
    if before is not None:
        receipt.repeated_calls = before.repeated_calls
        receipt.went_back_to = before.went_back_to
    return receipt


def _go_on_in(run: RunState, epoch: int) -> None:
    """Open an epoch in which this run goes on where it was left: what is shown from here on is newer."""
    open_epoch(run, epoch)
    run.receipt = begin_receipt(run, run.receipt)
