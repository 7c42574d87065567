"""The journal of a worker: segments, one for each group commit, in SQLite or any database that SQLAlchemy speaks.

It lies beside the executions database and costs that one nothing. A segment is deleted when nothing in it is
needed any more; what long executions hold on to is now and then written together, so that the journal's size
follows what is live and not what has passed.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from loguru import logger
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
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
from sqlalchemy.exc import DatabaseError

from offbook.persistence.databases import away_as_unavailable, configure_sqlite, database_url, open_writer
from offbook.persistence.journal_salvage import (
    begin_mend,
    end_mend,
    frames_taken_in,
    measure_log,
    refuse_if_away,
    salvage,
    swap_mended,
)
from offbook.persistence.journal_segments import Change, SegmentIndex, SegmentTorn, pack_segment, unpack_segment
from offbook.workflows.records import JournalRecord

VACUUM_EVERY = 256
"""Commits between two that give pages back to the file system."""
VACUUM_PAGES = 4000
ALL_PAGES = 2**31 - 1
PAGE_BYTES = 4096
WAL_BYTES = 16 * 1024 * 1024
"""What the write-ahead log keeps of the size that a large commit gave it."""
KEPT_BYTES = 32 * 1024 * 1024
"""What the file may keep although nothing in it is needed."""

metadata = MetaData()

segments = Table(
    "journal_segments",
    metadata,
    Column("worker_id", String(64), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    sqlite_with_rowid=True,
)

_APPEND = insert(segments)
_DROP = delete(segments).where(
    and_(segments.c.worker_id == bindparam("worker"), segments.c.position == bindparam("at"))
)


class SqlJournal:
    """Implements `JournalStore`."""

    def __init__(self, engine: Engine, worker_id: str, path: Path | None = None) -> None:
        """Use a database that has the table; `in_folder` and `at` see to that."""
        self._engine = engine
        self._worker_id = worker_id
        self._path = path
        self._lock = threading.Lock()
        """Guards index and leftovers: recovery reads on another thread than the one that commits."""
        self._index = SegmentIndex()
        self._leftovers: dict[str, list[JournalRecord]] = {}
        """What the process before this one left, until it is forgotten."""
        self._commits = itertools.count(1)
        self._is_uncertain = False
        """Whether the commit before this one failed, and may have been done all the same."""

    @classmethod
    def in_folder(cls, folder: Path, worker_id: str) -> Self:
        """Open `journal.db` in a data folder; one that is corrupt is put aside, and what can be read of it kept."""
        return cls._in_file(folder / "journal.db", worker_id)

    @classmethod
    def _in_file(cls, path: Path, worker_id: str) -> Self:
        swap_mended(path)
        _report_broken_log(path)
        fault = _fault_of(path)
        if fault is not None:
            kept, position = salvage(path)
            mended = cls(_open_file(begin_mend(path)), worker_id)
            try:
                mended._begin()
                mended.commit(kept, {})
            finally:
                mended.close()
            aside = end_mend(path)
            logger.error(
                "journal is corrupt, records after the fault are lost",
                fault=fault,
                position=position,
                kept=len(kept),
                file=str(aside),
            )
        journal = cls(_open_file(path), worker_id, path)
        journal._begin()
        return journal

    @classmethod
    def at(cls, url: str, worker_id: str) -> Self:
        """Open a journal in a database that other workers may use too."""
        parsed = database_url(url)
        if parsed.get_backend_name() == "sqlite":
            return cls._in_file(Path(str(parsed.database)), worker_id)
        journal = cls(open_writer(parsed), worker_id)
        journal._begin()
        return journal

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        """Keep and forget in one transaction; it is on disk when this returns."""
        with self._lock:
            change = self._index.plan(records, forget, eager=self._is_uncertain)
        with away_as_unavailable(), self._engine.begin() as connection:
            if change.compacted:
                # With what an uncertain commit before this one may have written together already.
                change.rewritten = self._live_records(connection, change)
            gone = [*change.doomed, *change.compacted]
            if self._is_uncertain:
                # The commit before this one may have been done although it failed; it is done again, whole.
                gone += (change.position, change.position + 1)
            self._is_uncertain = True
            if gone:
                # First: on a disk that is full it makes the room for what follows.
                connection.execute(_DROP, [{"worker": self._worker_id, "at": position} for position in gone])
            if records:
                self._append(connection, change.position, pack_segment(records))
            if change.rewritten:
                self._append(connection, change.position + 1, pack_segment(change.rewritten))
        self._is_uncertain = False
        with self._lock:
            self._index.apply(change)
            for execution_id in forget:
                self._leftovers.pop(execution_id, None)
        if self._path is not None:
            if next(self._commits) % VACUUM_EVERY == 0:
                self._give_back(VACUUM_PAGES)
            elif not self._index.bytes and gone and self.size() > KEPT_BYTES:
                # Nothing is live: a file that was full is not to stay so until something is.
                self._give_back(ALL_PAGES)

    def execution_ids(self) -> list[str]:
        with self._lock:
            return self._index.execution_ids()

    def read(self, execution_ids: Sequence[str]) -> dict[str, list[JournalRecord]]:
        with self._lock:
            found = {each: list(self._leftovers.get(each, ())) for each in execution_ids}
            newer = self._index.positions_of(execution_ids)
        if newer:
            with away_as_unavailable(), self._engine.begin() as connection:
                for record in self._segments(connection, newer):
                    if record.execution_id in found:
                        found[record.execution_id].append(record)
        return {each: _in_order(records) for each, records in found.items() if records}

    def size(self) -> int:
        """Return the bytes of the file, or of what is needed where the journal is in a database of its own."""
        if self._path is None:
            with self._lock:
                return self._index.bytes
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        self._engine.dispose()

    def _begin(self) -> None:
        """Create the table if need be, and take in what the process before this one left."""
        with away_as_unavailable():
            metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                query = (
                    select(segments.c.position, segments.c.data)
                    .where(segments.c.worker_id == self._worker_id)
                    .order_by(segments.c.position)
                )
                for row in connection.execute(query):
                    data = bytes(row.data)
                    records = _readable(row.position, data)
                    self._index.add(row.position, records, len(data), leftover=True)
                    self._take_leftovers(records)

    def _take_leftovers(self, records: Iterable[JournalRecord]) -> None:
        for record in records:
            self._leftovers.setdefault(record.execution_id, []).append(record)

    def _append(self, connection: Connection, position: int, data: bytes) -> None:
        connection.execute(_APPEND, {"worker_id": self._worker_id, "position": position, "data": data})

    def _live_records(self, connection: Connection, change: Change) -> list[JournalRecord]:
        found = self._segments(connection, [*change.compacted, change.position + 1])
        with self._lock:
            return [
                record
                for record in found
                if self._index.needs(record) and record.seq > change.forget.get(record.execution_id, 0)
            ]

    def _segments(self, connection: Connection, positions: Sequence[int]) -> Iterator[JournalRecord]:
        query = select(segments.c.position, segments.c.data).where(
            segments.c.worker_id == self._worker_id, segments.c.position.in_(positions)
        )
        for row in connection.execute(query):
            yield from _readable(row.position, bytes(row.data))

    def _give_back(self, pages: int) -> None:
        """Return so many pages that nothing uses any more to the file system."""
        script = f"PRAGMA incremental_vacuum({pages});"
        if pages == ALL_PAGES:
            script += "PRAGMA wal_checkpoint(TRUNCATE);"
        try:
            with self._engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                assert raw is not None
                # Not `execute`: it takes one step of a statement without columns, and each step gives one page back.
                raw.executescript(script)
        except (sqlite3.Error, DatabaseError) as error:
            # The commit before this is done: pages can be given back another time.
            logger.warning("journal cannot give pages back now", why=str(error))


def _readable(position: int, data: bytes) -> list[JournalRecord]:
    """Return the records of a segment; none if it is torn, which is said."""
    try:
        return unpack_segment(data)
    except SegmentTorn as torn:
        logger.error("journal segment is lost", position=position, why=str(torn))
        return []


def _in_order(records: list[JournalRecord]) -> list[JournalRecord]:
    """Sort by seq; a record that was written together with others is there once only."""
    return [found for _, found in sorted({record.seq: record for record in records}.items())]


def _open_file(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Two connections: recovery reads on another thread than the one that commits.
    engine = create_engine(url, pool_size=2, max_overflow=0, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # Only an empty file can be told to give pages back later.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")

    configure_sqlite(engine, read_only=False)
    return engine


def _report_broken_log(path: Path) -> None:
    """Say where the log of a journal cannot be read any further, if that is before its end."""
    extent = measure_log(path)
    if extent is None:
        return
    end = extent.end_of(frames_taken_in(path))
    if end < extent.bytes:
        logger.warning(
            "journal's log breaks off, what was written after that is lost", position=end, bytes=extent.bytes - end
        )


def _fault_of(path: Path) -> str | None:
    """Say what is wrong with a journal's file; None if nothing is, or if there is none."""
    if not path.exists():
        return None
    length = path.stat().st_size
    engine = _open_file(path)
    try:
        with engine.begin() as connection:
            verdict = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
            if verdict != "ok":
                return verdict
            tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
            if segments.name not in tables:
                # SQLite takes a file of less than a page for an empty one.
                return "it ends within its first page" if 0 < length < PAGE_BYTES else None
            for data in connection.execute(select(segments.c.data)).scalars():
                unpack_segment(bytes(data))
            return None
    except SegmentTorn as error:
        return f"a segment cannot be read: {error}"
    except DatabaseError as error:
        refuse_if_away(error.orig)
        return str(error.orig)
    finally:
        engine.dispose()
