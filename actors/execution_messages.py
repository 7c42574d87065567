"""What an execution is told and asked. What happens to its run itself is in `workflows.messages`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from offbook.actors.account_messages import AccountLost, CallAllowed, CallHeldBack
from offbook.actors.storage_messages import RecordConfirmed, WriteDone, WriteFailed
from offbook.workflows.budgets import Budget
from offbook.workflows.messages import RunMessage
from offbook.workflows.records import InsertExecution
from offbook.workflows.values import ExecutionUser, JsonValue

if TYPE_CHECKING:
    from offbook.actors.event_ring import Position
    from offbook.actors.publisher import Watcher


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
class StatusAnswer:
    """A status as JSON text, and the revision it shows."""

    body: bytes
    revision: int
    degraded: bool = False
    """Whether it says that the journal is: the journal falls ill and recovers without the execution hearing of it."""


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
