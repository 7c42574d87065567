"""What actors tell and ask each other. What happens to a run itself is in `workflows.messages`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from offbook.actors.account_messages import AccountLost, CallAllowed, CallHeldBack
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.budgets import Budget
from offbook.workflows.caller import OPERATOR, Caller
from offbook.workflows.messages import RunMessage
from offbook.workflows.records import ExecutionFilter, InsertExecution, PutWorkflow, Write, WriteResult
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonValue

if TYPE_CHECKING:
    from pykka import ActorRef

    from offbook.actors.event_ring import Position
    from offbook.actors.publisher import Watcher
    from offbook.actors.surroundings import Teller

# To an execution


@dataclass(frozen=True, slots=True)
class AcceptExecution:
    """Supervisor to a new execution: store that you were accepted.

    Asked: a future of the id that the caller gets, which is another's if the idempotency key was used before.
    """

    insert: InsertExecution
    begin: bool
    """Whether to start running once stored; else it stays queued until `BeginExecution`."""


@dataclass(frozen=True, slots=True)
class BeginExecution:
    """Supervisor to an execution: there is room, go on, in this epoch or a later one."""

    epoch: int
    lost: str = ""
    """What of its work was not recorded: see `Recovered`."""


@dataclass(frozen=True, slots=True)
class GiveUpExecution:
    """Supervisor to an execution: you crashed too often; fail, and keep the checkpoint."""

    reason: str


@dataclass(frozen=True, slots=True)
class GetStatus:
    """Anybody to an execution: asked, answers a StatusAnswer; with `since`, only what changed after it.

    A future of it while the epoch that would be shown is not on disk: a crash must not have it begin again.
    """

    since: int | None = None


@dataclass(frozen=True, slots=True)
class GetChange:
    """Anybody to an execution: asked, a future that resolves once the revision is above `since`.

    After so many seconds nobody waits for it any more.
    """

    since: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GetRest:
    """Anybody to an execution: asked, a future of the revision in which it is at rest and stored."""


@dataclass(frozen=True, slots=True)
class GetOutput:
    """Anybody to an execution: asked, answers the output of a node or item; NodeNotFound if there is none."""

    node_id: str
    item: int | None


@dataclass(frozen=True, slots=True)
class GetRun:
    """Service to an execution: asked, answers its Run, to be read on the control loop and not changed."""


@dataclass(frozen=True, slots=True)
class WatchExecution:
    """Anybody to an execution: asked; tell this watcher how you stand, or what came after an event, and all else."""

    watcher: Watcher
    after: Position | None = None


@dataclass(frozen=True, slots=True)
class UnwatchExecution:
    """Anybody to an execution: this watcher hears no more."""

    watcher: Watcher


@dataclass(frozen=True, slots=True)
class ResumeExecution:
    """Caller or Supervisor to an execution: asked, a future of the epoch in which it goes on."""

    execution_id: str
    guidance: str = ""
    user: ExecutionUser | None = None
    """Forbidden if it is not whose it is, unless it is to be theirs from here on."""
    as_other_user: bool = False


@dataclass(frozen=True, slots=True)
class CancelExecution:
    """Caller to an execution: asked, answers None once accepted."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class PauseExecution:
    """Caller to an execution: asked, answers None once accepted."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class SignalExecution:
    """Caller to an execution: asked, answers None once accepted; ValidationFailed if the form refuses it."""

    execution_id: str
    name: str
    payload: JsonValue


@dataclass(frozen=True, slots=True)
class SetBudget:
    """Operator to an execution: asked, answers None once accepted: this it may spend from now on."""

    execution_id: str
    budget: Budget | None


@dataclass(frozen=True, slots=True)
class InterruptExecution:
    """Supervisor to an execution: the worker goes away; come to rest and save."""

    abort: bool
    """Whether to abort the calls in flight, or let them finish."""


@dataclass(frozen=True, slots=True)
class TakeUpExecution:
    """Supervisor to an execution whose process went away: open this epoch; `BeginExecution` says when to go on."""

    epoch: int
    resume: bool = False
    """Whether it is at rest and is to go on all the same: it was interrupted, or its resume was stored."""


@dataclass(frozen=True, slots=True)
class RetireExecution:
    """Supervisor to an execution at rest: if nothing is under way, say that you may leave memory."""

    commands: int
    """How many commands it was sent; one that comes after this keeps it."""


@dataclass(frozen=True, slots=True)
class CutOffExecution:
    """Supervisor to an execution whose process went away, where nothing goes on by itself: wait for a resume."""


@dataclass(frozen=True, slots=True)
class RecordConfirmed:
    """Journal to an execution that asked: this record and those before it are on disk.

    Not `recorded`: that is delayed, because the journal cannot be written.
    """

    seq: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class WriteDone:
    """Persistence to whoever asked for a write: its transaction is committed."""

    write: Write
    result: WriteResult


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """Persistence to whoever asked for a write: it was not done and is not tried again."""

    write: Write
    error: Exception


Command: TypeAlias = ResumeExecution | CancelExecution | PauseExecution | SignalExecution | SetBudget

ExecutionMessage: TypeAlias = (
    RunMessage
    | Command
    | AcceptExecution
    | BeginExecution
    | GiveUpExecution
    | GetStatus
    | GetChange
    | GetRest
    | GetOutput
    | GetRun
    | WatchExecution
    | UnwatchExecution
    | InterruptExecution
    | TakeUpExecution
    | RetireExecution
    | CutOffExecution
    | RecordConfirmed
    | CallAllowed
    | CallHeldBack
    | AccountLost
    | WriteDone
    | WriteFailed
)

# To the Supervisor


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

# To persistence


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """Anybody to persistence: commit this with whatever else waits; `WriteDone` or `WriteFailed` comes back."""

    write: Write
    reply_to: Teller | None
    keep_trying: bool = False
    """Whether to keep it while the database is away; else `WriteFailed` comes back at once."""


# To the journal


@dataclass(frozen=True, slots=True)
class AppendRecord:
    """Execution to journal: record this message; RecordConfirmed comes back if `reply_to` is given."""

    execution_id: str
    seq: int
    message: RunMessage
    gauge: JournalGauge
    reply_to: ActorRef[Any] | None


@dataclass(frozen=True, slots=True)
class ForgetRecords:
    """Execution to journal: what is recorded up to here is in the database now."""

    execution_id: str
    through: int


JournalMessage: TypeAlias = AppendRecord | ForgetRecords


@dataclass(frozen=True, slots=True)
class Wake:
    """Relay to its actor: there is something in the mailbox that it keeps for you."""


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """A status as JSON text, and the revision it shows."""

    body: bytes
    revision: int
    degraded: bool = False
    """Whether it says that the journal is: the journal falls ill and recovers without the execution hearing of it."""
