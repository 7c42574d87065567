"""Which executions are still to be recovered, in what order, and who waits for which. Reads and spawns nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from offbook.actors.directory import ExecutionDirectory
from offbook.actors.loop import LoopFuture

PART = 100
"""Executions that are rebuilt at once; the next part follows when those run."""
FIRST_DELAY = 0.2
MAX_DELAY = 10.0


class RecoveryQueue:
    """Works off `directory.recovering`."""

    def __init__(self, directory: ExecutionDirectory, *, needed: bool) -> None:
        """Not `needed`: nothing goes on by itself, and all that is to be recovered has been."""
        self._directory = directory
        self._waiting: dict[str, list[LoopFuture]] = {}
        self._failures = 0
        directory.surveyed = not needed
        if not needed:
            directory.recovered.set(None)

    def survey(self, execution_ids: Iterable[str]) -> None:
        """Take in which executions had not finished; those that nobody left are answered for."""
        directory = self._directory
        self._failures = 0
        directory.surveyed = True
        for execution_id in execution_ids:
            if execution_id not in directory:
                directory.recovering[execution_id] = None
        for execution_id in [each for each in self._waiting if each not in directory.recovering]:
            self._answer(execution_id)

    def next_part(self) -> tuple[str, ...]:
        """Return what is to be recovered next; those that somebody asks for come first. Empty when all is done."""
        directory = self._directory
        if not directory.recovering:
            if directory.surveyed and not directory.recovered.done():
                directory.recovered.set(None)
            return ()
        others = (each for each in directory.recovering if each not in self._waiting)
        return tuple(itertools.islice(itertools.chain(self._waiting, others), PART))

    def done(self, execution_id: str) -> None:
        """An execution is in memory, or cannot be; whoever waited for it hears which."""
        self._failures = 0
        self._directory.recovering.pop(execution_id, None)
        self._answer(execution_id)

    def wait_for(self, execution_id: str) -> LoopFuture:
        """Return a future of whether an execution is in memory, once that is known; it is recovered first."""
        directory = self._directory
        future = LoopFuture()
        if execution_id in directory or (directory.surveyed and execution_id not in directory.recovering):
            future.set(execution_id in directory)
        else:
            self._waiting.setdefault(execution_id, []).append(future)
        return future

    def delay(self) -> float:
        """Return in how many seconds to try again after a failure."""
        seconds = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return seconds

    def _answer(self, execution_id: str) -> None:
        for future in self._waiting.pop(execution_id, ()):
            future.set(execution_id in self._directory)
