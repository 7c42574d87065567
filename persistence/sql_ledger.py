"""The ledger as SQL: what a batch enters into it and gives back, and what is asked of it. Changes no entry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, and_, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from offbook.persistence.databases import away_as_unavailable, in_chunks
from offbook.persistence.tables import ledger
from offbook.workflows.ledger import Bookings, Entry, EntryKind, SettledEntry, Spent, UserBooks
from offbook.workflows.values import NO_USAGE, Usage

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


class LedgerWrites:
    """Enters and gives back within somebody's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        self._enter = (sqlite if dialect.name == "sqlite" else postgresql).insert(ledger).on_conflict_do_nothing()

    def apply(self, connection: Connection, bookings: Iterable[tuple[str, int, Bookings | None]]) -> None:
        """Enter what writes bring along, each with its execution and epoch; an entry whose place is taken is left."""
        found = [each for each in bookings if each[2] is not None]
        if not found:
            return
        rows = [_row(of, books.user_id, entry) for of, _, books in found if books for entry in books.entries]
        if rows:
            connection.execute(self._enter, rows)
        over = [{"of": of, "through": epoch} for of, epoch, books in found if books and books.release]
        if over:
            connection.execute(_RELEASE, over)


class SqlLedger:
    """Implements `LedgerReader` on a pool of connections of SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, *, on_transaction: Callable[[], None]) -> None:
        self._engine = engine
        self._on_transaction = on_transaction

    def user_books(self, user_id: str, first: str, last: str) -> UserBooks:
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
            )

    def spent_by_day(self, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        mine = and_(ledger.c.user_id == user_id, ledger.c.kind == EntryKind.SETTLE.value)
        query = select(ledger.c.day, *_SUMS).where(mine).group_by(ledger.c.day)
        if without:
            query = query.where(ledger.c.execution_id.not_in(list(without)))
        with self._transaction() as connection:
            return {row.day: _usage(row) for row in connection.execute(query)}

    def settled(self, execution_ids: Collection[str]) -> list[SettledEntry]:
        found: list[SettledEntry] = []
        with self._transaction() as connection:
            for some in in_chunks(execution_ids):
                chosen = and_(ledger.c.execution_id.in_(some), ledger.c.kind == EntryKind.SETTLE.value)
                found += [_settled(row) for row in connection.execute(select(ledger).where(chosen))]
        return found

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


def _row(execution_id: str, user_id: str, entry: Entry) -> dict[str, Any]:
    usage = entry.usage
    return {
        "execution_id": execution_id,
        "node_id": entry.node_id,
        "item": entry.item,
        "attempt": entry.attempt,
        "epoch": entry.epoch,
        "kind": entry.kind.value,
        "user_id": user_id,
        "day": entry.day,
        "at": entry.at,
        # A plug-in's own word, and PostgreSQL has no NUL in texts.
        "model": entry.model.replace("\0", "\ufffd"),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
        "estimated": int(usage.estimated),
        "unpriced": int(usage.unpriced),
    }


def _usage(row: Any) -> Usage:
    if row.input_tokens is None:
        return NO_USAGE
    # PostgreSQL sums up whole numbers to decimal ones.
    return Usage(
        int(row.input_tokens), int(row.output_tokens), bool(row.estimated), int(row.cost), bool(row.unpriced)
    )


def _settled(row: Any) -> SettledEntry:
    place = (row.node_id, row.item, row.attempt, row.epoch)
    return SettledEntry(row.execution_id, Entry(EntryKind.SETTLE, *place, row.at, row.model, _usage(row)))
