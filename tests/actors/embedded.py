"""An engine of a test's own, and stores that stumble on cue: hand-written, with real ones behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from offbook.engine import Engine
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.providers import provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.memory_journal import MemoryJournal
from offbook.persistence.memory_store import MemoryStore
from offbook.settings import EngineSettings
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.ledger import LedgerReader
from offbook.workflows.records import ExecutionReader, ExecutionStore, JournalRecord, JournalStore, Write, WriteResult
from offbook.workflows.values import JsonObject


class StumblingJournal(MemoryJournal):
    """A journal that breaks, by a fault of the program or of the disk, so often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.crashes_before = 0
        """How many of the next commits crash before they are done."""
        self.crashes_after = 0
        """How many of those after that crash when they are done."""
        self.is_full = False
        """Whether the disk is full."""
        self.refused = 0
        self.seen: list[JournalRecord] = []
        """Every record that was ever committed, repeats among them."""

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        if self.is_full:
            self.refused += 1
            raise StorageUnavailable("the disk is full")
        if self.crashes_before:
            self.crashes_before -= 1
            raise RuntimeError("stumbled before the commit")
        super().commit(records, forget)
        self.seen.extend(records)
        if self.crashes_after:
            self.crashes_after -= 1
            raise RuntimeError("stumbled after the commit")

    def seqs(self, execution_id: str) -> list[int]:
        """Return which records of an execution were ever on disk, without repeats."""
        return sorted({record.seq for record in self.seen if record.execution_id == execution_id})


class StumblingStore:
    """A database whose driver forgets to answer for the last write of a transaction, so often as it is told to."""

    def __init__(self) -> None:
        self._behind = MemoryStore()
        self.forgets = 0

    @property
    def writer(self) -> StumblingStore:
        return self

    @property
    def reader(self) -> ExecutionReader:
        return self._behind

    @property
    def books(self) -> LedgerReader:
        return self._behind.books

    def transactions(self) -> tuple[int, int]:
        return self._behind.transactions()

    def reads_apart(self) -> int:
        return self._behind.reads_apart()

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        results = self._behind.commit(writes)
        if self.forgets:
            self.forgets -= 1
            return results[:-1]
        return results

    def close(self) -> None:
        self._behind.close()


@asynccontextmanager
async def open_engine(
    folder: Path,
    functions: FunctionRegistry | None = None,
    *,
    store: ExecutionStore | None = None,
    journal: JournalStore | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """Start an engine; leaving it drains it."""
    registry = NodeRegistry.with_builtins(provider_registry({}), functions or FunctionRegistry())
    engine = Engine(EngineSettings(data_dir=folder, **settings), store=store, journal=journal, registry=registry)
    async with engine:
        await engine.service.recovered()
        yield engine


async def line_of(engine: Engine, kind: str) -> JsonObject:
    """Return what `GET /actors` says of the one actor of a class."""
    listed = await engine.service.actors()
    [line] = [line for line in listed["actors"] if line["class"] == kind]
    found: JsonObject = line
    return found
