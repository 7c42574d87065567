"""What is kept of executions, and the protocols of those who keep it; implemented by `offbook.persistence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from offbook.workflows.budgets import DeleteBudget, PutBudget
from offbook.workflows.key_records import DeleteKey, KeyReader, PutKey
from offbook.workflows.ledger import Bookings, LedgerReader
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject, JsonValue, Usage

CHECKPOINT_SCHEMA = 1
"""Version of the state in checkpoints and outcomes; raised with every change that older code cannot read."""


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """What a node, or one item of a foreach, returned."""

    node_id: str
    item: int | None
    value: JsonValue
    kept: bool = False
    """Whether it is of the execution that this one is a fork of: this one may take it over, or make its own."""


@dataclass(frozen=True, slots=True)
class InsertExecution:
    """Write: an execution was accepted. 202 follows its commit."""

    execution_id: str
    workflow_name: str
    fingerprint: str
    document: JsonObject
    """Stored once per fingerprint, in the same transaction, if the database does not have it yet."""
    user: ExecutionUser | None
    labels: dict[str, str]
    inputs: JsonObject
    durability: str
    worker_id: str
    created_at: float
    idempotency_key: str | None = None
    request_hash: str | None = None
    """Hash of the request that came with the key: another request under the same key is a conflict."""
    parent_id: str | None = None
    """Of a fork: the execution it comes from, which it needs no more."""
    state: JsonObject | None = None
    """Of a fork: the state that it begins with."""
    outputs: tuple[StoredOutput, ...] = ()
    """Of a fork: what it may keep of its parent's outputs."""
    budget: JsonObject | None = None
    """What it may spend; None: what its workflow says."""
    bookings: Bookings | None = None
    """What is entered into the ledger with it, if it is inserted."""


@dataclass(frozen=True, slots=True)
class ClaimExecution:
    """Write: a resume opens a new epoch. Refused (stale) unless the stored epoch is lower."""

    execution_id: str
    epoch: int
    worker_id: str
    status: str
    bookings: Bookings | None = None
    user: ExecutionUser | None = None
    """Whose it is from here on; None: as before."""


@dataclass(frozen=True, slots=True)
class SaveState:
    """Write: an execution ended or stopped. Refused (stale) if the stored epoch is higher."""

    execution_id: str
    epoch: int
    save: int
    """Counts the writes of this execution: with the epoch it names this save, also when it is repeated."""
    status: str
    state: JsonObject
    """All that a run is made of, without outputs and inputs: `Run.to_state`."""
    outputs: tuple[StoredOutput, ...]
    """Those that were not stored before; each is stored once."""
    started_at: float | None
    finished_at: float | None
    error_type: str | None
    percent: float
    checkpoint: CheckpointSummary | None
    """None: it completed, and a checkpoint it may have is deleted in the same transaction."""
    bookings: Bookings | None = None
    """What is entered into the ledger with it, also if it is refused: what was used was used."""
    user: ExecutionUser | None = None
    """Whose it is, where its row may name another: past the first epoch. None: as before."""


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    """The columns of a checkpoint that people look at; the rest is in the state."""

    schema_version: int
    fingerprint: str
    user: ExecutionUser | None
    failed_node: str | None
    completed_nodes: tuple[str, ...]
    last_output_node: str | None
    saved_at: float


@dataclass(frozen=True, slots=True)
class DeleteExecution:
    """Write: forget an ended execution: row, outputs, checkpoint, labels. The ledger keeps what it used."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class PutWorkflow:
    """Write: register a workflow under its name and fingerprint; the newest of a name answers to the name."""

    fingerprint: str
    name: str
    document: JsonObject
    created_at: float


Write: TypeAlias = (
    InsertExecution
    | ClaimExecution
    | SaveState
    | DeleteExecution
    | PutWorkflow
    | PutKey
    | DeleteKey
    | PutBudget
    | DeleteBudget
)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one write of a committed transaction."""

    applied: bool = True
    """False: refused as stale (epoch, or the key that was to be replaced), or there is no such thing."""
    existing_id: str | None = None
    """InsertExecution whose idempotency key was taken: whose it is. Nothing was inserted."""
    existing_hash: str | None = None


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """One execution as the database has it, complete enough to answer its status or to go on."""

    execution_id: str
    workflow_name: str
    fingerprint: str
    document: JsonObject
    status: str
    epoch: int
    worker_id: str
    user: ExecutionUser | None
    labels: dict[str, str]
    inputs: JsonObject
    durability: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    state: JsonObject | None
    """From the checkpoint if there is one, else from the outcome; None: nothing was saved since acceptance.

    A fork has one from the start: what it may keep of its parent.
    """
    outputs: tuple[StoredOutput, ...]
    checkpoint: CheckpointSummary | None
    parent_id: str | None = None
    budget: JsonObject | None = None
    """What it was started with; what it has now is in its state."""


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """One line of a list of executions."""

    execution_id: str
    workflow_name: str
    fingerprint: str
    status: str
    epoch: int
    worker_id: str
    user_id: str | None
    labels: dict[str, str]
    durability: str
    percent: float
    error_type: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    parent_id: str | None = None
    usage: Usage = NO_USAGE
    """Of every attempt that the ledger has; only lists look it up."""


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions a list shows. Empty fields do not filter."""

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    """A name or a fingerprint."""
    user_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    worker_id: str | None = None
    parent_id: str | None = None
    """The forks of this execution."""


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """One registered or used workflow."""

    fingerprint: str
    name: str
    created_at: float


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One message of a run, as it is recorded."""

    execution_id: str
    seq: int
    """Counts the records of an execution from 1, without gaps."""
    data: bytes


class JournalStore(Protocol):
    """Keeps the records of one worker. `commit` is called from one thread, the others from any.

    Every method raises StorageUnavailable if it cannot be reached, read or written now.
    """

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        """Keep records, and forget those up to a seq of each execution, in one transaction that is on disk."""
        ...

    def execution_ids(self) -> list[str]:
        """Return which executions have records."""
        ...

    def read(self, execution_ids: Sequence[str]) -> dict[str, list[JournalRecord]]:
        """Return the readable records of each, in order of seq; executions without any are left out."""
        ...

    def size(self) -> int:
        """Return how many bytes the journal takes; 0 if that is not known."""
        ...

    def close(self) -> None: ...


class ExecutionWriter(Protocol):
    """Runs writes; called from one thread only."""

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Apply all writes, in order, in one transaction; a result for each.

        Raises StorageUnavailable if the database is away or refuses for now (nothing was applied, or it is
        unknown: writes may be repeated, each is idempotent under its execution id and epoch).
        """
        ...


class ExecutionReader(KeyReader, Protocol):
    """Answers questions, each in one read transaction; callable from several threads.

    Every method raises StorageUnavailable if the database is away.
    """

    def load(self, execution_id: str) -> StoredExecution | None: ...

    def load_many(self, execution_ids: Sequence[str]) -> list[StoredExecution]:
        """Load several at once, in any order; those that do not exist are left out."""
        ...

    def load_row(self, execution_id: str) -> ExecutionRow | None: ...

    def list_executions(
        self, where: ExecutionFilter, *, before: tuple[float, str] | None, limit: int
    ) -> list[ExecutionRow]:
        """Newest first (created_at, then id, both descending), strictly after the cursor `before`."""
        ...

    def unfinished(self, worker_id: str) -> list[str]:
        """Return the executions of a worker that run, or were interrupted when it went away, oldest first."""
        ...

    def workflow(self, reference: str) -> tuple[WorkflowRow, JsonObject] | None:
        """By fingerprint, or the newest of that name."""
        ...

    def list_workflows(
        self, *, name: str | None = None, after: tuple[float, str] | None = None, limit: int
    ) -> list[WorkflowRow]:
        """Those that were registered, perhaps of one name, newest first (then by fingerprint), strictly `after`."""
        ...

    def ping(self) -> None: ...


class ExecutionStore(Protocol):
    """A database of executions."""

    @property
    def writer(self) -> ExecutionWriter: ...

    @property
    def reader(self) -> ExecutionReader: ...

    @property
    def books(self) -> LedgerReader: ...

    def transactions(self) -> tuple[int, int]:
        """How many (read, write) transactions this store has sent since it was opened, without those of the books."""
        ...

    def reads_apart(self) -> int:
        """How many transactions read the books: they are a worker's, not an execution's."""
        ...

    def close(self) -> None: ...
