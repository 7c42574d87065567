"""The schema: made from nothing, once, also by several workers at once; the same as the tables say."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect

from offbook.persistence.databases import database_url
from offbook.persistence.migrations import SchemaTooNew, current_revision, upgrade
from offbook.persistence.sql_store import SqlStore
from offbook.persistence.tables import metadata
from offbook.workflows.errors import StorageUnavailable
from tests.persistence.writes import id_of, insert
from tests.postgres import shared_postgres

HEAD = "0001"
WORKER = """
import sys
from offbook.persistence.migrations import upgrade

print("ready", flush=True)
sys.stdin.readline()
print(upgrade(sys.argv[1]))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    return f"sqlite:///{tmp_path / 'new.db'}" if request.param == "sqlite" else shared_postgres().database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(database_url(url))
    yield engine
    engine.dispose()


def test_database_without_a_schema_gets_one(url: str) -> None:
    assert current_revision(url) is None
    assert upgrade(url) == HEAD
    assert current_revision(url) == HEAD
    with closing(SqlStore.open(url)) as store:
        store.writer.commit([insert(1)])
        assert store.reader.load(id_of(1)) is not None


def test_upgrade_that_is_repeated_changes_nothing(url: str) -> None:
    with closing(SqlStore.open(url)) as store:
        store.writer.commit([insert(1)])
    assert upgrade(url) == HEAD
    with closing(SqlStore.open(url)) as store:
        assert store.reader.load(id_of(1)) is not None


def test_migrations_make_what_the_tables_say(url: str, engine: Engine) -> None:
    upgrade(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_make_the_keys_and_constraints_that_the_tables_say(url: str, engine: Engine) -> None:
    """What Alembic does not compare: primary keys, and whether a column may be empty on SQLite."""
    upgrade(url)
    found = inspect(engine)
    for table in metadata.sorted_tables:
        assert found.get_pk_constraint(table.name)["constrained_columns"] == [each.name for each in table.primary_key]
        nullable = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert nullable == {column.name: column.nullable for column in table.columns}
        unique = {tuple(each["column_names"]) for each in found.get_unique_constraints(table.name)}
        assert unique == ({("idempotency_key",)} if table.name == "executions" else set())


def test_workers_that_start_together_upgrade_one_after_the_other(url: str) -> None:
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in starting:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in starting] == [f"{HEAD}\n"] * 3


def test_one_process_can_open_several_new_databases_at_once(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "abcdef"]
    together = threading.Barrier(len(urls))

    def start(url: str) -> str:
        together.wait()
        return upgrade(url)

    with ThreadPoolExecutor(len(urls)) as pool:
        assert list(pool.map(start, urls)) == [HEAD] * len(urls)
    assert [current_revision(url) for url in urls] == [HEAD] * len(urls)


def test_schema_of_a_newer_version_is_refused_and_left_as_it_is(url: str, engine: Engine) -> None:
    upgrade(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNew) as refused:
        SqlStore.open(url)
    assert refused.value.revision == "9999"
    assert current_revision(url) == "9999"


def test_upgrade_that_fails_leaves_nothing_half_made(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        # Stands where the last table is to be made.
        connection.exec_driver_sql("CREATE TABLE checkpoints (other INTEGER)")
    with pytest.raises(StorageUnavailable, match="checkpoints"):
        upgrade(url)
    assert inspect(engine).get_table_names() == ["checkpoints"]
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE checkpoints")
    assert upgrade(url) == HEAD
