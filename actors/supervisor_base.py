"""What every part of the Supervisor uses: its state, how it spawns and tells executions, its drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.admission import Admission
from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.drain import Drain
from offbook.actors.execution import ExecutionActor
from offbook.actors.execution_messages import BeginExecution, Command, ExecutionMessage, InterruptExecution
from offbook.actors.loop import Dispatcher, LoopActor, LoopFuture
from offbook.actors.recovery_queue import RecoveryQueue
from offbook.actors.supervisor_messages import (
    ExecutionsLoaded,
    ForwardCommand,
    GraceOver,
    SupervisorMessage,
    UnfinishedFound,
)
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus

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


class SupervisorBase(LoopActor):
    """The state of a Supervisor, and what its parts share."""

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

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._around.give_up(f"the supervisor crashed: {type(exception_value).__name__}: {exception_value}")

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

    def _leave(self, execution_id: str) -> None:
        self._admission.leave(execution_id)
        while (following := self._admission.next()) is not None:
            entry = self._directory.find(following)
            if entry is None or entry.status not in _NOT_BEGUN:
                self._admission.leave(following)
                continue
            # One that is being restarted keeps its place, and begins then.
            self._tell(entry, entry.begin or BeginExecution(entry.run.epoch))

    def _command(self, entry: Entry, ref: ActorRef[Any], command: Command) -> LoopFuture:
        entry.commands += 1
        return self._answer_of(ref, command)

    def _release(self, entry: Entry, ref: ActorRef[Any]) -> None:
        """Pass on the commands that waited for this execution's actor."""
        for message, future in self._held.pop(entry.execution_id, ()):
            _pass_on(self._command(entry, ref, message.command), future)

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
