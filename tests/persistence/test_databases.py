"""Which databases can be opened, and that connections for reading cannot write. URLs may hold passwords."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import URL, text

from offbook.persistence.databases import DatabaseRefused, away_as_unavailable, database_url, open_readers
from offbook.persistence.sql_store import SqlStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionFilter
from tests.persistence.stores import DATABASES, sqlite_url
from tests.persistence.writes import completed, id_of, insert


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_spoken_to_by_psycopg(scheme: str) -> None:
    url = database_url(f"{scheme}://ada:secret@db:5433/offbook?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.host, url.port, url.database, url.query["sslmode"]) == ("db", 5433, "offbook", "require")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "offbook.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://ada:secret@db/offbook",
        "postgresql+asyncpg://ada:secret@db/offbook",
        "sqlite+aiosqlite:///secret.db",
        "postgresql://ada:secret@db:port/offbook",
    ],
)
def test_url_that_cannot_be_used_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(DatabaseRefused, match="sqlite:///FILE") as refused:
        database_url(text)
    assert "secret" not in str(refused.value)


def test_file_in_a_folder_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="unable to open"):
        SqlStore.open(f"sqlite:///{tmp_path / 'nowhere' / 'offbook.db'}")


def test_server_that_does_not_answer_is_unavailable_and_its_password_unsaid() -> None:
    with pytest.raises(StorageUnavailable) as away:
        SqlStore.open("postgresql://ada:secret@127.0.0.1:1/offbook")
    assert "secret" not in str(away.value)


def test_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "offbook.db").write_bytes(b"a text that somebody put here" * 1000)
    with pytest.raises(StorageUnavailable, match="not a database"):
        SqlStore.open(f"sqlite:///{tmp_path / 'offbook.db'}")


def test_connections_for_reading_cannot_write(database: SqlStore) -> None:
    engine = open_readers(url_of(database), 1)
    with pytest.raises(StorageUnavailable, match=r"read-?only"), away_as_unavailable(), engine.begin() as connection:
        connection.execute(text("DELETE FROM workflows"))
    engine.dispose()


def test_error_about_a_value_does_not_say_the_value(database: SqlStore) -> None:
    with pytest.raises(Exception, match=r".+") as refused:
        database.writer.commit([insert(1, inputs={"premise": "\ud800 secret"}), insert(2)])
    assert not isinstance(refused.value, StorageUnavailable)
    assert "secret" not in str(refused.value)
    # It is as if it had never been tried.
    assert database.reader.list_executions(ExecutionFilter(), before=None, limit=9) == []
    assert database.writer.commit([insert(1)])[0].applied


def test_postgresql_refuses_a_value_and_not_the_moment(tmp_path: Path) -> None:
    """A name that its column has no room for can be tried again and again: it is no outage."""
    store = DATABASES["postgresql"](tmp_path)
    for bad in (insert(1, workflow="x" * 201), insert(1, worker_id="nul\0")):
        with pytest.raises(Exception, match=r".+") as refused:
            store.writer.commit([insert(2), bad])
        assert not isinstance(refused.value, StorageUnavailable)
        assert "premise" not in str(refused.value)
    assert store.reader.load(id_of(2)) is None
    store.close()


def test_closed_file_has_everything_in_it(tmp_path: Path) -> None:
    store = SqlStore(database_url(sqlite_url(tmp_path)))
    store.writer.commit([insert(1), completed(1)])
    assert store.reader.load(id_of(1)) is not None
    store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["offbook.db"]


def url_of(store: SqlStore) -> URL:
    return store._writer_engine.url
