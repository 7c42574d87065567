"""How far a worker is with its drain: which executions are still to be stored. Interrupts none of them."""

from __future__ import annotations

from collections.abc import Iterable

from offbook.actors.loop import LoopFuture


class Drain:
    """The end of a worker, from the first request on."""

    def __init__(self, execution_ids: Iterable[str]) -> None:
        self._left = set(execution_ids)
        self._total = len(self._left)
        self.aborts = False
        """Whether the calls in flight are aborted, and not waited for."""
        self.finished = LoopFuture()
        """Resolved with how many were checkpointed."""
        self._check()

    @property
    def total(self) -> int:
        return self._total

    def stored(self, execution_id: str) -> None:
        """An execution is at rest and stored, or is none any more."""
        self._left.discard(execution_id)
        self._check()

    def _check(self) -> None:
        if not self._left and not self.finished.done():
            self.finished.set(self._total)
