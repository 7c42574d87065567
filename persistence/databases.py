"""Opening databases by URL: drivers, pragmas, and which of their errors mean `away for now`. Knows no table."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Dialect, Engine, Insert, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from offbook.workflows.errors import OffbookError, StorageUnavailable

BUSY_MILLISECONDS = 5000
CONNECT_SECONDS = 5
IDS_PER_QUERY = 500
_POSTGRESQL = {
    "connect_timeout": CONNECT_SECONDS,
    # A server whose machine is gone says nothing: without these, a commit waits for it for a quarter of an hour.
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""What libpq is told unless the URL says otherwise."""
_REFUSED_VALUES = ("22", "23", "54")
"""Classes of SQLSTATE: data exceptions, violated constraints, exceeded limits."""


class DatabaseRefused(OffbookError):
    """A database URL cannot be used."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the database URL cannot be used: {detail}; give sqlite:///FILE or postgresql://USER@HOST/NAME"
        )


def database_url(text: str) -> URL:
    """Read a URL; `postgresql://` and `postgres://` mean psycopg 3. DatabaseRefused for what is none."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # Not the text: it may hold a password.
        raise DatabaseRefused("it is no URL") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseRefused(f"{url.get_backend_name()!r} is neither sqlite nor postgresql")
    if url.get_driver_name() not in ("pysqlite", "psycopg"):
        raise DatabaseRefused(f"the driver {url.get_driver_name()!r} is not used here")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise DatabaseRefused("SQLite in memory is forgotten with each connection; use MemoryStore in its place")
    return url


def open_writer(url: URL) -> Engine:
    """Open the one connection that writes."""
    return _open(url, pool_size=1, read_only=False)


def open_readers(url: URL, connections: int) -> Engine:
    """Open a pool of connections that cannot write; each transaction sees one state of the database."""
    return _open(url, pool_size=connections, read_only=True)


def _open(url: URL, *, pool_size: int, read_only: bool) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"check_same_thread": False}
    options: dict[str, Any] = {}
    if not sqlite:
        arguments = {key: value for key, value in _POSTGRESQL.items() if key not in url.query}
        options = {
            # A server that was started again since is no reason to refuse what comes first.
            "pool_pre_ping": True,
            "isolation_level": "REPEATABLE READ" if read_only else "READ COMMITTED",
        }
        if read_only:
            options["execution_options"] = {"postgresql_readonly": True}
    try:
        # Values are prompts and texts: they have no place in errors, which are logged.
        engine = create_engine(
            url, pool_size=pool_size, max_overflow=0, connect_args=arguments, hide_parameters=True, **options
        )
    except (ModuleNotFoundError, NoSuchModuleError) as missing:
        raise DatabaseRefused(f"its driver is not installed ({missing}): pip install 'offbook[postgres]'") from None
    if sqlite:
        configure_sqlite(engine, read_only=read_only)
    return engine


def configure_sqlite(engine: Engine, *, read_only: bool) -> None:
    """Have every connection of an engine keep what is committed, wait for locks, and begin when it is told to."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: object) -> None:
        # Transactions begin when we say so, not when the driver thinks fit.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            _write_ahead(cursor)
            # NORMAL may lose the last commits when the power goes.
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Turn to WAL. SQLite waits for locks, but not here: another process may do the same at this moment."""
    until = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def away_as_unavailable() -> Iterator[None]:
    """Raise StorageUnavailable in place of the errors of a database that is away, locked, full, read-only, broken.

    What is left are refusals of the values themselves, which are refused again however often they are tried.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StorageUnavailable("all connections are busy") from error
    except DBAPIError as error:
        if _is_about_values(error):
            raise
        raise StorageUnavailable(_reason(error)) from error


def as_drivers_sql(insert: Insert, dialect: Dialect) -> str:
    """Compile an insert for rows that are tuples of all columns, in order, for `exec_driver_sql`.

    It takes SQLAlchemy as long to look at each value of a wide row as it takes SQLite to insert it. Only for columns
    whose values the driver takes as they are.
    """
    make: Callable[..., Dialect] = type(dialect)
    return str(insert.compile(dialect=make(paramstyle="qmark" if dialect.name == "sqlite" else "format")))


def in_chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    """Part ids into as many as one query takes."""
    rest = list(dict.fromkeys(ids))
    for start in range(0, len(rest), IDS_PER_QUERY):
        yield rest[start : start + IDS_PER_QUERY]


def _is_about_values(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state.startswith(_REFUSED_VALUES)
    return isinstance(error, DataError | IntegrityError | NotSupportedError | ProgrammingError)


def _reason(error: DBAPIError) -> str:
    """The driver's own words, on one line, without the statement and its values."""
    return " ".join(str(error.orig).split())[:300]
