"""What callers and the Supervisor have an execution's actor do: each is checked before anything changes."""

from __future__ import annotations

from offbook.actors.account_messages import AccountLost, CallAllowed, CallHeldBack
from offbook.actors.execution_answers import ExecutionAnswers
from offbook.actors.execution_messages import (
    BeginExecution,
    GiveUpExecution,
    InterruptExecution,
    ResumeExecution,
    SetBudget,
    SignalExecution,
    TakeUpExecution,
)
from offbook.actors.loop import LoopFuture
from offbook.actors.other_user import user_to_be
from offbook.workflows.bookings import reservation
from offbook.workflows.errors import (
    CommandRefused,
    IllegalTransition,
    NotResumable,
    StorageUnavailable,
    ValidationFailed,
)
from offbook.workflows.inputs import check_payload
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    CancelRequested,
    CrashedForGood,
    InterruptRequested,
    PauseRequested,
    Recovered,
    ResumeRequested,
    SignalReceived,
    TakenUp,
)
from offbook.workflows.records import ClaimExecution
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NodeError

LATE_SECONDS = 0.02
"""Between two looks at whether the journal has caught up, before a call begins that its account has allowed."""


class ExecutionCommands(ExecutionAnswers):
    """Obeys commands."""

    def _answered_by_account(self, message: CallAllowed | CallHeldBack | AccountLost) -> None:
        purse = self._purse
        if purse is None:
            return
        match message:
            case CallAllowed() if self._recorder.is_late:
                self._around.loop.call_later(LATE_SECONDS, self._hear_again, message)
            case CallAllowed():
                if (effect := purse.allowed(message)) is not None:
                    self._start_node(effect)
            case CallHeldBack():
                if (parked := purse.held_back(message, self._around.clock())) is not None:
                    self._happened(parked)
            case AccountLost():
                purse.ask_again()
                if any(work.is_held_back for _, _, work in self._run.waiting):
                    self._happened(BudgetFreed(self._around.clock()))

    def _hear_again(self, message: CallAllowed) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(message)

    def _resume(self, message: ResumeExecution) -> LoopFuture:
        run = self._run
        other = user_to_be(run, message, self._resuming)
        if self._resuming is not None and self._pending is not None:
            # It is about to: the same answer, and no second run.
            return self._pending
        if not run.status.at_rest:
            future: LoopFuture = LoopFuture()
            future.set(run.epoch)
            return future
        if not run.status.resumable:
            raise NotResumable(run.execution_id, run.status)
        run.check_regenerations()
        epoch = run.epoch + 1
        # Nothing changes before the claim is stored: if it is not, this is still at rest, as it was.
        self._resuming = ResumeRequested(epoch, self._around.clock(), message.guidance, other)
        claim = ClaimExecution(
            run.execution_id,
            epoch,
            self._around.worker_id,
            ExecutionStatus.RUNNING.value,
            reservation(run, epoch, self._resuming.at, other),
            other,
        )
        return self._write_and_wait(claim)

    def _command(self, name: str, message: CancelRequested | PauseRequested) -> LoopFuture:
        if self._resuming is not None:
            # It is for what goes on once the claim is stored.
            self._deferred.append((name, message, future := LoopFuture()))
            return future
        try:
            if not self._run.has_heard(message):
                self._apply(message)
        except IllegalTransition:
            run = self._run
            raise CommandRefused(run.execution_id, name, run.status, "there is nothing left to stop") from None
        return self._recorder.when_recorded()

    def _signal(self, message: SignalExecution) -> LoopFuture:
        run = self._run
        work = run.parked_for(message.name)
        if work is None or work.park is None or run.status.at_rest or run.stopping is not None:
            raise CommandRefused(run.execution_id, f"signal {message.name!r}", run.status, "nothing waits for it")
        problems = check_payload(work.park.form, message.payload)
        if problems:
            raise ValidationFailed(problems)
        fault = self._around.journal_fault()
        if fault is not None:
            raise StorageUnavailable(f"the journal cannot be written: {fault}")
        self._apply(SignalReceived(message.name, message.payload, self._around.clock()))
        return self._recorder.when_recorded()

    def _set_budget(self, message: SetBudget) -> LoopFuture:
        run = self._run
        if run.status.at_rest or self._pending is not None:
            advice = "resume it: what waits for a budget goes on when there is one"
            if run.status is ExecutionStatus.COMPLETED:
                advice = "there is nothing left to spend"
            raise CommandRefused(run.execution_id, "change its budget", run.status, advice)
        self._apply(BudgetSet(message.budget, self._around.clock()))
        return self._recorder.when_recorded()

    def _interrupt(self, message: InterruptExecution) -> None:
        if not self._run.status.at_rest:
            self._apply(InterruptRequested(self._around.clock(), message.abort))

    def _go_on(self, message: BeginExecution) -> None:
        if not self._inserted:
            # A place came free before its row was stored: nothing is paid for that may not be accepted.
            self._begin = True
        elif self._has_begun_in(message.epoch):
            # Its turn came as it was begun anew after a crash: it goes on already.
            return
        elif not self._run.status.at_rest:
            self._apply(Recovered(message.epoch, self._around.clock(), message.lost))
        elif not self._saved and not self._last_save:
            # The actor before this one came to rest and crashed before it knew that it was stored.
            self._save()

    def _has_begun_in(self, epoch: int) -> bool:
        run = self._run
        waits = run.status in (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING)
        return run.epoch >= epoch and not waits and not run.status.at_rest

    def _take_up(self, message: TakeUpExecution) -> None:
        run, now = self._run, self._around.clock()
        if message.epoch <= run.epoch:
            return
        if message.resume and run.status.at_rest:
            self._saved = False
            self._apply(ResumeRequested(message.epoch, now, reads=run.db_reads, writes=run.db_writes))
        else:
            # What rests may have been claimed for another user, whose resume nobody was told of.
            user = run.user if run.status.at_rest else None
            self._apply(TakenUp(message.epoch, now, run.db_reads, run.db_writes, user))

    def _fail_for_good(self, message: GiveUpExecution) -> None:
        if self._run.status.at_rest:
            self._save()
            return
        error = NodeError("crash", message.reason, hint="its actor crashed again and again: see the worker's log")
        self._apply(CrashedForGood(self._run.epoch, error, self._around.clock()))
