"""Why a run is to come to rest: a command, its worker that goes away or went, too many crashes."""

from __future__ import annotations

from offbook.workflows.effects import AbortCalls, Effect
from offbook.workflows.errors import IllegalTransition
from offbook.workflows.messages import CancelRequested, CrashedForGood, CutOff, InterruptRequested, PauseRequested
from offbook.workflows.run_state import FailurePoint, RunState
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.transitions import calls, epochs


def cancel_requested(run: RunState, message: CancelRequested, effects: list[Effect]) -> None:
    if run.status.ended:
        raise IllegalTransition(run.execution_id, run.status, "a cancel")
    if run.stopping is ExecutionStatus.CANCELLED:
        return
    run.stopping = ExecutionStatus.CANCELLED
    if run.in_flight:
        effects.append(AbortCalls())


def pause_requested(run: RunState, message: PauseRequested, effects: list[Effect]) -> None:
    if run.status.at_rest:
        if run.status is ExecutionStatus.PAUSED:
            return
        raise IllegalTransition(run.execution_id, run.status, "a pause")
    if run.stopping in (None, ExecutionStatus.INTERRUPTED):
        run.stopping = ExecutionStatus.PAUSED
        calls.withdraw(run, effects)


def interrupt_requested(run: RunState, message: InterruptRequested, effects: list[Effect]) -> None:
    if run.status.at_rest:
        raise IllegalTransition(run.execution_id, run.status, "an interrupt")
    if run.stopping is None:
        run.stopping = ExecutionStatus.INTERRUPTED
    if not message.abort:
        calls.withdraw(run, effects)
    elif run.in_flight:
        effects.append(AbortCalls())


def cut_off(run: RunState, message: CutOff, effects: list[Effect]) -> None:
    if run.status.at_rest:
        raise IllegalTransition(run.execution_id, run.status, "being cut off")
    calls.forget_calls(run, run.epoch)
    run.next_timer = None
    run.status = ExecutionStatus.RUNNING
    run.stopping = run.stopping or ExecutionStatus.INTERRUPTED


def crashed_for_good(run: RunState, message: CrashedForGood, effects: list[Effect]) -> None:
    before = run.epoch
    if message.epoch > run.epoch:
        epochs.open_epoch(run, message.epoch)
    if run.in_flight:
        effects.append(AbortCalls())
    calls.forget_calls(run, before)
    if run.failure is None:
        run.failure = FailurePoint(message.error, None, None)
    run.stopping = ExecutionStatus.FAILED
