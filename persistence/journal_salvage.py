"""Where a journal's file breaks off, and what can still be read of a corrupt one. Writes nothing into it.

A file that cannot be read because the disk is full, or somebody holds it, is not corrupt: StorageUnavailable.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from offbook.persistence.journal_segments import SegmentTorn, unpack_segment
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import JournalRecord

_SIDES = ("-wal", "-shm")

_AWAY = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Errors that say nothing about what is in a file."""

_FRAME_HEADER_BYTES = 24
_LOG_HEADER_BYTES = 32


@dataclass(frozen=True, slots=True)
class LogExtent:
    """How much there is in a write-ahead log, whether it can be read or not."""

    bytes: int
    """All that was written since the log was last begun."""
    frame_bytes: int

    def end_of(self, frames: int) -> int:
        """Return where so many frames end."""
        return min(self.bytes, _LOG_HEADER_BYTES + frames * self.frame_bytes) if frames else 0


def measure_log(path: Path) -> LogExtent | None:
    """Look at the log beside a database, before SQLite drops what it cannot read; None if there is nothing in it."""
    log = _beside(path, "-wal")
    if not log.exists() or log.stat().st_size == 0:
        return None
    size = log.stat().st_size
    with log.open("rb") as file:
        header = file.read(_LOG_HEADER_BYTES)
        if len(header) < _LOG_HEADER_BYTES:
            return LogExtent(size, size)
        page_bytes = int.from_bytes(header[8:12], "big")
        if not 512 <= page_bytes <= 65536:
            return LogExtent(size, size)
        frame_bytes = _FRAME_HEADER_BYTES + page_bytes
        end = _LOG_HEADER_BYTES
        for start in range(_LOG_HEADER_BYTES, size, frame_bytes):
            file.seek(start + 8)
            salts = file.read(8)
            # Frames of an earlier round lie behind those of this one, and have neither of its two salts; one of ours
            # may be damaged in one of them.
            is_ours = salts[:4] == header[16:20] or salts[4:] == header[20:24]
            if is_ours or (start == end and len(salts) < 8):
                end = min(size, start + frame_bytes)
    return LogExtent(end, frame_bytes)


def frames_taken_in(path: Path) -> int:
    """Have SQLite take in the log; return how many frames of it could be read."""
    try:
        connection = sqlite3.connect(path)
        try:
            return max(0, int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]))
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        refuse_if_away(error)
        # What is wrong with the file itself is found by those who look at it.
        return 0


def refuse_if_away(error: BaseException | None) -> None:
    """Raise StorageUnavailable if an error of SQLite's is of the storage, and not of the file."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _AWAY:
        raise StorageUnavailable(f"journal: {error}") from error


def begin_mend(path: Path) -> Path:
    """Return where to write what is kept of a corrupt journal; what a start that was killed left there is removed."""
    fresh = _beside(path, ".mending")
    for side in ("", *_SIDES):
        _beside(fresh, side).unlink(missing_ok=True)
    return fresh


def end_mend(path: Path) -> Path:
    """Put what was written, and is closed, in the place of the corrupt journal; return where that one is now."""
    fresh = _beside(path, ".mending")
    if any(_beside(fresh, side).exists() for side in _SIDES):
        raise StorageUnavailable("journal: what was kept of a corrupt one cannot be written whole")
    fresh.replace(_beside(path, ".mended"))
    aside = swap_mended(path)
    assert aside is not None
    return aside


def swap_mended(path: Path) -> Path | None:
    """Move a corrupt journal aside and the mended one into its place, if there is one; return where it is now.

    A start that is killed in the middle of this is ended by the next.
    """
    mended = _beside(path, ".mended")
    if not mended.exists():
        return None
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = _beside(path, f".corrupt-{stamp}-{time.time_ns() % 1_000_000:06d}")
    for side in (*_SIDES, ""):
        file = _beside(path, side)
        if file.exists():
            file.replace(_beside(aside, side))
    mended.replace(path)
    return aside


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def salvage(path: Path) -> tuple[list[JournalRecord], int]:
    """Return what can be read, from the front and from the back, and the last segment before the first fault."""
    found: dict[int, list[JournalRecord]] = {}
    position = _read(path, "ASC", found)
    _read(path, "DESC", found)
    return [record for at in sorted(found) for record in found[at]], position


def _read(path: Path, order: str, found: dict[int, list[JournalRecord]]) -> int:
    """Read segments in one direction until the file gives no more; return the last one before the first fault."""
    last = 0
    intact = True
    connection = sqlite3.connect(path)
    try:
        # Without this SQLite reads nothing of a file that is shorter than it says.
        connection.execute("PRAGMA writable_schema=ON")
        query = f"SELECT position, data FROM journal_segments ORDER BY rowid {order}"
        for position, data in connection.execute(query):
            try:
                found[position] = unpack_segment(bytes(data))
            except (SegmentTorn, TypeError):
                intact = False
            last = position if intact else last
    except sqlite3.DatabaseError as error:
        refuse_if_away(error)
        # The end of what is readable.
        return last
    finally:
        connection.close()
    return last
