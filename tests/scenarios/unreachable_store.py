"""A store that can be out of reach: a real one behind it, StorageUnavailable in front while it is away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionReader, Write, WriteResult


class UnreachableStore:
    """Implements `ExecutionStore` and its writer; what is read comes from the store behind it."""

    def __init__(self) -> None:
        self._behind = MemoryStore()
        self._away = threading.Event()
        self.refused = 0
        """Transactions that came while it was away."""

    def go_away(self) -> None:
        """Refuse every transaction that writes."""
        self._away.set()

    def come_back(self) -> None:
        self._away.clear()

    @property
    def writer(self) -> UnreachableStore:
        return self

    @property
    def reader(self) -> ExecutionReader:
        return self._behind

    def transactions(self) -> tuple[int, int]:
        return self._behind.transactions()

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        if self._away.is_set():
            self.refused += 1
            raise StorageUnavailable("the disk has been pulled out")
        return self._behind.commit(writes)

    def close(self) -> None:
        self._behind.close()
