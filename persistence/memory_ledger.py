"""The ledger in memory, as `sql_ledger` keeps it in a database. Implements `LedgerReader`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable

from offbook.workflows.budgets import Budget, BudgetScope, BudgetUnit, DeleteBudget, PutBudget
from offbook.workflows.ledger import Bookings, Entry, EntryKind, SettledEntry, Spent, UserBooks
from offbook.workflows.values import NO_USAGE, Usage


class MemoryLedger:
    """Entries by execution and place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reads = 0
        """How often it was read, as a database counts transactions."""
        self._budgets: dict[tuple[str, BudgetScope, BudgetUnit], Budget] = {}
        self._entries: dict[str, dict[tuple[str, int, int, int], tuple[str, Entry]]] = {}

    def apply(self, execution_id: str, epoch: int, bookings: Bookings | None) -> None:
        """Enter what a write brings along; an entry whose place is taken is left as it is."""
        if bookings is None:
            return
        with self._lock:
            entries = self._entries.setdefault(execution_id, {})
            for entry in bookings.entries:
                entries.setdefault(entry.place, (bookings.user_id, entry))
            if bookings.release:
                self._release(execution_id, epoch)

    def release(self, execution_id: str) -> None:
        """Give back what an execution that is forgotten had reserved."""
        with self._lock:
            self._release(execution_id, None)

    def _release(self, execution_id: str, through: int | None) -> None:
        entries = self._entries.get(execution_id, {})
        for place, (_, entry) in list(entries.items()):
            if entry.kind is EntryKind.RESERVE and (through is None or entry.epoch <= through):
                del entries[place]

    def apply_budget(self, write: PutBudget | DeleteBudget) -> bool:
        """Store or forget a budget; return whether there was one to be forgotten."""
        with self._lock:
            if isinstance(write, PutBudget):
                self._budgets[write.user_id, write.budget.scope, write.budget.unit] = write.budget
                return True
            return self._budgets.pop((write.user_id, write.scope, write.unit), None) is not None

    def budgets(self) -> list[tuple[str, Budget]]:
        with self._lock:
            self.reads += 1
            return [(user_id, budget) for (user_id, _, _), budget in self._budgets.items()]

    def user_books(self, user_id: str, first: str, last: str, of: Collection[str] = ()) -> UserBooks:
        self._count()
        within = self._of(user_id, lambda entry: first <= entry.day <= last)
        settled = [(of, entry) for of, entry in within if entry.kind is EntryKind.SETTLE]
        by_day: dict[tuple[str, str], Usage] = {}
        for _, entry in settled:
            place = (entry.day, entry.model)
            by_day[place] = by_day.get(place, NO_USAGE) + entry.usage
        return UserBooks(
            spent=tuple(Spent(*place, usage) for place, usage in sorted(by_day.items())),
            executions=len({of for of, _ in settled}),
            reserved=_sum(entry for _, entry in self._of(user_id, lambda entry: entry.kind is EntryKind.RESERVE)),
            saved=_sum(entry for _, entry in within if entry.kind is EntryKind.SAVED),
            entered=tuple(self._settled(of)),
        )

    def spent_by_day(self, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        self._count()
        days: dict[str, Usage] = {}
        for of, entry in self._of(user_id, lambda entry: entry.kind is EntryKind.SETTLE):
            if of not in without:
                days[entry.day] = days.get(entry.day, NO_USAGE) + entry.usage
        return days

    def settled(self, execution_ids: Collection[str]) -> list[SettledEntry]:
        self._count()
        return self._settled(execution_ids)

    def used_by(self, execution_id: str) -> Usage:
        """Return what an execution used."""
        return _sum(each.entry for each in self._settled([execution_id]))

    def _count(self) -> None:
        with self._lock:
            self.reads += 1

    def _settled(self, execution_ids: Collection[str]) -> list[SettledEntry]:
        with self._lock:
            return [
                SettledEntry(each, entry)
                for each in execution_ids
                for _, entry in self._entries.get(each, {}).values()
                if entry.kind is EntryKind.SETTLE
            ]

    def _of(self, user_id: str, chosen: Callable[[Entry], bool]) -> list[tuple[str, Entry]]:
        with self._lock:
            return [
                (execution_id, entry)
                for execution_id, entries in self._entries.items()
                for whose, entry in entries.values()
                if whose == user_id and chosen(entry)
            ]


def _sum(entries: Iterable[Entry]) -> Usage:
    total = NO_USAGE
    for entry in entries:
        total = total + entry.usage
    return total
