"""The schema of the executions database and its versions: Alembic, without a configuration file."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from offbook.persistence.databases import away_as_unavailable, database_url, open_writer
from offbook.workflows.errors import OffbookError

_LOCK = 0x0FFB00C
"""Key of the lock under which workers that start together upgrade one PostgreSQL one after the other."""

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps in its modules which database it is at: one process upgrades one after the other."""


class SchemaTooNew(OffbookError):
    """The database was upgraded by a newer Offbook."""

    def __init__(self, revision: str) -> None:
        self.revision = revision
        super().__init__(
            f"the database has schema {revision}, which this version of Offbook does not know: run the newer one, "
            "or restore a backup from before its upgrade"
        )


def upgrade(url: str) -> str:
    """Bring the schema up to date, creating it if there is none; return its revision.

    SchemaTooNew, DatabaseRefused, or StorageUnavailable if the database is away.
    """
    engine = open_writer(database_url(url))
    try:
        with _ONE_AT_A_TIME, away_as_unavailable(), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config = _config(connection)
            scripts = ScriptDirectory.from_config(config)
            head = scripts.get_current_head()
            assert head is not None
            found = _revision(connection)
            if found is not None and found not in {each.revision for each in scripts.walk_revisions()}:
                raise SchemaTooNew(found)
            if found != head:
                command.upgrade(config, "head")
            return head
    finally:
        engine.dispose()


def current_revision(url: str) -> str | None:
    """Return which schema the database has; None if it has none."""
    engine = open_writer(database_url(url))
    try:
        with away_as_unavailable(), engine.connect() as connection:
            return _revision(connection)
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
