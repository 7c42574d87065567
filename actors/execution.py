"""One actor per execution: a thin shell over `Run`. Messages in, effects out; it decides nothing itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import assert_never

import orjson
from loguru import logger
from pykka import ActorDeadError

from offbook.actors.account_messages import AccountLost, CallAllowed, CallHeldBack
from offbook.actors.calls import NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask
from offbook.actors.loop import LoopActor, LoopFuture
from offbook.actors.messages import (
    AcceptExecution,
    BeginExecution,
    CancelExecution,
    CutOffExecution,
    ExecutionAccepted,
    ExecutionCrashed,
    ExecutionDiscarded,
    ExecutionMessage,
    ExecutionRetired,
    ExecutionSaved,
    GetChange,
    GetOutput,
    GetRest,
    GetRun,
    GetStatus,
    GiveUpExecution,
    InterruptExecution,
    PauseExecution,
    RecordConfirmed,
    ResumeExecution,
    RetireExecution,
    SetBudget,
    SignalExecution,
    StatusAnswer,
    StatusChanged,
    StoreWrite,
    SupervisorMessage,
    TakeUpExecution,
    UnwatchExecution,
    WatchExecution,
    WriteDone,
    WriteFailed,
)
from offbook.actors.other_user import audit, user_to_be
from offbook.actors.publisher import Publisher
from offbook.actors.purse import Purse, make_purse
from offbook.actors.recorder import STARTS, Recorder
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.bookings import reservation
from offbook.workflows.checkpoint import save_of
from offbook.workflows.effects import (
    AbortCalls,
    ArmTimer,
    DecideEdges,
    Effect,
    ExpandItems,
    SaveCheckpoint,
    SaveOutcome,
    StartNode,
    WithdrawCalls,
)
from offbook.workflows.errors import (
    CommandRefused,
    IdempotencyConflict,
    IllegalTransition,
    NodeNotFound,
    NotResumable,
    StaleMessage,
    StorageUnavailable,
    ValidationFailed,
)
from offbook.workflows.inputs import check_payload
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
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.records import ClaimExecution, DeleteExecution, InsertExecution, SaveState, Write
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import NodeError

LATE_SECONDS = 0.02
"""Between two looks at whether the journal has caught up, before a call begins that its account has allowed."""
VEIL_SECONDS = 0.05
"""Between two looks at whether what would be shown is on disk."""


class ExecutionActor(LoopActor):
    """Owns one run: answers for it from memory, has its nodes run, its outcome or checkpoint stored."""

    registered = False

    _publisher: Publisher | None = None
    """There is one while somebody watches."""
    _retiring: RetireExecution | None = None
    """That it may leave memory, once nobody watches any more."""

    def __init__(
        self, run: Run, around: Surroundings, *, inserted: bool, saved: bool, gauge: JournalGauge | None = None
    ) -> None:
        """Take over a run; say whether the database has its row, and whether it has its present state.

        `gauge`: that of the actor before this one, if it crashed.
        """
        super().__init__()
        self._run = run
        self._around = around
        self._shown = run.status
        self._answer: StatusAnswer | None = None
        """The status as it is now, once somebody has asked for it."""
        self._changes: list[tuple[int, LoopFuture, float]] | None = None
        """Who waits for a later revision than which, and until when."""
        self._rest_waiters: list[LoopFuture] | None = None
        self._pending: LoopFuture | None = None
        """Who waits for the insert or claim that is under way."""
        self._resuming: ResumeRequested | None = None
        """What happens once the claim that is under way is stored."""
        self._deferred: list[tuple[str, CancelRequested | PauseRequested, LoopFuture]] = []
        """Commands that came while a claim was under way."""
        self._begin = False
        self._timer: asyncio.TimerHandle | None = None
        self._inserted = inserted
        self._saved = saved
        self._veiled: list[tuple[int | None, LoopFuture]] = []
        """Who asked for the status before what it would show was on disk."""
        self._recorder = Recorder(run, around, self.actor_ref, gauge)
        self._purse: Purse | None = None
        """What it asks its user's account; None while no budget is about it."""
        self._last_save = 0
        """Which save has the state as it is now; those before it do not make it stored."""

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

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancel_timer()
        if self._pending is not None and exception_value is not None:
            self._pending.set_exception((type(exception_value), exception_value, traceback))
        self._let_go()
        reason = f"{type(exception_value).__name__}: {exception_value}"
        self._tell_supervisor(
            ExecutionCrashed(
                self.actor_ref,
                self._run.execution_id,
                self._run,
                self._inserted,
                reason,
                claimed=self._resuming.epoch if self._resuming is not None else 0,
                gauge=self._recorder.gauge,
            )
        )

    def on_stop(self) -> None:
        self._cancel_timer()
        self._let_go()

    def _let_go(self) -> None:
        """Nobody is to wait for an actor that is no more."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()
        self._resolve_changes(everything=True)
        waiters, self._rest_waiters = self._rest_waiters, None
        veiled, self._veiled = self._veiled, []
        deferred, self._deferred = self._deferred, []
        self._recorder.abandon()
        for future in [*(waiters or ()), *(each[1] for each in veiled), *(each[2] for each in deferred)]:
            future.set_exception((ActorDeadError, ActorDeadError(f"{self} not found"), None))

    # What happens to the run

    def _happened(self, message: RunMessage) -> None:
        """Apply what the node runner or a timer told; from another epoch or attempt it changes nothing."""
        try:
            self._apply(message)
        except StaleMessage as stale:
            self._refuse("stale", str(stale))

    def _apply(self, message: RunMessage) -> None:
        run = self._run
        effects = run.apply(message)
        self._changed()
        if self._purse is not None or (
            run.unsettled is not None and (run.budget is not None or self._around.budgets.anybody)
        ):
            self._note_spending(message)
        hold = self._recorder.record(message)
        for effect in effects:
            if hold and isinstance(effect, STARTS):
                self._recorder.hold(hold, effect)
            else:
                self._perform(effect)
        if run.status is not self._shown:
            self._shown = run.status
            self._tell_supervisor(StatusChanged(run.execution_id, run.status))
        if self._changes:
            self._resolve_changes()

    def _changed(self) -> None:
        """What was answered is no longer so, and is news to those who watch."""
        self._answer = None
        if self._publisher is not None:
            self._publisher.note()
        feed = self._around.feed
        if feed is not None:
            feed.note(self._run.execution_id)

    def _perform(self, effect: Effect) -> None:
        around, run = self._around, self._run
        match effect:
            case StartNode():
                if run.plan.node(effect.node_id).estimate is not None and (purse := self._purse_if_watched()):
                    purse.ask(effect)
                else:
                    self._start_node(effect)
            case SaveOutcome() | SaveCheckpoint():
                self._save()
            case DecideEdges():
                around.runner.submit(DecideTask(run.epoch, run.scope(effect.node_id), self._hear))
            case ExpandItems():
                around.runner.submit(ExpandTask(run.epoch, run.scope(effect.node_id), self._hear))
            case AbortCalls():
                self._drop_held()
                around.runner.abort(run.execution_id)
            case WithdrawCalls():
                self._drop_held()
                around.runner.withdraw(run.execution_id)
            case ArmTimer():
                self._arm(effect.due)
            case _:
                assert_never(effect)

    def _start_node(self, effect: StartNode) -> None:
        run = self._run
        self._around.runner.submit(
            NodeTask(
                execution_id=run.execution_id,
                epoch=run.epoch,
                item=effect.item,
                attempt=effect.attempt,
                scope=run.scope(effect.node_id, effect.item),
                reply=self._hear,
                reuse=run.reuse,
            )
        )

    def _note_spending(self, message: RunMessage) -> None:
        purse = self._purse_if_watched()
        if purse is not None:
            purse.note(message)

    def _purse_if_watched(self) -> Purse | None:
        if self._purse is None:
            self._purse = make_purse(self._run, self._around, self.actor_ref)
        return self._purse

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

    def _hear(self, message: RunMessage) -> None:
        """Take a reply of the node runner, on its thread; nobody hears what comes after the end."""
        try:
            self.actor_ref.tell(message)
        except ActorDeadError:
            self._refuse("nobody", f"{type(message).__name__} after the end")

    def _refuse(self, reason: str, detail: str) -> None:
        around = self._around
        around.dead_letters.add(around.clock(), reason, self._run.execution_id, detail)
        logger.debug("message refused", execution_id=self._run.execution_id, reason=reason, why=detail)

    def _arm(self, due: float) -> None:
        self._cancel_timer()
        around = self._around
        self._timer = around.loop.call_later(max(0.0, due - around.clock()), self._fire, self._run.epoch)

    def _fire(self, epoch: int) -> None:
        self._timer = None
        if self.actor_ref.is_alive():
            # The loop's clock may be a little ahead of ours: what is due by its timer is due.
            self.actor_ref.tell(TimerFired(epoch, self._around.clock() + 0.001))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _confirmed(self, message: RecordConfirmed) -> None:
        self._answer = None
        for effect in self._recorder.confirm(message):
            self._perform(effect)
        self._unveil()

    def _unveil(self) -> None:
        if self._veiled and not self._recorder.is_veiled:
            veiled, self._veiled = self._veiled, []
            for since, future in veiled:
                future.set(self._status(since))

    def _look_behind_veil(self) -> None:
        """Look again: what is confirmed to the actor before this one, or given up, is not told to this one."""
        self._unveil()
        if self._veiled and self.actor_ref.is_alive():
            self._around.loop.call_later(VEIL_SECONDS, self._look_behind_veil)

    def _drop_held(self) -> None:
        """What has not started is as good as aborted; what only evaluates goes on."""
        run = self._run
        asked = self._purse.take_asked() if self._purse is not None else []
        for effect in [*self._recorder.take_held(), *asked]:
            if isinstance(effect, StartNode):
                error = NodeError("cancelled", "the attempt was cancelled before it began")
                now = self._around.clock()
                attempt = (effect.node_id, effect.item, effect.attempt, run.epoch)
                self.actor_ref.tell(NodeFailed(*attempt, error, now, begun=False))
            else:
                self._perform(effect)

    # What is stored

    def _accept(self, message: AcceptExecution) -> LoopFuture:
        self._begin = message.begin
        return self._write_and_wait(message.insert)

    def _write_and_wait(self, write: Write) -> LoopFuture:
        future: LoopFuture = LoopFuture()
        self._pending = future
        self._around.persistence.tell(StoreWrite(write, self.actor_ref))
        return future

    def _save(self) -> None:
        self._saved = False
        self._cancel_timer()
        save = save_of(self._run)
        self._last_save = save.save
        self._around.persistence.tell(StoreWrite(save, self.actor_ref, keep_trying=True))

    def _written(self, message: WriteDone) -> None:
        match message.write:
            case InsertExecution():
                self._inserted_row(message)
            case ClaimExecution():
                self._claimed(message)
            case SaveState(epoch=epoch):
                if message.write.bookings is not None:
                    self._run.forget_settled(message.write.bookings.entries)
                if message.result.applied:
                    self._recorder.stored(message.write.state["journal_seq"])
                if message.result.applied and epoch == self._run.epoch and message.write.save == self._last_save:
                    self._saved = True
                    if (purse := self._purse_if_watched()) is not None:
                        purse.leave()
                        self._purse = None
                    self._run.revision = max(self._run.revision, message.write.state["revision"])
                    self._changed()
                    self._resolve_changes(everything=True)
                    self._resolve_rest()
                    self._tell_supervisor(ExecutionSaved(self._run.execution_id))
                elif not message.result.applied:
                    self._fenced(epoch)
            case _:
                logger.error("unexpected write", write=type(message.write).__name__)

    def _fenced(self, epoch: int) -> None:
        """A later epoch is stored than that of a save: another worker has this execution now."""
        run = self._run
        self._refuse("stale-write", f"epoch {epoch}")
        if epoch != run.epoch or not run.status.at_rest:
            return
        logger.error("state refused as stale: another worker has this execution", execution_id=run.execution_id)
        self._recorder.forget_everything()
        self._tell_supervisor(ExecutionDiscarded(run.execution_id))

    def _inserted_row(self, message: WriteDone) -> None:
        assert isinstance(message.write, InsertExecution)
        run, future = self._run, self._take_pending()
        existing = message.result.existing_id
        if existing is not None:
            self._tell_supervisor(ExecutionDiscarded(run.execution_id))
            if message.result.existing_hash == message.write.request_hash:
                future.set(existing)
            else:
                conflict = IdempotencyConflict(message.write.idempotency_key or "", existing)
                future.set_exception((IdempotencyConflict, conflict, None))
            return
        self._inserted = True
        run.db_writes += 1
        run.revision += 1
        self._changed()
        future.set(run.execution_id)
        self._tell_supervisor(ExecutionAccepted(run.execution_id))
        if self._begin and not run.status.at_rest:
            self._apply(Recovered(run.epoch, self._around.clock()))

    def _claimed(self, message: WriteDone) -> None:
        run, future = self._run, self._take_pending()
        resuming, self._resuming = self._resuming, None
        assert resuming is not None
        if not message.result.applied:
            refusal = NotResumable(run.execution_id, run.status, "another worker has it")
            future.set_exception((NotResumable, refusal, None))
            self._tell_supervisor(ExecutionDiscarded(run.execution_id))
            return
        run.db_writes += 1
        audit(run, resuming)
        self._apply(replace(resuming, reads=run.db_reads, writes=run.db_writes))
        _pass_value(self._recorder.when_recorded(run.epoch, strict=False), future)
        self._apply(Recovered(run.epoch, self._around.clock()))
        self._hear_deferred()

    def _not_written(self, message: WriteFailed) -> None:
        if isinstance(message.write, SaveState):
            # Not the database being away (that is retried): what is to be stored cannot be.
            logger.error("state cannot be stored", execution_id=self._run.execution_id, why=str(message.error))
            return
        future = self._take_pending()
        self._resuming = None
        if isinstance(message.write, ClaimExecution) and self._run.status.at_rest:
            # Whether it was committed may be unknown: a later epoch says that this is at rest, as it was.
            run = self._run
            self._apply(TakenUp(message.write.epoch + 1, self._around.clock(), run.db_reads, run.db_writes, run.user))
        if isinstance(message.write, InsertExecution):
            # Whether it was committed may be unknown, and its sender hears that nothing was started.
            undo = DeleteExecution(self._run.execution_id)
            self._around.persistence.tell(StoreWrite(undo, None, keep_trying=True))
            self._tell_supervisor(ExecutionDiscarded(self._run.execution_id))
        future.set_exception((type(message.error), message.error, None))
        self._hear_deferred()

    def _hear_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for name, message, future in deferred:
            try:
                answer = self._command(name, message)
            except CommandRefused as refused:
                future.set_exception((CommandRefused, refused, None))
            else:
                _pass_value(answer, future)

    def _take_pending(self) -> LoopFuture:
        future, self._pending = self._pending, None
        assert future is not None
        return future

    # What callers ask

    def _status(self, since: int | None) -> StatusAnswer | LoopFuture:
        if self._recorder.is_veiled:
            if not self._veiled:
                self._around.loop.call_later(VEIL_SECONDS, self._look_behind_veil)
            self._veiled.append((since, future := LoopFuture()))
            return future
        run = self._run
        if since is not None:
            payload = status_payload(run, self.context(), since)
            return StatusAnswer(orjson.dumps(payload), run.revision)
        answer = self._answer
        if answer is None:
            body = orjson.dumps(status_payload(run, self.context()))
            self._answer = answer = StatusAnswer(body, run.revision)
        return answer

    def context(self) -> StatusContext:
        """Return what is shown of this execution that its run does not know."""
        completed = self._run.status is ExecutionStatus.COMPLETED
        saved = self._saved and self._run.status.at_rest and not completed
        currency = self._around.currency
        return StatusContext(checkpoint_saved=saved, journal=self._recorder.figures(), currency=currency)

    def is_veiled(self) -> bool:
        """Whether what would be shown is not on disk, and a crash could take it back."""
        return self._recorder.is_veiled

    def is_over(self) -> bool:
        """Whether the run has ended, and is stored."""
        return self._saved and self._run.status.ended

    def _watch(self, message: WatchExecution) -> None:
        if self._publisher is None:
            self._publisher = Publisher(self._run, self, self._around.loop, self._unwatched)
        self._publisher.join(message.watcher, message.after)

    def _unwatched(self) -> None:
        self._publisher = None
        retiring, self._retiring = self._retiring, None
        if retiring is not None:
            self._retire(retiring)

    def _change(self, message: GetChange) -> LoopFuture:
        future: LoopFuture = LoopFuture()
        if self._run.revision > message.since:
            future.set(self._run.revision)
            return future
        now = self._around.clock()
        waiting = [each for each in self._changes or () if each[2] > now]
        self._changes = [*waiting, (message.since, future, now + message.seconds)]
        return future

    def _resolve_changes(self, *, everything: bool = False) -> None:
        waiting, self._changes = self._changes, None
        revision = self._run.revision
        left = []
        for each in waiting or ():
            since, future, _ = each
            if everything or revision > since:
                future.set(revision)
            else:
                left.append(each)
        self._changes = left or None

    def _rest(self) -> LoopFuture:
        future = LoopFuture()
        if self._saved and self._run.status.at_rest:
            future.set(self._run.revision)
        else:
            self._rest_waiters = self._rest_waiters or []
            self._rest_waiters.append(future)
        return future

    def _resolve_rest(self) -> None:
        waiters, self._rest_waiters = self._rest_waiters, None
        for future in waiters or ():
            future.set(self._run.revision)

    def _output(self, message: GetOutput) -> object:
        run = self._run
        if message.node_id not in run.plan.index:
            raise NodeNotFound(run.execution_id, message.node_id, "the workflow has no such node")
        try:
            return run.output(message.node_id, message.item)
        except KeyError:
            where = "it" if message.item is None else f"item {message.item}"
            raise NodeNotFound(run.execution_id, message.node_id, f"{where} has no output (yet)") from None

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
        elif not self._run.status.at_rest:
            self._apply(Recovered(message.epoch, self._around.clock(), message.lost))
        elif not self._saved:
            # The actor before this one came to rest and crashed before it knew that it was stored.
            self._save()

    def _retire(self, message: RetireExecution) -> None:
        if self._publisher is not None and self._publisher.has_watchers:
            self._retiring = message
            return
        if self._saved and self._run.status.at_rest and self._pending is None:
            self._tell_supervisor(ExecutionRetired(self._run.execution_id, message.commands))

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

    def _tell_supervisor(self, message: SupervisorMessage) -> None:
        try:
            self._around.supervisor.tell(message)
        except ActorDeadError:
            logger.warning("supervisor is gone", execution_id=self._run.execution_id, message=type(message).__name__)


def _pass_value(source: LoopFuture, target: LoopFuture) -> None:
    """Resolve one future as another is resolved."""

    def resolved(_: LoopFuture) -> None:
        try:
            target.set(source.get(timeout=0))
        except ActorDeadError as dead:
            target.set_exception((ActorDeadError, dead, None))

    source.add_done_callback(resolved)
