"""What persistence and journal are told, and what they tell whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.messages import RunMessage
from offbook.workflows.records import Write, WriteResult

if TYPE_CHECKING:
    from pykka import ActorRef

    from offbook.actors.surroundings import Teller


@dataclass(frozen=True, slots=True)
class StoreWrite:
    """Anybody to persistence: commit this with whatever else waits; `WriteDone` or `WriteFailed` comes back."""

    write: Write
    reply_to: Teller | None
    keep_trying: bool = False
    """Whether to keep it while the database is away; else `WriteFailed` comes back at once."""


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


@dataclass(frozen=True, slots=True)
class RecordConfirmed:
    """Journal to an execution that asked: this record and those before it are on disk.

    Not `recorded`: that is delayed, because the journal cannot be written.
    """

    seq: int
    recorded: bool


JournalMessage: TypeAlias = AppendRecord | ForgetRecords


@dataclass(frozen=True, slots=True)
class Wake:
    """Relay to its actor: there is something in the mailbox that it keeps for you."""
