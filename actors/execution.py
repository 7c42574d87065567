"""One actor per execution: a thin shell over `Run`. Messages in, effects out; it decides nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, assert_never

import orjson
from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.calls import NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask
from offbook.actors.loop import LoopActor, LoopFuture
from offbook.actors.messages import (
    AcceptExecution,
    AppendRecord,
    BeginExecution,
    CancelExecution,
    CutOffExecution,
    ExecutionAccepted,
    ExecutionCrashed,
    ExecutionDiscarded,
    ExecutionMessage,
    ExecutionSaved,
    ForgetRecords,
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
    SignalExecution,
    StatusAnswer,
    StatusChanged,
    StoreWrite,
    SupervisorMessage,
    TakeUpExecution,
    WriteDone,
    WriteFailed,
)
from offbook.actors.dead_letters import DeadLetters
from offbook.actors.runner import NodeRunner
from offbook.persistence.group_journal import JournalGauge
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
)
from offbook.workflows.errors import (
    CommandRefused,
    ExecutionUserMissing,
    Forbidden,
    IdempotencyConflict,
    IllegalTransition,
    NodeNotFound,
    NotResumable,
    StaleMessage,
    StorageUnavailable,
    ValidationFailed,
)
from offbook.workflows.inputs import check_payload
from offbook.workflows.message_codec import COMMANDS
from offbook.workflows.messages import (
    CancelRequested,
    CrashedForGood,
    CutOff,
    EdgesDecided,
    InterruptRequested,
    ItemsExpanded,
    NodeFailed,
    NodeFinished,
    NodeParked,
    NodeProgressed,
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
from offbook.workflows.states import Durability, ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import JsonObject, NodeError


LAG_RECORDS = 256
LAG_SECONDS = 0.05
"""How far the journal may be behind an execution in `async` before nothing new starts until it has caught up."""

_STARTS = (StartNode, DecideEdges, ExpandItems)
_OPENINGS = (Recovered, TakenUp, ResumeRequested)
"""Messages that may open an epoch."""
_ANSWERED = (SignalReceived, CancelRequested, PauseRequested, ResumeRequested)
"""Messages whose sender is answered once they are on disk."""


def _nobody_to_tell(reason: str) -> None:
    logger.critical("worker cannot go on", why=reason)


class Teller(Protocol):
    """Whoever takes messages: an actor's reference, or a Relay."""

    def tell(self, message: Any, /) -> None: ...


@dataclass(slots=True)
class Surroundings:
    """What every execution of a worker works with; one object, shared."""

    worker_id: str
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    runner: NodeRunner
    persistence: Teller
    journal: Teller | None = None
    """None: this worker keeps no journal, and every execution has the durability `exit`."""
    journal_fault: Callable[[], str | None] = lambda: None
    """Says why the journal cannot be written now; None while it can."""
    give_up: Callable[[str], None] = _nobody_to_tell
    """Hears why this worker cannot go on."""
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    supervisor: ActorRef[Any] = field(init=False)
    """Set by the Supervisor itself."""


class ExecutionActor(LoopActor):
    """Owns one run: answers for it from memory, has its nodes run, its outcome or checkpoint stored."""

    registered = False

    def __init__(self, run: Run, around: Surroundings, *, inserted: bool, saved: bool) -> None:
        """Take over a run; say whether the database has its row, and whether it has its present state."""
        super().__init__()
        self._run = run
        self._around = around
        self._shown = run.status
        self._body: bytes | None = None
        self._changes: list[tuple[int, LoopFuture]] | None = None
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
        self._veiled_until = 0
        """The record that opened this epoch: until it is on disk nothing of the epoch is shown."""
        self._veiled: list[tuple[int | None, LoopFuture]] = []
        self._last_save = 0
        """Which save has the state as it is now; those before it do not make it stored."""
        self._gauge = JournalGauge(run.journal_seq) if around.journal is not None else None
        self._saved_seq = run.journal_seq
        """The last record that is in the database too."""
        self._held: list[tuple[int, Effect]] = []
        """What starts once a record is on disk."""
        self._unanswered: list[tuple[int, LoopFuture, object, bool]] = []
        """Whose command is answered, with what, once a record is on disk, and whether nothing less will do."""

    def on_receive(self, message: ExecutionMessage) -> object:
        match message:
            case (
                NodeFinished()
                | NodeFailed()
                | NodeParked()
                | NodeProgressed()
                | EdgesDecided()
                | ItemsExpanded()
                | TimerFired()
            ):
                return self._happened(message)
            case RecordConfirmed():
                return self._confirmed(message)
            case GetStatus():
                return self._status(message.since)
            case WriteDone():
                return self._written(message)
            case WriteFailed():
                return self._not_written(message)
            case AcceptExecution():
                return self._accept(message)
            case BeginExecution():
                return self._go_on(message)
            case GetChange():
                return self._change(message.since)
            case GetRest():
                return self._rest()
            case GetOutput():
                return self._output(message)
            case GetRun():
                return self._run
            case ResumeExecution():
                return self._resume(message)
            case CancelExecution():
                return self._command("cancel", CancelRequested(self._around.clock()))
            case PauseExecution():
                return self._command("pause", PauseRequested(self._around.clock()))
            case SignalExecution():
                return self._signal(message)
            case InterruptExecution():
                return self._interrupt(message)
            case TakeUpExecution():
                return self._take_up(message)
            case CutOffExecution():
                return self._apply(CutOff(self._around.clock()))
            case GiveUpExecution():
                return self._give_up(message)
            case (
                Recovered()
                | TakenUp()
                | CutOff()
                | SignalReceived()
                | CancelRequested()
                | PauseRequested()
                | InterruptRequested()
                | ResumeRequested()
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
        self._tell_supervisor(ExecutionCrashed(self._run.execution_id, self._run, self._inserted, reason))

    def on_stop(self) -> None:
        self._cancel_timer()
        self._let_go()

    def _let_go(self) -> None:
        """Nobody is to wait for an actor that is no more."""
        self._resolve_changes(everything=True)
        waiters, self._rest_waiters = self._rest_waiters, None
        unanswered, self._unanswered = self._unanswered, []
        veiled, self._veiled = self._veiled, []
        deferred, self._deferred = self._deferred, []
        left = [*(waiters or ()), *(each[1] for each in unanswered), *(each[1] for each in veiled)]
        for future in [*left, *(each[2] for each in deferred)]:
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
        self._body = None
        hold = self._record(message)
        if type(message) in _OPENINGS and self._gauge is not None and run.epoch > 1:
            self._veiled_until = run.journal_seq
        for effect in effects:
            if hold and isinstance(effect, _STARTS):
                self._held.append((hold, effect))
            else:
                self._perform(effect)
        if run.status is not self._shown:
            self._shown = run.status
            self._tell_supervisor(StatusChanged(run.execution_id, run.status))
        if self._changes:
            self._resolve_changes()

    def _perform(self, effect: Effect) -> None:
        around, run = self._around, self._run
        match effect:
            case StartNode():
                around.runner.submit(
                    NodeTask(
                        execution_id=run.execution_id,
                        epoch=run.epoch,
                        item=effect.item,
                        attempt=effect.attempt,
                        scope=run.scope(effect.node_id, effect.item),
                        reply=self._hear,
                    )
                )
            case SaveOutcome() | SaveCheckpoint():
                self._save()
            case DecideEdges():
                around.runner.submit(DecideTask(run.epoch, run.scope(effect.node_id), self._hear))
            case ExpandItems():
                around.runner.submit(ExpandTask(run.epoch, run.scope(effect.node_id), self._hear))
            case AbortCalls():
                self._drop_held()
                around.runner.abort(run.execution_id)
            case ArmTimer():
                self._arm(effect.due)
            case _:
                assert_never(effect)

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

    # What is recorded

    def _record(self, message: RunMessage) -> int:
        """Have the journal record a message; return the record that what starts next has to wait for, or 0."""
        journal, gauge, run = self._around.journal, self._gauge, self._run
        if journal is None or gauge is None or type(message) is NodeProgressed:
            return 0
        if run.durability == Durability.EXIT and not _is_command(message):
            return 0
        seq = run.journal_seq = run.journal_seq + 1
        now = self._around.clock()
        if gauge.appended <= gauge.confirmed:
            gauge.since = now
        gauge.appended = seq
        behind = seq - gauge.confirmed > LAG_RECORDS or now - gauge.since > LAG_SECONDS
        wait = run.durability == Durability.SYNC or (run.durability == Durability.ASYNC and behind)
        notify = wait or isinstance(message, _ANSWERED) or (type(message) in _OPENINGS and run.epoch > 1)
        journal.tell(AppendRecord(run.execution_id, seq, message, gauge, self.actor_ref if notify else None))
        return seq if wait else 0

    def _confirmed(self, message: RecordConfirmed) -> None:
        """Start what waited for a record; also if it is delayed: live executions go on, and say so."""
        held, self._held = self._held, []
        for seq, effect in held:
            if seq <= message.seq:
                self._perform(effect)
            else:
                self._held.append((seq, effect))
        self._answer(message.seq, on_disk=message.recorded)
        self._body = None
        if self._veiled and message.seq >= self._veiled_until:
            self._unveil()

    def _unveil(self) -> None:
        """Answer those who asked before what they would be shown was on disk."""
        self._veiled_until = 0
        veiled, self._veiled = self._veiled, []
        for since, future in veiled:
            future.set(self._status(since))

    def _answer(self, seq: int, *, on_disk: bool) -> None:
        unanswered, self._unanswered = self._unanswered, []
        for each in unanswered:
            waits_for, future, value, strict = each
            if waits_for <= seq and (on_disk or not strict):
                future.set(value)
            else:
                self._unanswered.append(each)

    def _answer_when_recorded(self, value: object = None, *, strict: bool = True) -> LoopFuture:
        """Return a future of a value, resolved when all that was applied so far is on disk."""
        future = LoopFuture()
        gauge = self._gauge
        if gauge is None or gauge.confirmed >= self._run.journal_seq:
            future.set(value)
        else:
            self._unanswered.append((self._run.journal_seq, future, value, strict))
        return future

    def _drop_held(self) -> None:
        """What has not started is as good as aborted; what only evaluates goes on."""
        held, self._held = self._held, []
        run = self._run
        for _, effect in held:
            if isinstance(effect, StartNode):
                error = NodeError("cancelled", "the attempt was cancelled before it began")
                now = self._around.clock()
                failed = NodeFailed(effect.node_id, effect.item, effect.attempt, run.epoch, error, now)
                self.actor_ref.tell(failed)
            else:
                self._perform(effect)

    def _journal_figures(self) -> JsonObject | None:
        gauge, around = self._gauge, self._around
        if gauge is None:
            return None
        behind = gauge.appended > gauge.confirmed
        return {
            "state": "degraded" if gauge.lost or around.journal_fault() else "ok",
            "records": self._run.journal_seq - self._saved_seq,
            "bytes": gauge.bytes,
            "lag_ms": round(1000 * max(0.0, around.clock() - gauge.since), 3) if behind else 0.0,
        }

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
                if message.result.applied:
                    self._forget_records(message.write.state["journal_seq"])
                if message.result.applied and epoch == self._run.epoch and message.write.save == self._last_save:
                    self._saved = True
                    self._run.revision = max(self._run.revision, message.write.state["revision"])
                    self._body = None
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
        if self._around.journal is not None:
            self._around.journal.tell(ForgetRecords(run.execution_id, run.journal_seq))
        self._tell_supervisor(ExecutionDiscarded(run.execution_id))

    def _forget_records(self, through: int) -> None:
        journal, gauge = self._around.journal, self._gauge
        if journal is None or gauge is None or through <= self._saved_seq:
            return
        self._saved_seq = through
        gauge.bytes = 0
        if through == self._run.journal_seq:
            gauge.lost = False
        journal.tell(ForgetRecords(self._run.execution_id, through))
        # What led to a stored state need not be on disk elsewhere.
        self._answer(through, on_disk=True)

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
        self._body = None
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
        self._apply(resuming)
        _pass_value(self._answer_when_recorded(run.epoch, strict=False), future)
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
            self._apply(TakenUp(message.write.epoch + 1, self._around.clock()))
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
        run, gauge = self._run, self._gauge
        if self._veiled_until and gauge is not None:
            if gauge.confirmed < self._veiled_until and not gauge.lost and not self._around.journal_fault():
                self._veiled.append((since, future := LoopFuture()))
                return future
            self._veiled_until = 0
        if since is not None:
            payload = status_payload(run, self._context(), since)
            return StatusAnswer(orjson.dumps(payload), run.revision)
        body = self._body
        if body is None:
            self._body = body = orjson.dumps(status_payload(run, self._context()))
        return StatusAnswer(body, run.revision)

    def _context(self) -> StatusContext:
        completed = self._run.status is ExecutionStatus.COMPLETED
        saved = self._saved and self._run.status.at_rest and not completed
        return StatusContext(checkpoint_saved=saved, journal=self._journal_figures())

    def _change(self, since: int) -> LoopFuture:
        future: LoopFuture = LoopFuture()
        if self._run.revision > since:
            future.set(self._run.revision)
        else:
            self._changes = self._changes or []
            self._changes.append((since, future))
        return future

    def _resolve_changes(self, *, everything: bool = False) -> None:
        waiting, self._changes = self._changes, None
        revision = self._run.revision
        for since, future in waiting or ():
            if everything or revision > since:
                future.set(revision)
            else:
                self._changes = self._changes or []
                self._changes.append((since, future))

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
        if run.user is None:
            raise ExecutionUserMissing(run.execution_id)
        if message.user is not None and message.user.id != run.user.id:
            raise Forbidden(run.execution_id, "it runs on behalf of another user, and is resumed only for that one")
        if self._resuming is not None and self._pending is not None:
            # It is about to: the same answer, and no second run.
            return self._pending
        if not run.status.at_rest:
            future: LoopFuture = LoopFuture()
            future.set(run.epoch)
            return future
        if not run.status.resumable:
            raise NotResumable(run.execution_id, run.status)
        epoch = run.epoch + 1
        # Nothing changes before the claim is stored: if it is not, this is still at rest, as it was.
        self._resuming = ResumeRequested(epoch, self._around.clock(), message.guidance, message.user)
        claim = ClaimExecution(run.execution_id, epoch, self._around.worker_id, ExecutionStatus.RUNNING.value)
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
        return self._answer_when_recorded()

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
        return self._answer_when_recorded()

    def _interrupt(self, message: InterruptExecution) -> None:
        if not self._run.status.at_rest:
            self._apply(InterruptRequested(self._around.clock(), message.abort))

    def _go_on(self, message: BeginExecution) -> None:
        if not self._run.status.at_rest:
            self._apply(Recovered(message.epoch, self._around.clock(), message.lost))
        elif not self._saved:
            # The actor before this one came to rest and crashed before it knew that it was stored.
            self._save()

    def _take_up(self, message: TakeUpExecution) -> None:
        run, now = self._run, self._around.clock()
        if message.epoch <= run.epoch:
            return
        if message.resume and run.status.at_rest:
            self._saved = False
            self._apply(ResumeRequested(message.epoch, now))
        else:
            self._apply(TakenUp(message.epoch, now))

    def _give_up(self, message: GiveUpExecution) -> None:
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


def _is_command(message: RunMessage) -> bool:
    """Whether a message is recorded in `exit` too. That a first epoch begins needs no record: its row says so."""
    return isinstance(message, COMMANDS) and not (type(message) is Recovered and message.epoch == 1)


def _pass_value(source: LoopFuture, target: LoopFuture) -> None:
    """Resolve one future as another is resolved."""

    def resolved(_: LoopFuture) -> None:
        try:
            target.set(source.get(timeout=0))
        except ActorDeadError as dead:
            target.set_exception((ActorDeadError, dead, None))

    source.add_done_callback(resolved)
