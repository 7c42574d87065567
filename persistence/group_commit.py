"""Writes gathered into one transaction, kept while the database is away. Knows no actor, no clock and no SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionWriter, Write, WriteResult

FIRST_DELAY = 0.1
MAX_DELAY = 5.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: Write
    on_done: Callable[[WriteResult], None]
    on_refused: Callable[[Exception], None] | None
    on_error: Callable[[Exception], None]


class GroupCommit:
    """Commits all that waits as one transaction, in the order in which it came."""

    def __init__(self, writer: ExecutionWriter, *, max_batch: int = 1000) -> None:
        self._writer = writer
        self._max_batch = max_batch
        self._waiting: list[_Waiting] = []
        self._failures = 0
        self.last_error: StorageUnavailable | None = None
        """Why the database could not be written the last time; None while it can."""

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def add(
        self,
        write: Write,
        *,
        on_done: Callable[[WriteResult], None],
        on_refused: Callable[[Exception], None] | None,
        on_error: Callable[[Exception], None],
    ) -> None:
        """Have a write committed with the next flush.

        `on_done` hears what became of it once it is committed. While the database is away a write with
        `on_refused` is given up and its caller told, any other is kept. `on_error` hears that the write itself
        cannot be stored.
        """
        self._waiting.append(_Waiting(write, on_done, on_refused, on_error))

    def flush(self) -> float | None:
        """Commit what waits; return in how many seconds to try again if the database is away, else None."""
        size = self._max_batch
        while self._waiting:
            batch = self._waiting[:size]
            try:
                results = self._writer.commit([each.write for each in batch])
            except StorageUnavailable as away:
                return self._keep(away)
            except Exception as error:  # noqa: BLE001 - handed to whoever asked for the write that caused it
                self._came_back()
                if len(batch) > 1:
                    # Halved until the one write that cannot be stored is alone: it must harm no other.
                    size = len(batch) // 2
                    continue
                self._waiting.pop(0).on_error(error)
                continue
            self._came_back()
            size = min(self._max_batch, size * 2)
            self._tell(batch, results)
        return None

    def _tell(self, batch: list[_Waiting], results: list[WriteResult]) -> None:
        """Tell what became of each write; those that nobody was told of after a crash are committed again."""
        told = 0
        try:
            for each, result in zip(batch, results, strict=True):
                told += 1
                each.on_done(result)
        finally:
            del self._waiting[:told]

    def _keep(self, error: StorageUnavailable) -> float:
        self.last_error = error
        given_up = [each for each in self._waiting if each.on_refused is not None]
        self._waiting = [each for each in self._waiting if each.on_refused is None]
        delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 10))
        self._failures += 1
        for each in given_up:
            assert each.on_refused is not None
            each.on_refused(error)
        return delay

    def _came_back(self) -> None:
        self._failures = 0
        self.last_error = None
