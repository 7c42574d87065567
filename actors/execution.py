"""One actor per execution: a thin shell over `Run`. Messages in, effects out; it decides nothing itself."""

from __future__ import annotations

from typing import assert_never

from offbook.actors.account_messages import AccountLost, CallAllowed, CallHeldBack
from offbook.actors.execution_messages import (
    AcceptExecution,
    BeginExecution,
    CancelExecution,
    CutOffExecution,
    ExecutionMessage,
    GetChange,
    GetOutput,
    GetRest,
    GetRun,
    GetStatus,
    GiveUpExecution,
    InterruptExecution,
    PauseExecution,
    ResumeExecution,
    RetireExecution,
    SetBudget,
    SignalExecution,
    TakeUpExecution,
    UnwatchExecution,
    WatchExecution,
)
from offbook.actors.execution_writes import ExecutionWrites
from offbook.actors.storage_messages import RecordConfirmed, WriteDone, WriteFailed
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    BudgetWarned,
    CancelRequested,
    CrashedForGood,
    CutOff,
    EdgesDecided,
    InterruptRequested,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
    PauseRequested,
    Recovered,
    ResumeRequested,
    SignalReceived,
    TakenUp,
    TimerFired,
)


class ExecutionActor(ExecutionWrites):
    """Owns one run: answers for it from memory, has its nodes run, its outcome or checkpoint stored."""

    def on_receive(self, message: ExecutionMessage) -> object:
        match message:
            case GetStatus():
                return self._status(message.since)
            case (
                NodeFinished()
                | NodeReused()
                | NodeFailed()
                | NodeParked()
                | NodeProgressed()
                | NodeHeld()
                | NodeBegan()
                | EdgesDecided()
                | ItemsExpanded()
                | TimerFired()
                | BudgetFreed()
                | BudgetWarned()
            ):
                return self._happened(message)
            case CallAllowed() | CallHeldBack() | AccountLost():
                return self._answered_by_account(message)
            case RecordConfirmed():
                return self._confirmed(message)
            case WriteDone():
                return self._written(message)
            case WriteFailed():
                return self._not_written(message)
            case AcceptExecution():
                return self._accept(message)
            case BeginExecution():
                return self._go_on(message)
            case GetChange():
                return self._change(message)
            case GetRest():
                return self._rest()
            case GetOutput():
                return self._output(message)
            case GetRun():
                return self._run
            case WatchExecution():
                return self._watch(message)
            case UnwatchExecution():
                return self._publisher.leave(message.watcher) if self._publisher is not None else None
            case ResumeExecution():
                return self._resume(message)
            case CancelExecution():
                return self._command("cancel", CancelRequested(self._around.clock()))
            case PauseExecution():
                return self._command("pause", PauseRequested(self._around.clock()))
            case SignalExecution():
                return self._signal(message)
            case SetBudget():
                return self._set_budget(message)
            case InterruptExecution():
                return self._interrupt(message)
            case TakeUpExecution():
                return self._take_up(message)
            case RetireExecution():
                return self._retire(message)
            case CutOffExecution():
                return self._apply(CutOff(self._around.clock()))
            case GiveUpExecution():
                return self._fail_for_good(message)
            case (
                Recovered()
                | TakenUp()
                | CutOff()
                | SignalReceived()
                | CancelRequested()
                | PauseRequested()
                | InterruptRequested()
                | ResumeRequested()
                | BudgetSet()
                | CrashedForGood()
            ):
                return self._apply(message)
            case _:
                assert_never(message)
