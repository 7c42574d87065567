"""The three stores, empty, as cheaply as a test can have them. Replaces no part of them."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine

from offbook.persistence.databases import database_url
from offbook.persistence.memory_store import MemoryStore
from offbook.persistence.migrations import upgrade
from offbook.persistence.sql_store import SqlStore
from offbook.persistence.tables import metadata
from offbook.workflows.records import ExecutionStore
from tests.postgres import shared_postgres


def memory_store(folder: Path) -> ExecutionStore:
    return MemoryStore()


def sqlite_store(folder: Path) -> SqlStore:
    """Open a store on a file of its own in this folder."""
    return SqlStore(database_url(sqlite_url(folder)))


def sqlite_url(folder: Path) -> str:
    """Put a file with the schema and nothing else into a folder."""
    file = folder / "offbook.db"
    file.write_bytes(_migrated_file())
    return f"sqlite:///{file}"


def postgresql_store(folder: Path) -> SqlStore:
    """Open a store on the one database that is emptied for each test."""
    url = _migrated_database()
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    engine.dispose()
    return SqlStore(database_url(url))


STORES: dict[str, Callable[[Path], ExecutionStore]] = {
    "memory": memory_store,
    "sqlite": sqlite_store,
    "postgresql": postgresql_store,
}
DATABASES: dict[str, Callable[[Path], SqlStore]] = {"sqlite": sqlite_store, "postgresql": postgresql_store}


@functools.cache
def _migrated_file() -> bytes:
    folder = Path(tempfile.mkdtemp(prefix="offbook-"))
    file = folder / "offbook.db"
    upgrade(f"sqlite:///{file}")
    schema = file.read_bytes()
    shutil.rmtree(folder)
    return schema


@functools.cache
def _migrated_database() -> str:
    url = shared_postgres().database()
    upgrade(url)
    return url
