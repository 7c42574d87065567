"""The store of executions in SQLite or PostgreSQL: one writer, a pool of readers, and how often each was used."""

from __future__ import annotations

import itertools
from typing import Self

from sqlalchemy import URL

from offbook.persistence.databases import database_url, open_readers, open_writer
from offbook.persistence.migrations import upgrade
from offbook.persistence.sql_reader import SqlReader
from offbook.persistence.sql_writer import SqlWriter

READ_CONNECTIONS = 4


class SqlStore:
    """Implements `ExecutionStore`."""

    def __init__(self, url: URL) -> None:
        """Use a database whose schema is up to date; `open` sees to that."""
        self._writer_engine = open_writer(url)
        self._reader_engine = open_readers(url, READ_CONNECTIONS)
        # itertools.count is one instruction: threads never count one transaction in place of two.
        self._reads = itertools.count()
        self._writes = itertools.count()
        self.writer = SqlWriter(self._writer_engine, on_transaction=lambda: _count(self._writes))
        self.reader = SqlReader(self._reader_engine, on_transaction=lambda: _count(self._reads))

    @classmethod
    def open(cls, url: str) -> Self:
        """Bring the schema up to date and open the store.

        DatabaseRefused or SchemaTooNew if it cannot be used, StorageUnavailable if it is away.
        """
        upgrade(url)
        return cls(database_url(url))

    def transactions(self) -> tuple[int, int]:
        """How many (read, write) transactions were sent since it was opened."""
        return _counted(self._reads), _counted(self._writes)

    def close(self) -> None:
        self._writer_engine.dispose()
        self._reader_engine.dispose()


def _count(counter: itertools.count[int]) -> None:
    next(counter)


def _counted(counter: itertools.count[int]) -> int:
    """Read a counter without moving it: its pickle says where it stands."""
    return int(counter.__reduce__()[1][0])
