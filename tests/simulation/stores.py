"""Stores that fail before and after they commit, and tell the auditor what they really did."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from offbook.persistence.memory_journal import MemoryJournal
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import JournalRecord, StoredExecution, Write, WriteResult


class Faults(Protocol):
    """What goes wrong, and when."""

    chance: random.Random
    quiet: bool
    talkative: bool
    journal_faults: float
    """How often the journal fails, as a multiple of the usual."""

    def effect(self, kind: str) -> None:
        """Note an effect; raises Killed if the process ends here."""
        ...

    def happened(self, kind: str) -> None: ...


class Witness(Protocol):
    """Who hears what was really stored."""

    def stored(self, write: Write, result: WriteResult) -> None: ...

    def loaded(self, execution_id: str) -> None: ...

    def recorded(self, record: JournalRecord) -> None: ...


class FlakyStore(MemoryStore):
    """A database that is away now and then."""

    def __init__(self, faults: Faults, witness: Witness) -> None:
        super().__init__()
        self.faults = faults
        self.witness = witness

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        faults = self.faults
        faults.effect("before commit")
        if _fails(faults, 0.06):
            faults.happened("database away before commit")
            raise StorageUnavailable("simulated")
        results = super().commit(writes)
        for write, result in zip(writes, results, strict=True):
            self.witness.stored(write, result)
        faults.effect("after commit")
        if _fails(faults, 0.04):
            faults.happened("database away after commit")
            raise StorageUnavailable("simulated, after the commit")
        return results

    def load_many(self, execution_ids: Sequence[str]) -> list[StoredExecution]:
        if _fails(self.faults, 0.05):
            self.faults.happened("database away at a read")
            raise StorageUnavailable("simulated")
        loaded = super().load_many(execution_ids)
        for each in loaded:
            self.witness.loaded(each.execution_id)
        return loaded


class FlakyJournal(MemoryJournal):
    """A journal whose disk is full now and then."""

    def __init__(self, faults: Faults, witness: Witness) -> None:
        super().__init__()
        self.faults = faults
        self.witness = witness

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        faults = self.faults
        faults.effect("before journal")
        if _fails(faults, 0.04 * faults.journal_faults):
            faults.happened("journal away before commit")
            raise StorageUnavailable("simulated")
        super().commit(records, forget)
        for record in records:
            self.witness.recorded(record)
        faults.effect("after journal")
        if _fails(faults, 0.02 * faults.journal_faults):
            faults.happened("journal away after commit")
            raise StorageUnavailable("simulated, after the commit")


def _fails(faults: Faults, share: float) -> bool:
    return not faults.quiet and faults.chance.random() < share
