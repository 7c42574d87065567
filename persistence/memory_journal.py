"""A journal in memory: for tests and simulations. What it holds outlives the worker that wrote it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from offbook.workflows.records import JournalRecord


class MemoryJournal:
    """Implements `JournalStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, dict[int, bytes]] = {}

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        with self._lock:
            for record in records:
                self._records.setdefault(record.execution_id, {}).setdefault(record.seq, record.data)
            for execution_id, through in forget.items():
                kept = self._records.get(execution_id, {})
                for seq in [seq for seq in kept if seq <= through]:
                    del kept[seq]
                if not kept:
                    self._records.pop(execution_id, None)

    def execution_ids(self) -> list[str]:
        with self._lock:
            return list(self._records)

    def read(self, execution_ids: Sequence[str]) -> dict[str, list[JournalRecord]]:
        with self._lock:
            return {
                execution_id: [JournalRecord(execution_id, seq, data) for seq, data in sorted(kept.items())]
                for execution_id in execution_ids
                if (kept := self._records.get(execution_id))
            }

    def size(self) -> int:
        """Return the bytes of all records."""
        with self._lock:
            return sum(len(data) for kept in self._records.values() for data in kept.values())

    def close(self) -> None:
        """Do nothing: what was recorded can be read again by handing on this object."""
