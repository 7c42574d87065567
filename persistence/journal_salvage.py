"""What can still be read of a corrupt journal file. Writes nothing into it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from offbook.persistence.journal_segments import SegmentTorn, unpack_segment
from offbook.workflows.records import JournalRecord

_SIDES = ("-wal", "-shm")


def quarantine(path: Path) -> Path:
    """Move a journal's files aside, so that a new one can begin; return where the main file is now."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.corrupt-{stamp}-{time.time_ns() % 1_000_000:06d}")
    for side in ("", *_SIDES):
        file = path.with_name(path.name + side)
        if file.exists():
            file.replace(aside.with_name(aside.name + side))
    return aside


def salvage(path: Path) -> tuple[list[JournalRecord], int]:
    """Return what can be read, from the front and from the back, and the last segment before the fault."""
    found: dict[int, list[JournalRecord]] = {}
    _read(path, "ASC", found)
    position = max(found, default=0)
    _read(path, "DESC", found)
    return [record for at in sorted(found) for record in found[at]], position


def _read(path: Path, order: str, found: dict[int, list[JournalRecord]]) -> None:
    """Read segments in one direction until the file gives no more."""
    connection = sqlite3.connect(path)
    try:
        query = f"SELECT position, data FROM journal_segments ORDER BY rowid {order}"
        for position, data in connection.execute(query):
            found[position] = unpack_segment(bytes(data))
    except (sqlite3.DatabaseError, SegmentTorn, TypeError):
        # The end of what is readable; how far it was is what the caller reports.
        return
    finally:
        connection.close()
