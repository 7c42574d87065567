"""The books: what attempts used, what executions reserve, what resumes saved. Rows and questions; no arithmetic."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from offbook.workflows.budgets import Budget
from offbook.workflows.values import Usage, day_of

NO_ITEM = -1


class EntryKind(StrEnum):
    """What an entry says."""

    SETTLE = "settle"
    """An attempt used this."""
    RESERVE = "reserve"
    """An execution that is under way may use this; the entry goes when it comes to rest."""
    SAVED = "saved"
    """Going on where an execution had stopped spared this."""


class Entry(NamedTuple):
    """One line of the ledger. Its place: execution, node, item, attempt, epoch; what has a place already stays."""

    kind: EntryKind
    node_id: str
    """Empty if it is about the execution as a whole."""
    item: int
    attempt: int
    epoch: int
    """In which incarnation: a call that was lost with one and made again is paid twice, and has two entries."""
    at: float
    model: str
    usage: Usage

    @property
    def place(self) -> tuple[str, int, int, int]:
        return self.node_id, self.item, self.attempt, self.epoch

    @property
    def day(self) -> str:
        """The date in UTC: `2026-11-23`."""
        return day_of(self.at)


@dataclass(frozen=True, slots=True)
class Bookings:
    """What one write enters into the ledger, in its own transaction."""

    user_id: str
    entries: tuple[Entry, ...] = ()
    release: bool = False
    """Whether what the execution has reserved in this epoch, and before, is given back."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Settled usage of a user on one day with one model."""

    day: str
    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class SettledEntry:
    """A settled entry of one execution."""

    execution_id: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class UserBooks:
    """What the ledger has of a user within some days."""

    spent: tuple[Spent, ...]
    executions: int
    """How many executions used anything."""
    reserved: Usage
    """Of executions that are under way, whenever they began."""
    saved: Usage
    """By going on from where an execution had stopped."""
    entered: tuple[SettledEntry, ...]
    """What is settled of the executions that were asked for, at the same moment."""


class LedgerReader(Protocol):
    """Answers questions about the books, each in one read transaction that is counted apart; for any thread.

    Every method raises StorageUnavailable if the database is away.
    """

    def user_books(self, user_id: str, first: str, last: str, of: Collection[str] = ()) -> UserBooks:
        """Return what is entered for a user from one day to another, both included, and all of some executions."""
        ...

    def spent_by_day(self, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        """Return what a user has used on each day, but for some executions."""
        ...

    def settled(self, execution_ids: Collection[str]) -> list[SettledEntry]:
        """Return the settled entries of executions."""
        ...

    def budgets(self) -> list[tuple[str, Budget]]:
        """Return every user's budgets."""
        ...
