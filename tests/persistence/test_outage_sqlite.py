"""A SQLite file that is locked, full, read-only or broken: writes are kept, and stored once it is in order again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from offbook.persistence import databases
from offbook.persistence.databases import database_url, open_readers, open_writer
from offbook.persistence.group_commit import FIRST_DELAY, GroupCommit
from offbook.persistence.sql_reader import SqlReader
from offbook.persistence.sql_writer import SqlWriter
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import StoredOutput, Write
from tests.persistence.stores import sqlite_url
from tests.persistence.test_contract_writes import large_text
from tests.persistence.writes import completed, failed, id_of, insert, loaded


class File:
    """A SQLite database with a writer, its group commit, and what its senders heard."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "offbook.db"
        self.url = database_url(sqlite_url(folder))
        self.engine: Engine = open_writer(self.url)
        self.readers: Engine = open_readers(self.url, 1)
        self.reader = SqlReader(self.readers, on_transaction=lambda: None)
        self.group = GroupCommit(SqlWriter(self.engine, on_transaction=lambda: None))
        self.heard: list[object] = []

    def add(self, *writes: Write, keep: bool = True) -> None:
        for write in writes:
            self.group.add(
                write,
                on_done=lambda result: self.heard.append(result.applied),
                on_refused=None if keep else self.heard.append,
                on_error=self.heard.append,
            )

    def pragma(self, text: str) -> None:
        """Set something on the one connection that writes."""
        with closing(self.engine.raw_connection()) as connection:
            connection.cursor().execute(f"PRAGMA {text}")

    def close(self) -> None:
        self.engine.dispose()
        self.readers.dispose()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[File]:
    monkeypatch.setattr(databases, "BUSY_MILLISECONDS", 20)
    with closing(File(tmp_path)) as opened:
        yield opened


OUTPUTS = (StoredOutput("outline", None, "paid for"),)


def test_file_that_another_process_locks_is_away_until_it_lets_go(file: File) -> None:
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        file.add(insert(1), failed(1, outputs=OUTPUTS))
        file.add(insert(2), keep=False)
        assert file.group.flush() == FIRST_DELAY
        assert "locked" in str(file.group.last_error)
        assert [type(each) for each in file.heard] == [StorageUnavailable]
        # Readers are answered all the same.
        assert file.reader.load(id_of(1)) is None
        other.execute("ROLLBACK")
    assert file.group.flush() is None
    assert file.heard[1:] == [True, True]
    assert loaded(file.reader, 1).outputs == OUTPUTS
    assert file.reader.load(id_of(2)) is None


def test_full_disk_keeps_what_does_not_fit_and_stores_it_once_there_is_room(file: File) -> None:
    file.add(insert(1), insert(2))
    file.group.flush()
    file.pragma("max_page_count=40")
    large = (StoredOutput("book", None, large_text()[:500_000]),)
    file.add(failed(1, outputs=large), completed(2, outputs=OUTPUTS))
    assert [file.group.flush(), file.group.flush()] == [FIRST_DELAY, 2 * FIRST_DELAY]
    assert "full" in str(file.group.last_error)
    assert [loaded(file.reader, number).status for number in (1, 2)] == ["running", "running"]
    file.pragma("max_page_count=100000")
    assert file.group.flush() is None
    assert file.heard == [True] * 4
    assert [loaded(file.reader, number).outputs for number in (1, 2)] == [large, OUTPUTS]


def test_file_that_cannot_be_written_keeps_what_waits(file: File) -> None:
    file.pragma("query_only=ON")
    file.add(insert(1), completed(1, outputs=OUTPUTS))
    assert file.group.flush() == FIRST_DELAY
    assert "readonly" in str(file.group.last_error)
    file.pragma("query_only=OFF")
    assert file.group.flush() is None
    assert loaded(file.reader, 1).outputs == OUTPUTS


def test_file_opened_for_reading_only_is_unavailable_to_the_writer(file: File) -> None:
    engine = open_writer(database_url(f"sqlite:///file:{file.path}?mode=ro&uri=true"))
    with pytest.raises(StorageUnavailable, match="readonly"):
        SqlWriter(engine, on_transaction=lambda: None).commit([insert(1)])
    engine.dispose()


def test_broken_file_is_no_reason_to_give_states_up(file: File) -> None:
    """Somebody may bring its backup: what is to be stored waits for that."""
    file.close()
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    file.add(insert(1), completed(1, outputs=OUTPUTS))
    assert file.group.flush() == FIRST_DELAY
    assert "malformed" in str(file.group.last_error)
    assert file.group.pending == 2
    with pytest.raises(StorageUnavailable, match="malformed"):
        file.reader.load(id_of(1))
    file.close()
    for leftover in file.path.parent.glob("offbook.db-*"):
        leftover.unlink()
    file.path.write_bytes(whole)
    assert file.group.flush() is None
    assert loaded(file.reader, 1).outputs == OUTPUTS


def test_table_that_is_missing_for_now_is_no_reason_to_give_states_up(file: File) -> None:
    file.add(insert(1))
    file.group.flush()
    with closing(sqlite3.connect(file.path)) as other:
        other.execute("ALTER TABLE outputs RENAME TO outputs_aside")
        file.add(completed(1, outputs=OUTPUTS))
        assert file.group.flush() == FIRST_DELAY
        assert loaded_status(file) == "unavailable"
        other.execute("ALTER TABLE outputs_aside RENAME TO outputs")
    assert file.group.flush() is None
    assert loaded_status(file) == "completed"


def loaded_status(file: File) -> str:
    try:
        return loaded(file.reader, 1).status
    except StorageUnavailable:
        return "unavailable"


def test_document_is_stored_again_by_a_database_that_lost_it_while_it_was_away(file: File) -> None:
    file.add(insert(1))
    file.group.flush()
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("DELETE FROM workflows")
        other.execute("DELETE FROM executions")
        other.execute("BEGIN IMMEDIATE")
        file.add(insert(2))
        assert file.group.flush() is not None
        other.execute("COMMIT")
    assert file.group.flush() is None
    assert loaded(file.reader, 2).document["name"] == "novella"
