"""The store of executions in SQLite or PostgreSQL: one writer, a pool of readers, and how often each was used."""

from __future__ import annotations

import threading
from typing import Self

from sqlalchemy import URL

from offbook.persistence.databases import database_url, open_readers, open_writer
from offbook.persistence.migrations import upgrade
from offbook.persistence.sql_ledger import SqlLedger
from offbook.persistence.sql_reader import SqlReader
from offbook.persistence.sql_writer import SqlWriter

READ_CONNECTIONS = 4


class SqlStore:
    """Implements `ExecutionStore`."""

    def __init__(self, url: URL) -> None:
        """Use a database whose schema is up to date; `open` sees to that."""
        self._writer_engine = open_writer(url)
        self._reader_engine = open_readers(url, READ_CONNECTIONS)
        self._reads = _Counter()
        self._writes = _Counter()
        self.writer = SqlWriter(self._writer_engine, on_transaction=self._writes.count)
        self.reader = SqlReader(self._reader_engine, on_transaction=self._reads.count)
        self._apart = _Counter()
        self.books = SqlLedger(self._reader_engine, on_transaction=self._apart.count)

    @classmethod
    def open(cls, url: str) -> Self:
        """Bring the schema up to date and open the store.

        DatabaseRefused or SchemaTooNew if it cannot be used, StorageUnavailable if it is away.
        """
        upgrade(url)
        return cls(database_url(url))

    def transactions(self) -> tuple[int, int]:
        return self._reads.counted, self._writes.counted

    def reads_apart(self) -> int:
        return self._apart.counted

    def close(self) -> None:
        self._writer_engine.dispose()
        self._reader_engine.dispose()


class _Counter:
    """Counts what several threads do, without missing any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counted = 0

    def count(self) -> None:
        with self._lock:
            self.counted += 1
