"""A store that can be out of reach: StorageUnavailable while it is away, and all that it had when it is back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import Write, WriteResult


class UnreachableStore(MemoryStore):
    """A MemoryStore whose writer and `ping` fail while it is away; what is read comes from what it has, at first."""

    def __init__(self) -> None:
        super().__init__()
        self._away = threading.Event()
        self._goes_after = threading.Event()
        self.reads_too = False
        """Whether what is unfinished cannot be read either."""
        self.refused = threading.Event()
        """Set once a transaction has come while it was away."""

    def go_away(self) -> None:
        """Refuse every transaction that writes, from now on."""
        self._away.set()

    def go_away_after_the_next(self) -> None:
        """Store one more transaction, and be away before its sender hears of it."""
        self._goes_after.set()

    def come_back(self) -> None:
        self._away.clear()

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        self._refuse()
        results = super().commit(writes)
        if self._goes_after.is_set():
            self._goes_after.clear()
            self._away.set()
            raise StorageUnavailable("the disk has been pulled out")
        return results

    def unfinished(self, worker_id: str) -> list[str]:
        if self.reads_too:
            self._refuse()
        return super().unfinished(worker_id)

    def ping(self) -> None:
        self._check()
        super().ping()

    def _refuse(self) -> None:
        if self._away.is_set():
            self.refused.set()
        self._check()

    def _check(self) -> None:
        if self._away.is_set():
            raise StorageUnavailable("the disk has been pulled out")
