"""What can still be read of a corrupt journal file. Writes nothing into it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from offbook.workflows.records import JournalRecord

_SIDES = ("-wal", "-shm")


def quarantine(path: Path) -> Path:
    """Move a journal's files aside, so that a new one can begin; return where the main file is now."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}-{time.time_ns() % 1_000_000}")
    for side in ("", *_SIDES):
        file = path.with_name(path.name + side)
        if file.exists():
            file.replace(aside.with_name(aside.name + side))
    return aside


def salvage(path: Path) -> tuple[list[JournalRecord], int]:
    """Return the records that can be read, from the front and from the back, and how many came before the fault."""
    found: dict[tuple[str, int], bytes] = {}
    _read(path, "ASC", found)
    position = len(found)
    _read(path, "DESC", found)
    return [JournalRecord(execution_id, seq, found[execution_id, seq]) for execution_id, seq in sorted(found)], position


def _read(path: Path, order: str, found: dict[tuple[str, int], bytes]) -> None:
    """Read rows in one direction until the file gives no more."""
    try:
        connection = sqlite3.connect(path)
        try:
            query = f"SELECT execution_id, seq, data FROM journal_records ORDER BY rowid {order}"
            for execution_id, seq, data in connection.execute(query):
                found[execution_id, seq] = bytes(data)
        finally:
            connection.close()
    except (sqlite3.DatabaseError, TypeError):
        # The end of what is readable; how far it was is what the caller reports.
        return
