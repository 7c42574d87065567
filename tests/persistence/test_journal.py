"""The journal's contract, on SQLite, PostgreSQL and in memory; and what the one in segments does with its file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from offbook.persistence import journal_segments
from offbook.persistence.databases import database_url, open_writer
from offbook.persistence.journal import KEPT_BYTES, SqlJournal, metadata
from offbook.persistence.memory_journal import MemoryJournal
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import JournalRecord, JournalStore
from tests.postgres import shared_postgres

EXECUTIONS = 50_000 if os.environ.get("OFFBOOK_SOAK") else 5_000
"""How many pass through one journal."""
AT_ONCE = 10
LONG = 5
KINDS = ("memory", "sqlite", "postgresql")


class Shelf:
    """Where a journal outlives its process: opens it, and opens it again."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._memory = MemoryJournal()
        self._url = _empty_database() if kind == "postgresql" else ""
        self._opened: list[JournalStore] = []

    def open(self, worker_id: str = "worker") -> JournalStore:
        if self._kind == "memory":
            return self._memory
        sql = self._kind == "postgresql"
        opened = SqlJournal.at(self._url, worker_id) if sql else SqlJournal.in_folder(self._folder, worker_id)
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(request.param, tmp_path)
    yield shelf
    shelf.close()


@pytest.fixture(params=KINDS[1:])
def sql_shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(request.param, tmp_path)
    yield shelf
    shelf.close()


def records(execution_id: str, first: int, last: int, size: int = 10) -> list[JournalRecord]:
    return [record(execution_id, seq, size) for seq in range(first, last + 1)]


def record(execution_id: str, seq: int, size: int = 10) -> JournalRecord:
    return JournalRecord(execution_id, seq, f'["{execution_id}",{seq},"{"x" * size}"]'.encode())


def pragma(journal: SqlJournal, what: str) -> Any:
    """Ask or set something of the connection that commits."""
    connection = journal._engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA {what}")
        row = cursor.fetchone()
        return row[0] if row else None
    finally:
        connection.close()


def seqs(journal: JournalStore, execution_id: str) -> list[int]:
    return [each.seq for each in journal.read([execution_id]).get(execution_id, [])]


# The contract


def test_records_are_read_as_they_were_committed(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit([*records("a", 1, 2), *records("b", 1, 1)], {})
    journal.commit(records("a", 3, 4), {})
    assert journal.read(["a", "b"]) == {"a": records("a", 1, 4), "b": records("b", 1, 1)}
    assert sorted(journal.execution_ids()) == ["a", "b"]


def test_executions_without_records_are_left_out(shelf: Shelf) -> None:
    journal = shelf.open()
    assert journal.read(["nobody"]) == {}
    assert journal.execution_ids() == []
    journal.commit(records("a", 1, 1), {})
    assert journal.read(["nobody"]) == {}


def test_records_are_there_when_the_journal_is_opened_again(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit(records("a", 1, 3), {})
    journal.commit(records("a", 4, 4), {"a": 0})
    again = shelf.open()
    assert again.read(["a"]) == {"a": records("a", 1, 4)}
    assert again.execution_ids() == ["a"]


def test_what_is_read_after_a_restart_has_both_lives_in_order(shelf: Shelf) -> None:
    shelf.open().commit(records("a", 1, 3), {})
    second = shelf.open()
    second.commit(records("a", 4, 5), {})
    assert seqs(second, "a") == [1, 2, 3, 4, 5]
    assert seqs(shelf.open(), "a") == [1, 2, 3, 4, 5]


def test_forgotten_records_are_gone_also_after_a_restart(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit([*records("a", 1, 3), *records("b", 1, 3)], {})
    journal.commit([], {"a": 3})
    assert journal.execution_ids() == ["b"]
    assert seqs(journal, "b") == [1, 2, 3]
    # What lies in one segment with what is needed may be read again: its owner's state says that it has passed.
    assert seqs(shelf.open(), "b") == [1, 2, 3]
    journal.commit([], {"b": 3})
    assert journal.execution_ids() == []
    assert shelf.open().execution_ids() == []


def test_records_after_those_that_are_forgotten_stay(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit(records("a", 1, 3), {})
    journal.commit(records("a", 4, 5), {"a": 3})
    assert seqs(journal, "a")[-2:] == [4, 5]
    assert seqs(shelf.open(), "a")[-2:] == [4, 5]


def test_what_the_process_before_left_is_forgotten_as_one_s_own(shelf: Shelf) -> None:
    shelf.open().commit([*records("a", 1, 3), *records("b", 1, 1)], {})
    second = shelf.open()
    second.commit([], {"a": 3})
    assert (second.execution_ids(), second.read(["a"])) == (["b"], {})
    second.commit([], {"b": 1})
    assert shelf.open().execution_ids() == []


def test_repeated_commit_changes_nothing(shelf: Shelf) -> None:
    """A commit whose outcome was not known is done again, perhaps with more in it."""
    journal = shelf.open()
    journal.commit(records("a", 1, 3), {})
    journal.commit([*records("a", 1, 3), *records("a", 4, 4)], {})
    assert journal.read(["a"]) == {"a": records("a", 1, 4)}
    assert shelf.open().read(["a"]) == {"a": records("a", 1, 4)}


def test_empty_commit_is_allowed(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit([], {})
    journal.commit([], {"nobody": 7})
    assert journal.execution_ids() == []


def test_size_follows_what_is_kept(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit(records("a", 1, 10, size=1000), {})
    assert journal.size() >= 10_000
    if not isinstance(journal, SqlJournal) or journal._path is None:
        journal.commit([], {"a": 10})
        assert journal.size() == 0


def test_journal_is_read_while_it_is_written(shelf: Shelf) -> None:
    journal = shelf.open()
    journal.commit(records("a", 1, 1), {})
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(50):
                assert seqs(journal, "a")[0] == 1
        except BaseException as error:
            failures.append(error)
            raise

    reader = threading.Thread(target=read)
    reader.start()
    for seq in range(2, 52):
        journal.commit(records("a", seq, seq), {})
    reader.join()
    assert not failures
    assert seqs(journal, "a") == list(range(1, 52))


# In a database


def test_workers_that_share_a_database_see_their_own_records_only(sql_shelf: Shelf) -> None:
    first, second = sql_shelf.open("first"), sql_shelf.open("second")
    first.commit(records("a", 1, 2), {})
    second.commit(records("b", 1, 2), {})
    assert (first.execution_ids(), second.execution_ids()) == (["a"], ["b"])
    assert first.read(["a", "b"]) == {"a": records("a", 1, 2)}
    first.commit([], {"a": 2})
    assert sql_shelf.open("second").read(["b"]) == {"b": records("b", 1, 2)}


def test_segment_in_which_nothing_is_needed_is_deleted(sql_shelf: Shelf) -> None:
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    journal.commit([*records("a", 1, 1), *records("b", 1, 1)], {})
    journal.commit(records("c", 1, 1), {})
    journal.commit([], {"a": 1})
    assert _segments(journal) == 2
    journal.commit([], {"b": 1})
    assert _segments(journal) == 1
    journal.commit([], {"c": 1})
    assert _segments(journal) == 0


def test_commit_that_was_done_although_it_failed_is_done_again_whole(
    sql_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    journal.commit(records("a", 1, 1), {})
    _break_next_commit(journal, monkeypatch)
    with pytest.raises(StorageUnavailable, match="gone"):
        journal.commit(records("a", 2, 2), {})
    journal.commit(records("a", 2, 3), {})
    assert seqs(journal, "a") == [1, 2, 3]
    assert _segments(journal) == 2
    assert seqs(sql_shelf.open(), "a") == [1, 2, 3]


def test_what_long_executions_hold_on_to_is_written_together(
    sql_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One execution that lives for ever and many short ones beside it: the journal keeps the size of the one."""
    _compact_early(monkeypatch)
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    largest = 0
    for number in range(150):
        short = f"short{number}"
        journal.commit([*records("long", number + 1, number + 1, 100), *records(short, 1, 1, 2000)], {})
        journal.commit([], {short: 1})
        largest = max(largest, journal._index.bytes)
    live = sum(len(each.data) for each in journal.read(["long"])["long"])
    assert seqs(journal, "long") == list(range(1, 151))
    assert largest < 100_000 + 5 * live < 150 * 2000 + 100_000
    again = sql_shelf.open()
    assert seqs(again, "long") == list(range(1, 151))
    # Of the others it finds at most those that lay beside it in segments of late.
    assert len(again.execution_ids()) < 100


def test_what_is_forgotten_while_it_is_written_together_does_not_come_back(
    sql_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    journal.commit([*records("long", 1, 1), *records("short", 1, 1, 2000)], {})
    monkeypatch.setattr(journal_segments, "COMPACT_ABOVE", 0)
    monkeypatch.setattr(journal_segments, "COMPACT_FACTOR", 0)
    journal.commit([], {"short": 1})
    assert journal.execution_ids() == ["long"]
    assert journal._index.bytes < 100
    assert sql_shelf.open().read(["long", "short"]) == {"long": records("long", 1, 1)}


def test_writing_together_that_was_done_although_it_failed_loses_nothing(
    sql_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compact_early(monkeypatch)
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    for number in range(60):
        short = f"short{number}"
        batch = [*records("long", number + 1, number + 1, 100), *records(short, 1, 1, 2000)]
        if number % 3 == 2:
            _break_next_commit(journal, monkeypatch)
            with pytest.raises(StorageUnavailable):
                journal.commit(batch, {})
        journal.commit(batch, {})
        journal.commit([], {short: 1})
        assert seqs(journal, "long") == list(range(1, number + 2))
        assert set(journal.execution_ids()) == {"long"}
    assert seqs(sql_shelf.open(), "long") == list(range(1, 61))


def test_what_the_process_before_left_is_written_together_too(
    sql_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sql_shelf.open()
    for number in range(40):
        first.commit([*records("long", number + 1, number + 1, 100), *records(f"s{number}", 1, 1, 2000)], {})
    _compact_early(monkeypatch)
    second = sql_shelf.open()
    assert isinstance(second, SqlJournal)
    for number in range(40):
        second.commit([], {f"s{number}": 1})
    assert _segments(second) < 30
    assert seqs(second, "long") == list(range(1, 41))
    assert seqs(sql_shelf.open(), "long") == list(range(1, 41))


def test_torn_segment_costs_what_is_in_it_and_keeps_nobody_from_starting(sql_shelf: Shelf) -> None:
    journal = sql_shelf.open()
    assert isinstance(journal, SqlJournal)
    for seq in range(1, 5):
        journal.commit(records("a", seq, seq), {})
    with journal._engine.begin() as connection:
        connection.execute(text("UPDATE journal_segments SET data = :data WHERE position = 5"), {"data": b"torn"})
    again = sql_shelf.open()
    assert set(seqs(again, "a")) < {1, 2, 3, 4}
    again.commit(records("b", 1, 1), {"a": 4})
    assert sql_shelf.open().read(["a", "b"]) == {"b": records("b", 1, 1)}


# In a file


def test_every_commit_to_a_file_is_synced(tmp_path: Path) -> None:
    journal = SqlJournal.in_folder(tmp_path, "worker")
    assert (pragma(journal, "synchronous"), pragma(journal, "journal_mode")) == (2, "wal")
    assert sorted(file.name for file in tmp_path.glob("*.db")) == ["journal.db"]
    journal.close()


def test_file_that_cannot_be_written_says_so_and_takes_the_records_once_it_can(tmp_path: Path) -> None:
    journal = SqlJournal.in_folder(tmp_path, "worker")
    pragma(journal, "query_only=ON")
    with pytest.raises(StorageUnavailable, match="readonly"):
        journal.commit(records("a", 1, 2), {})
    pragma(journal, "query_only=OFF")
    journal.commit(records("a", 1, 2), {})
    assert seqs(journal, "a") == [1, 2]
    journal.close()


def test_file_keeps_its_size_however_many_executions_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaves 4 KB behind, and some go on and on among them: what is needed at once is a little."""
    monkeypatch.setattr(journal_segments, "COMPACT_ABOVE", 2_000_000)
    monkeypatch.setattr(journal_segments, "COMPACT_BYTES", 1_000_000)
    journal = SqlJournal.in_folder(tmp_path, "worker")
    largest = written = commits = 0
    for first in range(0, EXECUTIONS, AT_ONCE):
        commits += 1
        batch = [each for number in range(first, first + AT_ONCE) for each in records(f"e{number}", 1, 2, size=2000)]
        forget = {f"e{number}": 2 for number in range(max(0, first - AT_ONCE), first)}
        # Each segment has something in it that is needed on.
        batch.append(record(f"long{commits % LONG}", 1 + commits // LONG))
        journal.commit(batch, forget)
        largest = max(largest, journal.size())
        written += sum(len(each.data) for each in batch)
    print(f"\n{EXECUTIONS} executions, {written} bytes written, the file took {largest} at most")
    assert written > EXECUTIONS * 4000
    assert largest < 8_000_000
    assert journal._index.bytes < 3_000_000
    assert sum(len(journal.read([f"long{number}"])[f"long{number}"]) for number in range(LONG)) == commits
    journal.close()


def test_file_that_was_large_gives_its_pages_back(tmp_path: Path) -> None:
    journal = SqlJournal.in_folder(tmp_path, "worker")
    for number in range(60):
        journal.commit(records(f"e{number}", 1, 1, size=1_000_000), {})
    assert journal.size() > 60_000_000 > KEPT_BYTES
    for number in range(60):
        journal.commit([], {f"e{number}": 1})
    assert journal.size() < 1_000_000
    journal.close()


def test_pages_come_back_while_something_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offbook.persistence.journal.VACUUM_EVERY", 10)
    journal = SqlJournal.in_folder(tmp_path, "worker")
    journal.commit(records("long", 1, 1), {})
    for number in range(20):
        journal.commit(records(f"e{number}", 1, 1, size=1_000_000), {})
    for number in range(20):
        journal.commit([], {f"e{number}": 1})
    for seq in range(2, 600):
        journal.commit(records("long", seq, seq), {})
    assert (tmp_path / "journal.db").stat().st_size < 5_000_000
    assert seqs(journal, "long") == list(range(1, 600))
    journal.close()


def test_journal_url_may_name_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    first = SqlJournal.at(url, "worker")
    first.commit(records("a", 1, 2), {})
    first.close()
    second = SqlJournal.at(url, "worker")
    assert second.read(["a"]) == {"a": records("a", 1, 2)}
    second.close()


def _compact_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_segments, "COMPACT_ABOVE", 50_000)
    monkeypatch.setattr(journal_segments, "COMPACT_BYTES", 20_000)


def _segments(journal: SqlJournal) -> int:
    with journal._engine.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM journal_segments")).scalar_one())


def _break_next_commit(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next transaction be committed, and its sender hear that the connection is gone."""
    begin = journal._engine.begin

    class Begun:
        def __enter__(self) -> Any:
            self._begun = begin()
            return self._begun.__enter__()

        def __exit__(self, *raised: Any) -> None:
            self._begun.__exit__(*raised)
            monkeypatch.setattr(journal._engine, "begin", begin)
            raise StorageUnavailable("the connection is gone")

    monkeypatch.setattr(journal._engine, "begin", Begun)


def _empty_database() -> str:
    """Empty the journal's table in the one database of these tests."""
    if not _DATABASE:
        _DATABASE.append(shared_postgres().database())
    engine = open_writer(database_url(_DATABASE[0]))
    metadata.drop_all(engine)
    engine.dispose()
    return _DATABASE[0]


_DATABASE: list[str] = []
