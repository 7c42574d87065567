"""A journal's file that is corrupt, or only cannot be read now: what can be kept is, whatever comes between."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offbook.persistence import journal_salvage
from offbook.persistence.journal import SqlJournal
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import JournalRecord

EXECUTIONS = 40
_RECORD = b"[" + b"123," * 1500 + b"4]"
OPEN_WITHOUT_ROOM = """
import resource, signal, sys
from pathlib import Path
from offbook.persistence.journal import SqlJournal
from offbook.workflows.errors import StorageUnavailable

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
try:
    SqlJournal.in_folder(Path(sys.argv[1]), "worker")
except StorageUnavailable:
    sys.exit(7)
"""
"""Opens a journal where no file can grow, as on a disk that is full; 7 if it says so."""


class Killed(BaseException):
    """Stands for a SIGKILL."""


def fill(folder: Path) -> None:
    """Write a journal, and leave it as a process does that is killed: its log beside it."""
    folder.mkdir()
    journal = SqlJournal.in_folder(folder, "worker")
    for number in range(EXECUTIONS):
        journal.commit([JournalRecord(f"{number}", 1, _RECORD)], {})
    kept = folder.with_name("kept")
    kept.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(folder / name, kept)
    journal.close()
    shutil.rmtree(folder)
    kept.rename(folder)


def damage(folder: Path) -> None:
    """Write over a page in the middle of a journal."""
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    file = folder / "journal.db"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(content)


def found_in(folder: Path) -> list[str]:
    journal = SqlJournal.in_folder(folder, "worker")
    try:
        return sorted(journal.execution_ids(), key=int)
    finally:
        journal.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_journal_on_a_disk_that_is_full_is_not_corrupt(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fill(folder)
    opened = subprocess.run([sys.executable, "-c", OPEN_WITHOUT_ROOM, str(folder)], check=False)
    assert opened.returncode == 7
    assert sorted(each.name for each in folder.iterdir() if "shm" not in each.name) == [
        "journal.db",
        "journal.db-wal",
    ]
    assert len(found_in(folder)) == EXECUTIONS


def test_what_can_be_kept_is_kept_though_it_cannot_be_written_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    fill(folder)
    damage(folder)
    shutil.copytree(folder, tmp_path / "other")
    expected = found_in(tmp_path / "other")
    assert 0 < len(expected) < EXECUTIONS

    def full(journal: SqlJournal, *args: object) -> None:
        raise StorageUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqlJournal, "commit", full)
        with pytest.raises(StorageUnavailable):
            SqlJournal.in_folder(folder, "worker")
    assert found_in(folder) == expected


def test_start_that_is_killed_while_it_mends_loses_nothing_of_what_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    fill(folder)
    damage(folder)
    shutil.copytree(folder, tmp_path / "other")
    expected = found_in(tmp_path / "other")
    assert 0 < len(expected) < EXECUTIONS
    for kill_at in itertools.count():
        there = tmp_path / f"killed-{kill_at}"
        shutil.copytree(folder, there)
        moves = itertools.count()
        move = Path.replace

        def replace(path: Path, target: Any, moves: Any = moves, kill_at: int = kill_at, move: Any = move) -> Path:
            if next(moves) == kill_at:
                raise Killed
            moved: Path = move(path, target)
            return moved

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace)
            try:
                found_in(there)
            except Killed:
                pass
            else:
                break
        assert found_in(there) == expected, kill_at
    assert kill_at >= 3, "to its own name, the corrupt one aside, into its place"


def test_errors_of_the_storage_are_told_from_those_of_the_file() -> None:
    about_storage, about_file = sqlite3.OperationalError("full"), sqlite3.DatabaseError("malformed")
    about_storage.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    about_file.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with pytest.raises(StorageUnavailable, match="journal: full"):
        journal_salvage.refuse_if_away(about_storage)
    journal_salvage.refuse_if_away(about_file)
    journal_salvage.refuse_if_away(None)
