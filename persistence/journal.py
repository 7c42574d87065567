"""The journal of a worker as a table: SQLite in the data folder, or any database that SQLAlchemy speaks.

It is a record of its own, beside the executions database, and costs that one nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from loguru import logger
from sqlalchemy import (
    URL,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    create_engine,
    delete,
    event,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError, IntegrityError

from offbook.persistence.databases import away_as_unavailable, configure_sqlite, database_url, open_writer
from offbook.persistence.journal_salvage import quarantine, salvage
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import JournalRecord

IDS_PER_QUERY = 500
VACUUM_EVERY = 64
"""Transactions that forgot something between two that give pages back to the file system."""
VACUUM_PAGES = 2000

metadata = MetaData()

records_table = Table(
    "journal_records",
    metadata,
    Column("execution_id", String(32), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("worker_id", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
)

_APPEND = insert(records_table)
_FORGET = delete(records_table).where(
    and_(records_table.c.execution_id == bindparam("of"), records_table.c.seq <= bindparam("through"))
)


class SqlJournal:
    """Implements `JournalStore` on one connection that writes and one that reads."""

    def __init__(self, engine: Engine, worker_id: str, path: Path | None = None) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._path = path
        self._forgetful = itertools.count(1)

    @classmethod
    def in_folder(cls, folder: Path, worker_id: str) -> Self:
        """Open `journal.db` in a data folder; one that is corrupt is put aside, and what can be read of it kept."""
        path = folder / "journal.db"
        kept: list[JournalRecord] = []
        fault = _fault_of(path)
        if fault is not None:
            aside = quarantine(path)
            kept, position = salvage(aside)
            logger.error(
                "journal is corrupt, records after the fault are lost",
                fault=fault,
                position=position,
                kept=len(kept),
                file=str(aside),
            )
        journal = cls(_open_file(path), worker_id, path)
        journal._create()
        if kept:
            journal.commit(kept, {})
        return journal

    @classmethod
    def at(cls, url: str, worker_id: str) -> Self:
        """Open a journal in a database that other workers may use too."""
        parsed = database_url(url)
        if parsed.get_backend_name() == "sqlite":
            path = Path(str(parsed.database))
            journal = cls(_open_file(path), worker_id, path)
        else:
            journal = cls(open_writer(parsed), worker_id)
        journal._create()
        return journal

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        """Keep and forget in one transaction; it is on disk when this returns."""
        rows = [
            {"execution_id": r.execution_id, "seq": r.seq, "worker_id": self._worker_id, "data": r.data}
            for r in records
        ]
        with away_as_unavailable(), self._engine.begin() as connection:
            if rows:
                try:
                    with connection.begin_nested() if not self._path else _nothing():
                        connection.execute(_APPEND, rows)
                except IntegrityError:
                    # A commit whose outcome was uncertain had been done.
                    self._append_missing(connection, rows)
            if forget:
                connection.execute(_FORGET, [{"of": each, "through": seq} for each, seq in forget.items()])
        if forget and self._path is not None and next(self._forgetful) % VACUUM_EVERY == 0:
            self._give_back()

    def execution_ids(self) -> list[str]:
        query = select(records_table.c.execution_id).where(records_table.c.worker_id == self._worker_id).distinct()
        with away_as_unavailable(), self._engine.begin() as connection:
            return list(connection.execute(query).scalars())

    def read(self, execution_ids: Sequence[str]) -> dict[str, list[JournalRecord]]:
        found: dict[str, list[JournalRecord]] = {}
        columns = (records_table.c.execution_id, records_table.c.seq, records_table.c.data)
        with away_as_unavailable(), self._engine.begin() as connection:
            for some in _chunks(execution_ids):
                query = (
                    select(*columns)
                    .where(records_table.c.execution_id.in_(some))
                    .order_by(records_table.c.execution_id, records_table.c.seq)
                )
                for row in connection.execute(query):
                    found.setdefault(row.execution_id, []).append(
                        JournalRecord(row.execution_id, row.seq, bytes(row.data))
                    )
        return found

    def size(self) -> int:
        """Return the bytes of the file; 0 where the journal is in a database of its own."""
        if self._path is None:
            return 0
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        self._engine.dispose()

    def _create(self) -> None:
        with away_as_unavailable():
            metadata.create_all(self._engine)

    def _append_missing(self, connection: Any, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            key = and_(records_table.c.execution_id == row["execution_id"], records_table.c.seq == row["seq"])
            if connection.execute(select(records_table.c.seq).where(key)).first() is None:
                connection.execute(_APPEND, row)

    def _give_back(self) -> None:
        """Return pages that nothing uses any more to the file system, some at a time."""
        with away_as_unavailable(), self._engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
            cursor.fetchall()
            cursor.close()


def _open_file(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Two connections: recovery reads on another thread than the one that writes.
    engine = create_engine(url, pool_size=2, max_overflow=0, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # Only an empty file can be told to give pages back later.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")

    configure_sqlite(engine, read_only=False)
    return engine


def _fault_of(path: Path) -> str | None:
    """Say what is wrong with a journal's file; None if nothing is, or if there is none."""
    if not path.exists():
        return None
    engine = _open_file(path)
    try:
        with engine.begin() as connection:
            verdict = str(connection.exec_driver_sql("PRAGMA quick_check").scalar())
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            return None if verdict == "ok" else verdict
    except DatabaseError as error:
        if "locked" in str(error.orig) or "readonly" in str(error.orig):
            raise StorageUnavailable(f"journal: {error.orig}") from error
        return str(error.orig)
    finally:
        engine.dispose()


class _nothing:
    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        return


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), IDS_PER_QUERY):
        yield ids[start : start + IDS_PER_QUERY]
