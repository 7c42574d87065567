"""A store and a journal whose commits can be held back, to see what is accepted before they are done."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from offbook.persistence.memory_journal import MemoryJournal
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.records import JournalRecord, Write, WriteResult

PATIENCE = 60.0


class Hold:
    """Holds back whatever thread passes while it is held."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        """Set once somebody is held back."""

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def pass_through(self) -> None:
        if not self._open.is_set():
            self.reached.set()
            self._open.wait(PATIENCE)


class HeldStore(MemoryStore):
    """A MemoryStore whose transactions can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.hold = Hold()

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.hold.pass_through()
        return super().commit(writes)


class HeldJournal(MemoryJournal):
    """A MemoryJournal whose transactions can be held back."""

    def __init__(self) -> None:
        super().__init__()
        self.hold = Hold()

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        self.hold.pass_through()
        super().commit(records, forget)
