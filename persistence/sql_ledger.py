"""The ledger as SQL: what a batch enters into it and gives back, and what is asked of it. Changes no entry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    JSON,
    Connection,
    Dialect,
    Engine,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from offbook.persistence.databases import as_drivers_sql, away_as_unavailable, in_chunks
from offbook.persistence.packing import pack_entries, unpack_entries
from offbook.persistence.tables import budgets, ledger
from offbook.workflows.budgets import Budget, BudgetMode, BudgetScope, BudgetUnit, DeleteBudget, PutBudget
from offbook.workflows.ledger import Bookings, Entry, EntryKind, SettledEntry, Spent, UserBooks
from offbook.workflows.records import WriteResult
from offbook.workflows.values import DAY_SECONDS, NO_USAGE, Usage

Place = tuple[str, int, int, int]

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


class Booked(NamedTuple):
    """What a write enters into the ledger, and which write it is."""

    execution_id: str
    epoch: int
    save: int
    bookings: Bookings
    is_first: bool
    """Whether nothing but a reserve can be entered of its execution: then no place is taken."""


class LedgerWrites:
    """Enters and gives back within somebody's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        insert = (sqlite if dialect.name == "sqlite" else postgresql).insert(ledger).on_conflict_do_nothing()
        self._enter = as_drivers_sql(insert, dialect)

    def apply(self, connection: Connection, booked: Sequence[Booked]) -> None:
        """Enter what writes bring along; an entry whose place is taken is left as it is."""
        taken = _places_taken(connection, [each.execution_id for each in booked if not each.is_first])
        rows = [row for each in booked for row in _rows(each, taken.get(each.execution_id))]
        if rows:
            connection.exec_driver_sql(self._enter, rows)
        over = [{"of": each.execution_id, "through": each.epoch} for each in booked if each.bookings.release]
        if over:
            connection.execute(_RELEASE, over)


def _places_taken(connection: Connection, execution_ids: Collection[str]) -> dict[str, set[Place]]:
    found: dict[str, set[Place]] = {}
    for some in in_chunks(execution_ids):
        chosen = and_(ledger.c.execution_id.in_(some), ledger.c.kind != EntryKind.RESERVE.value)
        for row in connection.execute(select(ledger.c.execution_id, ledger.c.entries).where(chosen)):
            places = found.setdefault(row.execution_id, set())
            places.update(entry.place for entry in unpack_entries(EntryKind.SETTLE, "", row.entries))
    return found


def _rows(booked: Booked, taken: set[Place] | None) -> Iterator[tuple[Any, ...]]:
    """Sum up the entries of a write whose places are free: a row of the table for each kind, day and model."""
    sums: dict[tuple[EntryKind, str, float], list[Entry]] = {}
    for entry in booked.bookings.entries:
        if taken is None or entry.place not in taken:
            sums.setdefault((entry.kind, entry.model, entry.at // DAY_SECONDS), []).append(entry)
    for part, ((kind, model, _), entries) in enumerate(sums.items()):
        asked, answered, estimated, cost, unpriced = zip(*[entry.usage for entry in entries], strict=True)
        yield (
            booked.execution_id,
            booked.epoch,
            booked.save,
            part,
            kind.value,
            booked.bookings.user_id,
            entries[0].day,
            # A plug-in's own word, and PostgreSQL has no NUL in texts.
            model.replace("\0", "\ufffd"),
            sum(asked),
            sum(answered),
            sum(cost),
            int(any(estimated)),
            int(any(unpriced)),
            pack_entries(entries),
        )


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
            query = query.where(ledger.c.execution_id.not_in(_listed(without, self._engine.dialect)))
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


def _listed(ids: Collection[str], dialect: Dialect) -> Select[Any]:
    """Select ids from one parameter: a statement takes some ten thousand, and a user may have more at once."""
    text = orjson.dumps(list(ids)).decode()
    if dialect.name == "sqlite":
        return select(func.json_each(text).table_valued("value").c.value)
    return select(func.json_array_elements_text(cast(literal(text, Text), JSON)).column_valued("listed"))


def _read_settled(connection: Connection, execution_ids: Collection[str]) -> Iterator[SettledEntry]:
    for some in in_chunks(execution_ids):
        chosen = and_(ledger.c.execution_id.in_(some), ledger.c.kind == EntryKind.SETTLE.value)
        columns = (ledger.c.execution_id, ledger.c.model, ledger.c.entries)
        for row in connection.execute(select(*columns).where(chosen)):
            for entry in unpack_entries(EntryKind.SETTLE, row.model, row.entries):
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


def _usage(row: Any) -> Usage:
    if row.input_tokens is None:
        return NO_USAGE
    # PostgreSQL sums up whole numbers to decimal ones.
    return Usage(
        int(row.input_tokens), int(row.output_tokens), bool(row.estimated), int(row.cost), bool(row.unpriced)
    )
