"""Imported by a worker whose journal is to crash at every record: a fault of the program, not of the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offbook.persistence.journal import SqlJournal
from offbook.workflows.records import JournalRecord


def _stumble(self: SqlJournal, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
    raise RuntimeError("a fault of the program")


SqlJournal.commit = _stumble  # type: ignore[method-assign]
