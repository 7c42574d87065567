"""The Supervisor: admits executions, spawns an actor for each, restarts the crashed, resumes by policy, drains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, assert_never

from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.admission import Admission
from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.drain import Drain
from offbook.actors.execution import ExecutionActor
from offbook.actors.listing import list_actors
from offbook.actors.loop import Dispatcher, LoopActor, LoopFuture
from offbook.actors.messages import (
    AcceptExecution,
    AdoptExecution,
    AutoResumeDue,
    BeginExecution,
    Command,
    CutOffExecution,
    DeleteStored,
    DrainWorker,
    EvictionDue,
    ExecutionAccepted,
    ExecutionCrashed,
    ExecutionDiscarded,
    ExecutionLoaded,
    ExecutionMessage,
    ExecutionRetired,
    ExecutionSaved,
    ExecutionsLoaded,
    ForgetRecords,
    ForwardCommand,
    GiveUpExecution,
    GraceOver,
    InterruptExecution,
    KeepWorkflow,
    ListActors,
    ListLive,
    RecoverWorker,
    RestartDue,
    ResumeExecution,
    RetireExecution,
    ServiceCrashed,
    ServiceRestartDue,
    StartExecution,
    StatusChanged,
    StoreWrite,
    SupervisorMessage,
    TakeUpExecution,
    UnfinishedFound,
    WriteDone,
    WriteFailed,
)
from offbook.actors.recovery_queue import RecoveryQueue
from offbook.actors.restart_intensity import recent_crashes, restart_delay
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.errors import CommandRefused, Draining, ExecutionNotFound
from offbook.workflows.records import DeleteExecution, PutWorkflow
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject

SERVICE_RESTARTS = 5
SERVICE_PERIOD = 60.0
"""More crashes of the PersistenceActor or JournalActor within so many seconds end the worker."""
EVICTION_SECONDS = 1.0

_NOT_BEGUN = (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING)


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """How much a worker takes on and keeps."""

    max_live: int = 10_000
    max_queued: int = 10_000
    retain_seconds: float = 60.0
    """How long an execution at rest is answered for from memory."""
    retain_count: int = 1000
    """How many executions at rest are kept at most."""


class Recovery(Protocol):
    """Reads what was live when this worker's process went away; answers from another thread."""

    def find(self, reply: Callable[[UnfinishedFound], None]) -> None: ...

    def load(self, execution_ids: tuple[str, ...], reply: Callable[[ExecutionsLoaded], None]) -> None: ...


class Service(Protocol):
    """An actor beside the executions, of which there is one, as its supervisor sees it: a Relay."""

    name: str

    def restart(self) -> None: ...


class Supervisor(LoopActor):
    """Spawns one ExecutionActor per run, knows which are in memory, and keeps them going."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        around: Surroundings,
        limits: SupervisorLimits,
        directory: ExecutionDirectory,
        recovery: Recovery,
        *,
        services: Sequence[Service] = (),
        goes_on: bool = True,
    ) -> None:
        """`goes_on`: executions that a process left unfinished go on by themselves; else they wait for a resume."""
        super().__init__()
        self._recovery = recovery
        self._services = {service.name: service for service in services}
        self._service_crashes: dict[str, tuple[float, ...]] = {}
        self._goes_on = goes_on
        self._queue = RecoveryQueue(directory, needed=goes_on)
        self._dispatcher = dispatcher
        self._limits = limits
        self._directory = directory
        self._admission = Admission(limits.max_live, limits.max_queued)
        self._around = around
        around.supervisor = self.actor_ref
        self._held: dict[str, list[tuple[ForwardCommand, LoopFuture]]] = {}
        """Commands for executions that are being loaded or restarted."""
        self._writing: dict[str, LoopFuture] = {}
        """Who waits for a delete or a workflow to be stored, by its id."""
        self._discarded: set[str] = set()
        """Executions that were refused while what is unfinished was being surveyed."""
        self._rested: dict[str, float] = {}
        self._draining: Drain | None = None
        self._eviction_armed = False

    def on_receive(self, message: SupervisorMessage) -> object:
        match message:
            case StatusChanged():
                return self._status_changed(message)
            case ExecutionAccepted():
                return self._accepted(message)
            case ExecutionSaved():
                return self._saved(message)
            case StartExecution():
                return self._start(message)
            case ExecutionRetired():
                return self._retired(message)
            case ForwardCommand():
                return self._forward(message)
            case ExecutionLoaded():
                return self._loaded(message)
            case ExecutionDiscarded():
                return self._discard(message.execution_id)
            case ExecutionCrashed():
                return self._crashed(message)
            case RestartDue():
                return self._restart(message.execution_id)
            case AutoResumeDue():
                return self._auto_resume(message)
            case EvictionDue():
                return self._evict()
            case DeleteStored():
                return self._delete(message.execution_id)
            case WriteDone() | WriteFailed():
                return self._written(message)
            case KeepWorkflow():
                return self._keep_workflow(message)
            case ListLive():
                return self._directory.rows(message.where, self._around.worker_id)
            case ListActors():
                return self._list_actors()
            case DrainWorker():
                return self._drain(message.grace)
            case GraceOver():
                return self._interrupt_all(abort=True)
            case RecoverWorker():
                return self._recovery.find(self._tell_self)
            case UnfinishedFound():
                return self._found_unfinished(message)
            case ExecutionsLoaded():
                return self._recovered(message)
            case AdoptExecution():
                return self._queue.wait_for(message.execution_id)
            case ServiceCrashed():
                return self._service_crashed(message)
            case ServiceRestartDue():
                return self._services[message.name].restart()
            case _:
                assert_never(message)

    def on_child_stopped(self, child: ActorRef[Any], reason: BaseException | None) -> None:
        """A crash is told by the dying actor itself, with its state; here only one that could not tell is left."""
        if reason is None:
            return
        for entry in self._directory:
            if entry.ref is child:
                logger.error("execution died without its state", execution_id=entry.execution_id, why=str(reason))
                self._crashed(ExecutionCrashed(child, entry.execution_id, entry.run, entry.accepted, str(reason)))
                return

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._around.give_up(f"the supervisor crashed: {type(exception_value).__name__}: {exception_value}")

    # New executions

    def _start(self, message: StartExecution) -> LoopFuture:
        if self._draining is not None:
            raise Draining
        run = message.run
        begin = self._admission.enter(run.execution_id)
        entry = self._spawn(run, inserted=False, saved=False)
        assert entry.ref is not None
        return self._answer_of(entry.ref, AcceptExecution(message.insert, begin))

    def _spawn(self, run: Run, *, inserted: bool, saved: bool, gauge: JournalGauge | None = None) -> Entry:
        entry = self._directory.find(run.execution_id)
        ref = ExecutionActor.spawn(
            self._dispatcher,
            run,
            self._around,
            parent=self.actor_ref,
            inserted=inserted,
            saved=saved,
            gauge=entry.gauge if entry is not None else gauge,
        )
        if entry is None:
            entry = Entry(run, ref)
            self._directory.add(entry)
        entry.ref = ref
        entry.run = run
        entry.status = run.status
        return entry

    def _answer_of(self, ref: ActorRef[Any], message: object) -> LoopFuture:
        """Ask, and give the answer to our own asker, however late it comes."""
        future = ref.ask(message, block=False)
        assert isinstance(future, LoopFuture)
        return future

    def _accepted(self, message: ExecutionAccepted) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None:
            return
        entry.accepted = True
        logger.info("execution accepted", execution_id=entry.execution_id, workflow=entry.run.plan.workflow.name)
        if self._draining is not None:
            self._interrupt(entry)

    def _status_changed(self, message: StatusChanged) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None:
            return
        before, entry.status = entry.status, message.status
        entry.saved = False
        if before.at_rest and not message.status.at_rest:
            # A resume is not turned away.
            self._admission.force(entry.execution_id)
            self._rested.pop(entry.execution_id, None)
        if message.status.at_rest and not before.at_rest:
            logger.info("execution at rest", execution_id=entry.execution_id, status=message.status.value)
            self._leave(entry.execution_id)

    def _leave(self, execution_id: str) -> None:
        self._admission.leave(execution_id)
        while (following := self._admission.next()) is not None:
            entry = self._directory.find(following)
            if entry is None or entry.status not in _NOT_BEGUN:
                self._admission.leave(following)
                continue
            # One that is being restarted keeps its place, and begins then.
            self._tell(entry, entry.begin or BeginExecution(entry.run.epoch))

    def _saved(self, message: ExecutionSaved) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or not entry.status.at_rest:
            return
        entry.saved = True
        entry.rested_at = self._around.clock()
        self._rested[entry.execution_id] = entry.rested_at
        if self._draining is not None:
            self._draining.stored(entry.execution_id)
        elif entry.status is ExecutionStatus.FAILED:
            self._plan_auto_resume(entry)
        self._arm_eviction()

    # Executions at rest

    def _arm_eviction(self) -> None:
        if not self._eviction_armed and self._rested:
            self._eviction_armed = True
            self._later(EVICTION_SECONDS, EvictionDue())

    def _evict(self) -> None:
        self._eviction_armed = False
        now = self._around.clock()
        excess = len(self._rested) - self._limits.retain_count
        for execution_id, since in list(self._rested.items()):
            if excess <= 0 and now - since < self._limits.retain_seconds:
                break
            del self._rested[execution_id]
            excess -= 1
            entry = self._directory.find(execution_id)
            if entry is not None and entry.saved and entry.status.at_rest:
                self._tell(entry, RetireExecution(entry.commands))
        self._arm_eviction()

    def _retired(self, message: ExecutionRetired) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or not (entry.saved and entry.status.at_rest):
            return
        if entry.commands == message.commands:
            self._forget(message.execution_id)
        else:
            self._rested[message.execution_id] = self._around.clock()
            self._arm_eviction()

    def _forget(self, execution_id: str) -> None:
        entry = self._directory.remove(execution_id)
        self._rested.pop(execution_id, None)
        self._leave(execution_id)
        if entry is not None and entry.ref is not None and entry.ref.is_alive():
            entry.ref.stop(block=False)
        if self._draining is not None:
            self._draining.stored(execution_id)

    def _discard(self, execution_id: str) -> None:
        """Forget an execution that was not accepted, also if a survey of what is unfinished saw its row."""
        if not self._directory.recovered.done():
            self._discarded.add(execution_id)
        self._forget(execution_id)

    def _delete(self, execution_id: str) -> LoopFuture:
        entry = self._directory.find(execution_id)
        if entry is not None and not (entry.status.at_rest and entry.saved):
            raise CommandRefused(execution_id, "delete", entry.status, "cancel it first")
        self._forget(execution_id)
        return self._write(execution_id, DeleteExecution(execution_id))

    def _keep_workflow(self, message: KeepWorkflow) -> LoopFuture:
        return self._write(message.write.fingerprint, message.write)

    def _write(self, key: str, write: DeleteExecution | PutWorkflow) -> LoopFuture:
        future = self._writing.get(key)
        if future is None:
            future = self._writing[key] = LoopFuture()
            self._around.persistence.tell(StoreWrite(write, self.actor_ref))
        return future

    def _written(self, message: WriteDone | WriteFailed) -> None:
        write = message.write
        assert isinstance(write, DeleteExecution | PutWorkflow)
        key = write.execution_id if isinstance(write, DeleteExecution) else write.fingerprint
        future = self._writing.pop(key)
        if isinstance(message, WriteDone):
            future.set(message.result.applied)
        else:
            future.set_exception((type(message.error), message.error, None))

    # Commands

    def _forward(self, message: ForwardCommand) -> LoopFuture:
        if self._draining is not None and isinstance(message.command, ResumeExecution):
            raise Draining
        execution_id = message.command.execution_id
        entry = self._directory.find(execution_id)
        if entry is not None and not message.caller.may_see(entry.user_id):
            raise ExecutionNotFound(execution_id)
        held = self._held.get(execution_id)
        if held is None and entry is not None and entry.ref is not None:
            return self._command(entry, entry.ref, message.command)
        future = LoopFuture()
        if held is not None:
            held.append((message, future))
            return future
        self._held[execution_id] = [(message, future)]
        if entry is None:
            self._recovery.load((execution_id,), self._tell_held)
        return future

    def _command(self, entry: Entry, ref: ActorRef[Any], command: Command) -> LoopFuture:
        entry.commands += 1
        return self._answer_of(ref, command)

    def _tell_held(self, message: ExecutionsLoaded) -> None:
        """Have what was loaded for a command taken in; if that was not possible, its sender hears why."""
        held = message.loaded[0]
        self._tell_self(ExecutionLoaded(held.execution_id, None, message.error) if message.error else held)

    def _loaded(self, message: ExecutionLoaded) -> None:
        run = message.run
        owner = run.user.id if run is not None and run.user is not None else None
        held = self._held.pop(message.execution_id, [])
        theirs = [each for each in held if run is not None and each[0].caller.may_see(owner)]
        for each in held:
            if each not in theirs:
                error = message.error or ExecutionNotFound(message.execution_id)
                each[1].set_exception((type(error), error, None))
        if run is None or not theirs:
            return
        self._held[message.execution_id] = theirs
        entry = self._directory.find(message.execution_id) or self._take_in(message, run)
        if entry.ref is not None:
            self._release(entry, entry.ref)

    def _release(self, entry: Entry, ref: ActorRef[Any]) -> None:
        """Pass on the commands that waited for this execution's actor."""
        for message, future in self._held.pop(entry.execution_id, ()):
            _pass_on(self._command(entry, ref, message.command), future)

    def _take_in(self, loaded: ExecutionLoaded, run: Run) -> Entry:
        """Take an execution that was stored into memory: one at rest as it is, one that was live goes on."""
        run.db_reads += 1
        if loaded.claimed:
            run.db_writes += 1
        resumes = self._goes_on and (run.status is ExecutionStatus.INTERRUPTED or loaded.claimed)
        if not run.status.at_rest or resumes:
            return self._take_up(loaded, run)
        if loaded.unsaved:
            # It had come to rest, and its process went away before that was stored. What was streamed then was
            # shown, and is not in the journal: what is shown from here on is of a new epoch.
            entry = self._spawn(run, inserted=True, saved=False, gauge=loaded.gauge)
            entry.accepted = True
            assert entry.ref is not None
            entry.ref.tell(TakeUpExecution(run.epoch + 1))
            return entry
        if loaded.records and self._around.journal is not None:
            self._around.journal.tell(ForgetRecords(run.execution_id, loaded.records))
        entry = self._spawn(run, inserted=True, saved=True, gauge=loaded.gauge)
        entry.accepted = entry.saved = True
        entry.rested_at = self._around.clock()
        self._rested[run.execution_id] = entry.rested_at
        self._arm_eviction()
        return entry

    def _take_up(self, loaded: ExecutionLoaded, run: Run) -> Entry:
        """Take in an execution that had not finished: it goes on when there is a place for it."""
        entry = self._spawn(run, inserted=True, saved=run.status.at_rest, gauge=loaded.gauge)
        entry.accepted = True
        assert entry.ref is not None
        if not self._goes_on:
            entry.ref.tell(CutOffExecution())
            return entry
        entry.status = ExecutionStatus.RECOVERING
        epoch = max(run.epoch, loaded.claimed) + 1
        entry.begin = BeginExecution(epoch, loaded.lost)
        entry.ref.tell(TakeUpExecution(epoch, resume=True))
        if self._admission.enter(run.execution_id, bounded=False):
            entry.ref.tell(entry.begin)
        logger.info("execution taken up again", execution_id=run.execution_id, epoch=entry.begin.epoch)
        return entry

    # What was live when this worker's process went away

    def _found_unfinished(self, message: UnfinishedFound) -> None:
        if message.error is not None:
            self._recover_later(message.error, RecoverWorker())
            return
        self._queue.survey(message.execution_ids)
        if self._directory.recovering:
            logger.info("recovery begins", executions=len(self._directory.recovering))
        self._recover_next()

    def _recover_next(self) -> None:
        part = self._queue.next_part()
        if part:
            self._recovery.load(part, self._tell_self)

    def _recovered(self, message: ExecutionsLoaded) -> None:
        if message.error is not None:
            self._recover_later(message.error, ExecutionsLoaded(()))
            return
        for loaded in message.loaded:
            if loaded.execution_id not in self._directory and loaded.execution_id not in self._discarded:
                self._recover(loaded)
            entry = self._directory.find(loaded.execution_id)
            if entry is not None and entry.ref is not None:
                self._release(entry, entry.ref)
            self._queue.done(loaded.execution_id)
        if message.loaded and not self._directory.recovering:
            logger.info("recovery is complete")
        self._recover_next()

    def _recover(self, loaded: ExecutionLoaded) -> None:
        if loaded.run is not None:
            self._take_in(loaded, loaded.run)
        elif loaded.error is not None:
            logger.error("execution cannot be recovered", execution_id=loaded.execution_id, why=str(loaded.error))
            self._around.dead_letters.add(
                self._around.clock(), "unrecoverable", loaded.execution_id, str(loaded.error)
            )
        elif loaded.records and self._around.journal is not None:
            # It was deleted, and its records were left.
            self._around.journal.tell(ForgetRecords(loaded.execution_id, loaded.records))

    def _recover_later(self, error: Exception, again: SupervisorMessage) -> None:
        delay = self._queue.delay()
        logger.warning("recovery waits", retry_in=delay, why=str(error))
        self._later(delay, again)

    # Crashes

    def _service_crashed(self, message: ServiceCrashed) -> None:
        crashes = recent_crashes(self._service_crashes.get(message.name, ()), self._around.clock(), SERVICE_PERIOD)
        self._service_crashes[message.name] = crashes
        logger.error("service crashed, its mailbox is kept", service=message.name, why=message.reason)
        if len(crashes) > SERVICE_RESTARTS:
            times = f"{len(crashes)} times within {SERVICE_PERIOD:g} s"
            self._around.give_up(f"the {message.name} actor crashed {times}: {message.reason}")
            return
        self._later(restart_delay(crashes), ServiceRestartDue(message.name))

    def _crashed(self, message: ExecutionCrashed) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or entry.ref is not message.ref:
            return
        around = self._around
        around.runner.abort(message.execution_id, silently=True)
        entry.ref = None
        entry.run = message.run
        entry.last_reason = message.reason
        entry.claimed = message.claimed
        entry.gauge = message.gauge
        if not message.stored:
            logger.error(
                "execution crashed before it was stored", execution_id=entry.execution_id, why=message.reason
            )
            self._forget(entry.execution_id)
            return
        policy = message.run.plan.workflow.restart
        entry.crashes = recent_crashes(entry.crashes, around.clock(), policy.within)
        entry.restarts += 1
        if len(entry.crashes) > policy.max_restarts:
            entry.poisoned = True
        delay = 0.0 if entry.poisoned else restart_delay(entry.crashes)
        logger.warning(
            "execution crashed", execution_id=entry.execution_id, why=message.reason, restarts=entry.restarts
        )
        entry.status = ExecutionStatus.RECOVERING
        if around.feed is not None:
            around.feed.note(entry.execution_id)
        self._later(delay, RestartDue(entry.execution_id))

    def _restart(self, execution_id: str) -> None:
        entry = self._directory.find(execution_id)
        if entry is None or entry.ref is not None:
            return
        turn = entry.turn_awaited()
        entry = self._spawn(entry.run, inserted=True, saved=entry.saved or turn is not None)
        assert entry.ref is not None
        if turn is not None and not entry.poisoned:
            self._await_turn_again(entry, entry.ref, turn)
        elif entry.run.status.at_rest:
            self._rest_again(entry, entry.ref)
        elif entry.poisoned:
            reason = f"its actor crashed {len(entry.crashes)} times: {entry.last_reason}"
            entry.ref.tell(GiveUpExecution(reason))
        elif self._draining is not None:
            entry.ref.tell(CutOffExecution())
        else:
            entry.ref.tell(BeginExecution(entry.run.epoch + 1))
        self._release(entry, entry.ref)

    def _await_turn_again(self, entry: Entry, ref: ActorRef[Any], begin: BeginExecution) -> None:
        """It had been taken up, and crashed before it went on."""
        entry.status = ExecutionStatus.RECOVERING
        ref.tell(TakeUpExecution(begin.epoch, resume=True))
        if self._draining is not None:
            ref.tell(CutOffExecution())
        elif self._admission.has(entry.execution_id):
            ref.tell(begin)

    def _rest_again(self, entry: Entry, ref: ActorRef[Any]) -> None:
        """What was at rest when its actor crashed only has to be stored, if it is not."""
        if entry.claimed:
            # Whoever asked for the resume heard that it failed: a later epoch says that it is at rest.
            entry.saved = False
            ref.tell(TakeUpExecution(entry.claimed + 1))
            entry.claimed = 0
            return
        if not entry.saved:
            ref.tell(BeginExecution(entry.run.epoch))
            return
        self._rested[entry.execution_id] = entry.rested_at
        if self._draining is not None:
            self._draining.stored(entry.execution_id)
        self._arm_eviction()

    def _plan_auto_resume(self, entry: Entry) -> None:
        policy = entry.run.plan.workflow.restart
        if entry.poisoned or entry.auto_resumes >= policy.auto_resume or entry.run.out_of_regenerations():
            return
        delay = policy.delay * 2**entry.auto_resumes
        entry.auto_resumes += 1
        logger.info("failed execution will be resumed", execution_id=entry.execution_id, seconds=delay)
        self._rested.pop(entry.execution_id, None)
        self._later(delay, AutoResumeDue(entry.execution_id, entry.run.epoch))

    def _auto_resume(self, message: AutoResumeDue) -> None:
        entry = self._directory.find(message.execution_id)
        if self._draining is not None or entry is None or entry.ref is None or entry.run.epoch != message.epoch:
            return
        if entry.status is not ExecutionStatus.FAILED:
            return
        self._command(entry, entry.ref, ResumeExecution(message.execution_id))

    # The worker goes away

    def _drain(self, grace: float) -> LoopFuture:
        draining = self._draining
        if draining is None:
            unsaved = (entry.execution_id for entry in self._directory if not entry.saved)
            draining = self._draining = Drain(unsaved)
            logger.info("drain begins", executions=draining.total, grace=grace)
            if grace > 0:
                self._later(grace, GraceOver())
            self._interrupt_all(abort=grace <= 0)
        else:
            self._interrupt_all(abort=True)
        return draining.finished

    def _interrupt_all(self, *, abort: bool) -> None:
        assert self._draining is not None
        self._draining.aborts |= abort
        for entry in list(self._directory):
            self._interrupt(entry)

    def _interrupt(self, entry: Entry) -> None:
        if entry.accepted and not entry.status.at_rest and self._draining is not None:
            self._tell(entry, InterruptExecution(self._draining.aborts))

    def _tell(self, entry: Entry, message: ExecutionMessage) -> None:
        """Tell an execution; one that has just crashed is told anew what it is to do when it is restarted."""
        if entry.ref is None:
            return
        try:
            entry.ref.tell(message)
        except ActorDeadError:
            logger.debug("execution crashed before it was told", execution_id=entry.execution_id)

    # What people ask

    def _list_actors(self) -> list[JsonObject]:
        return list_actors(self, self._around, self._directory)

    def _later(self, seconds: float, message: SupervisorMessage) -> None:
        self._around.loop.call_later(seconds, self._tell_self, message)

    def _tell_self(self, message: SupervisorMessage) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(message)


def _pass_on(source: LoopFuture, target: LoopFuture) -> None:
    """Give what one future resolves to, through futures of futures, to another."""

    def resolved(_: object) -> None:
        try:
            value = source.get(timeout=0)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            target.set_exception((type(error), error, error.__traceback__))
            return
        if isinstance(value, LoopFuture):
            _pass_on(value, target)
        else:
            target.set(value)

    source.add_done_callback(resolved)
