"""What the Supervisor is told and asked, by services, executions, recovery and itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from offbook.actors.execution_messages import Command
from offbook.actors.storage_messages import WriteDone, WriteFailed
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.caller import OPERATOR, Caller
from offbook.workflows.records import ExecutionFilter, InsertExecution, PutWorkflow
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus

if TYPE_CHECKING:
    from pykka import ActorRef


@dataclass(frozen=True, slots=True)
class StartExecution:
    """Service to Supervisor: asked, a future of the execution's id, resolved when it is stored."""

    run: Run
    insert: InsertExecution


@dataclass(frozen=True, slots=True)
class ForwardCommand:
    """Service to Supervisor: asked, a future of the answer of the execution, which is loaded if need be.

    ExecutionNotFound if it is not the caller's: who owns a stored one is known once it is loaded, by that one read.
    """

    command: Command
    caller: Caller = OPERATOR


@dataclass(frozen=True, slots=True)
class DeleteStored:
    """Service to Supervisor: asked, a future of whether the ended execution was there to be forgotten."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class ExecutionLoaded:
    """Loader to Supervisor: what the database had of an execution; None if it has none."""

    execution_id: str
    run: Run | None
    error: Exception | None = None
    records: int = 0
    """The last record that the journal has of it."""
    claimed: int = 0
    """The epoch of a resume that the database has and that was never begun; 0 if there is none."""
    unsaved: bool = False
    """Whether the records brought it to rest, and the database does not know."""
    lost: str = ""
    """What of its work was not recorded: see `Recovered`."""
    gauge: JournalGauge | None = None
    """How far the journal is with it; None without a journal."""
    elsewhere: str = ""
    """The worker that has it, live for all that is known here; empty if that is this one, or if it is at rest."""


@dataclass(frozen=True, slots=True)
class ExecutionAccepted:
    """Execution to Supervisor: my row is stored."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class ExecutionDiscarded:
    """Execution to Supervisor: I was not stored, or belong to an earlier request; forget me."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """Execution to Supervisor: my status is another one now."""

    execution_id: str
    status: ExecutionStatus


@dataclass(frozen=True, slots=True)
class ExecutionSaved:
    """Execution to Supervisor: I am at rest and stored; I need not stay in memory."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class ExecutionRetired:
    """Execution to Supervisor: nothing of mine is under way; I may leave memory, unless a command was sent since."""

    execution_id: str
    commands: int


@dataclass(frozen=True, slots=True)
class ExecutionCrashed:
    """Execution to Supervisor, from its failure hook: I die; this is my state."""

    ref: ActorRef[Any]
    """Who dies: another actor may have taken its place already."""
    execution_id: str
    run: Run
    stored: bool
    """Whether the row was inserted; before that there is nothing to restart."""
    reason: str
    claimed: int = 0
    """The epoch of a claim that was under way, and may be stored; 0 if there was none."""
    gauge: JournalGauge | None = None
    """How far the journal is with it; None without a journal."""


@dataclass(frozen=True, slots=True)
class RestartDue:
    """Supervisor to itself: the backoff of a crashed execution has passed."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class AutoResumeDue:
    """Supervisor to itself: a failed execution's policy says to resume it now."""

    execution_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class EvictionDue:
    """Supervisor to itself: see which executions at rest have been in memory long enough."""


@dataclass(frozen=True, slots=True)
class KeepWorkflow:
    """Service to Supervisor: asked, a future that resolves when the workflow is stored."""

    write: PutWorkflow


@dataclass(frozen=True, slots=True)
class ListLive:
    """Service to Supervisor: asked, a list of ExecutionRow of what is in memory, newest first."""

    where: ExecutionFilter


@dataclass(frozen=True, slots=True)
class ListServices:
    """Service to Supervisor: asked, a list of JSON objects, one for the Supervisor and each actor that serves it."""


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """Engine to Supervisor: admit nothing, interrupt all; asked, a future of how many were checkpointed.

    Asked again it hurries: calls in flight are aborted at once.
    """

    grace: float = 0.0
    """Seconds that calls in flight have to finish before they are aborted."""


@dataclass(frozen=True, slots=True)
class GraceOver:
    """Supervisor to itself: the grace period of a drain has passed."""


@dataclass(frozen=True, slots=True)
class RecoverWorker:
    """Engine to Supervisor: rebuild what was live when this worker's process went away."""


@dataclass(frozen=True, slots=True)
class UnfinishedFound:
    """Recovery to Supervisor: which executions were live; an error if the database or the journal is away."""

    execution_ids: tuple[str, ...]
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ExecutionsLoaded:
    """Recovery to Supervisor: a part of those that were live; an error if it must be tried again."""

    loaded: tuple[ExecutionLoaded, ...]
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class AdoptExecution:
    """Service to Supervisor: asked, a future of whether this execution, which was live, is in memory now."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class ServiceCrashed:
    """PersistenceActor or JournalActor to Supervisor, from its failure hook: I die; my mailbox is kept."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceRestartDue:
    """Supervisor to itself: the backoff of a crashed PersistenceActor or JournalActor has passed."""

    name: str


SupervisorMessage: TypeAlias = (
    StartExecution
    | ForwardCommand
    | DeleteStored
    | ExecutionLoaded
    | ExecutionAccepted
    | ExecutionDiscarded
    | StatusChanged
    | ExecutionSaved
    | ExecutionRetired
    | ExecutionCrashed
    | RestartDue
    | AutoResumeDue
    | EvictionDue
    | KeepWorkflow
    | ListLive
    | ListServices
    | DrainWorker
    | GraceOver
    | RecoverWorker
    | UnfinishedFound
    | ExecutionsLoaded
    | AdoptExecution
    | ServiceCrashed
    | ServiceRestartDue
    | WriteDone
    | WriteFailed
)
