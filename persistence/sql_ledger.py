"""The ledger as SQL: what a batch enters into it and gives back, and what is asked of it. Changes no entry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, and_, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from offbook.persistence.databases import away_as_unavailable, in_chunks
from offbook.persistence.tables import budgets, ledger
from offbook.workflows.budgets import Budget, BudgetMode, BudgetScope, BudgetUnit, DeleteBudget, PutBudget
from offbook.workflows.ledger import Bookings, Entry, EntryKind, SettledEntry, Spent, UserBooks
from offbook.workflows.records import WriteResult
from offbook.workflows.values import NO_USAGE, Usage, day_of

ROWS_AT_ONCE = 50
"""SQLite takes at most 999 values where it is old."""

_COLUMNS = tuple(column.name for column in ledger.columns)
_PLAIN = f"INSERT OR IGNORE INTO ledger ({', '.join(_COLUMNS)}) VALUES "
_PLACES = f"({', '.join('?' * len(_COLUMNS))})"
_RELEASE = delete(ledger).where(
    ledger.c.execution_id == bindparam("of"),
    ledger.c.kind == EntryKind.RESERVE.value,
    ledger.c.epoch <= bindparam("through"),
)
_SUMS = (
    func.sum(ledger.c.input_tokens).label("input_tokens"),
    func.sum(ledger.c.output_tokens).label("output_tokens"),
    func.max(ledger.c.estimated).label("estimated"),
    func.sum(ledger.c.cost).label("cost"),
    func.max(ledger.c.unpriced).label("unpriced"),
)


_FORGET_BUDGET = delete(budgets).where(
    budgets.c.user_id == bindparam("of"),
    budgets.c.scope == bindparam("scope_of"),
    budgets.c.unit == bindparam("unit_of"),
)


class LedgerWrites:
    """Enters and gives back within somebody's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        is_sqlite = dialect.name == "sqlite"
        self._enter = (sqlite if is_sqlite else postgresql).insert(ledger).on_conflict_do_nothing()
        self._is_sqlite = is_sqlite

    def apply(self, connection: Connection, bookings: Iterable[tuple[str, int, Bookings | None]]) -> None:
        """Enter what writes bring along, each with its execution and epoch; an entry whose place is taken is left."""
        found = [each for each in bookings if each[2] is not None]
        if not found:
            return
        rows = [_row(of, books.user_id, entry) for of, _, books in found if books for entry in books.entries]
        if self._is_sqlite:
            _enter_plainly(connection, rows)
        elif rows:
            connection.execute(self._enter, [dict(zip(_COLUMNS, row, strict=True)) for row in rows])
        over = [{"of": of, "through": epoch} for of, epoch, books in found if books and books.release]
        if over:
            connection.execute(_RELEASE, over)


def _enter_plainly(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Enter rows in SQLite, many with one statement: one for each would cost twice as much, and there are many."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        statement = f"{_PLAIN}{', '.join([_PLACES] * len(part))}"
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


class BudgetWrites:
    """Stores and forgets budgets of users within somebody's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        put = (sqlite if dialect.name == "sqlite" else postgresql).insert(budgets)
        changed = {name: put.excluded[name] for name in ("amount", "mode")}
        self._put = put.on_conflict_do_update(index_elements=["user_id", "scope", "unit"], set_=changed)

    def apply(
        self,
        connection: Connection,
        writes: Sequence[tuple[int, PutBudget | DeleteBudget]],
        results: list[WriteResult],
    ) -> None:
        for place, write in writes:
            if isinstance(write, PutBudget):
                connection.execute(self._put, {"user_id": write.user_id, **_columns(write.budget)})
            else:
                this = {"of": write.user_id, "scope_of": write.scope.value, "unit_of": write.unit.value}
                if not connection.execute(_FORGET_BUDGET, this).rowcount:
                    results[place] = WriteResult(applied=False)


class SqlLedger:
    """Implements `LedgerReader` on a pool of connections of SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, *, on_transaction: Callable[[], None]) -> None:
        self._engine = engine
        self._on_transaction = on_transaction

    def user_books(self, user_id: str, first: str, last: str, of: Collection[str] = ()) -> UserBooks:
        within = and_(ledger.c.user_id == user_id, ledger.c.day >= first, ledger.c.day <= last)
        settled = and_(within, ledger.c.kind == EntryKind.SETTLE.value)
        spent = (
            select(ledger.c.day, ledger.c.model, *_SUMS)
            .where(settled)
            .group_by(ledger.c.day, ledger.c.model)
            .order_by(ledger.c.day, ledger.c.model)
        )
        counted = select(func.count(ledger.c.execution_id.distinct())).where(settled)
        reserved = select(*_SUMS).where(ledger.c.user_id == user_id, ledger.c.kind == EntryKind.RESERVE.value)
        saved = select(*_SUMS).where(within, ledger.c.kind == EntryKind.SAVED.value)
        with self._transaction() as connection:
            return UserBooks(
                spent=tuple(Spent(row.day, row.model, _usage(row)) for row in connection.execute(spent)),
                executions=connection.execute(counted).scalar_one(),
                reserved=_usage(connection.execute(reserved).one()),
                saved=_usage(connection.execute(saved).one()),
                entered=tuple(_read_settled(connection, of)),
            )

    def spent_by_day(self, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        mine = and_(ledger.c.user_id == user_id, ledger.c.kind == EntryKind.SETTLE.value)
        query = select(ledger.c.day, *_SUMS).where(mine).group_by(ledger.c.day)
        if without:
            query = query.where(ledger.c.execution_id.not_in(list(without)))
        with self._transaction() as connection:
            return {row.day: _usage(row) for row in connection.execute(query)}

    def settled(self, execution_ids: Collection[str]) -> list[SettledEntry]:
        with self._transaction() as connection:
            return list(_read_settled(connection, execution_ids))

    def budgets(self) -> list[tuple[str, Budget]]:
        with self._transaction() as connection:
            return [(row.user_id, _budget(row)) for row in connection.execute(select(budgets))]

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._on_transaction()
        with away_as_unavailable(), self._engine.begin() as connection:
            yield connection


def used_by(connection: Connection, execution_ids: Collection[str]) -> dict[str, Usage]:
    """Return what executions used, within somebody's transaction."""
    found: dict[str, Usage] = {}
    for some in in_chunks(execution_ids):
        query = (
            select(ledger.c.execution_id, *_SUMS)
            .where(ledger.c.execution_id.in_(some), ledger.c.kind == EntryKind.SETTLE.value)
            .group_by(ledger.c.execution_id)
        )
        found.update((row.execution_id, _usage(row)) for row in connection.execute(query))
    return found


def _read_settled(connection: Connection, execution_ids: Collection[str]) -> Iterator[SettledEntry]:
    for some in in_chunks(execution_ids):
        chosen = and_(ledger.c.execution_id.in_(some), ledger.c.kind == EntryKind.SETTLE.value)
        for row in connection.execute(select(ledger).where(chosen)):
            place = (row.node_id, row.item, row.attempt, row.epoch)
            entry = Entry(EntryKind.SETTLE, *place, row.at, row.model, _usage(row))
            yield SettledEntry(row.execution_id, entry)


def _columns(budget: Budget) -> dict[str, Any]:
    return {
        "scope": budget.scope.value,
        "unit": budget.unit.value,
        "amount": budget.amount,
        "mode": budget.mode.value,
    }


def _budget(row: Any) -> Budget:
    return Budget(BudgetScope(row.scope), BudgetUnit(row.unit), int(row.amount), BudgetMode(row.mode))


def _row(execution_id: str, user_id: str, entry: Entry) -> tuple[Any, ...]:
    """Write an entry as a row, in the order of the table's columns."""
    usage = entry.usage
    return (
        execution_id,
        entry.node_id,
        entry.item,
        entry.attempt,
        entry.epoch,
        entry.kind.value,
        user_id,
        day_of(entry.at),
        entry.at,
        # A plug-in's own word, and PostgreSQL has no NUL in texts.
        entry.model.replace("\0", "\ufffd"),
        usage.input_tokens,
        usage.output_tokens,
        usage.cost,
        int(usage.estimated),
        int(usage.unpriced),
    )


def _usage(row: Any) -> Usage:
    if row.input_tokens is None:
        return NO_USAGE
    # PostgreSQL sums up whole numbers to decimal ones.
    return Usage(
        int(row.input_tokens), int(row.output_tokens), bool(row.estimated), int(row.cost), bool(row.unpriced)
    )
