"""Opening databases by URL: drivers, pragmas, and which of their errors mean `away for now`. Knows no table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from offbook.workflows.errors import OffbookError, StorageUnavailable

BUSY_MILLISECONDS = 5000
CONNECT_SECONDS = 5


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
    except ArgumentError:
        # Not the text: it may hold a password.
        raise DatabaseRefused("it is no URL") from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise DatabaseRefused(f"{url.get_backend_name()!r} is neither sqlite nor postgresql")
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
    arguments: dict[str, Any] = {"check_same_thread": False} if sqlite else {"connect_timeout": CONNECT_SECONDS}
    options: dict[str, Any] = {}
    if not sqlite:
        options = {
            "pool_pre_ping": read_only,
            "isolation_level": "REPEATABLE READ" if read_only else "READ COMMITTED",
        }
    try:
        engine = create_engine(url, pool_size=pool_size, max_overflow=0, connect_args=arguments, **options)
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
            cursor.execute("PRAGMA journal_mode=WAL")
            # NORMAL may lose the last commits when the power goes.
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def away_as_unavailable() -> Iterator[None]:
    """Raise StorageUnavailable in place of the errors of a database that is away, locked, full or read-only."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StorageUnavailable(_reason(error)) from error
    except PoolTimeout as error:
        raise StorageUnavailable("all connections are busy") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StorageUnavailable(_reason(error)) from error


def _reason(error: DBAPIError) -> str:
    """The driver's own words, on one line, without the statement and its values."""
    return " ".join(str(error.orig).split())[:300]
