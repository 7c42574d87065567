"""How many executions may be live, and who waits for a place. Counts ids; knows no actor."""

from __future__ import annotations

from collections import deque

from offbook.workflows.errors import OverCapacity


class Admission:
    """Places for live executions and a bounded queue behind them."""

    def __init__(self, max_live: int, max_queued: int, *, retry_after: float = 5.0) -> None:
        self._max_live = max_live
        self._max_queued = max_queued
        self._retry_after = retry_after
        self._live: set[str] = set()
        self._queue: deque[str] = deque()

    @property
    def live(self) -> int:
        return len(self._live)

    @property
    def queued(self) -> int:
        return len(self._queue)

    def enter(self, execution_id: str, *, bounded: bool = True) -> bool:
        """Take a place and return True, or queue up and return False; OverCapacity if a bounded queue is full."""
        if execution_id in self._live:
            return True
        if len(self._live) < self._max_live:
            self._live.add(execution_id)
            return True
        if bounded and len(self._queue) >= self._max_queued:
            raise OverCapacity(len(self._live), len(self._queue), self._retry_after)
        self._queue.append(execution_id)
        return False

    def has(self, execution_id: str) -> bool:
        """Whether it has a place."""
        return execution_id in self._live

    def force(self, execution_id: str) -> None:
        """Take a place beyond the limit: a resume or restart is not turned away."""
        self._live.add(execution_id)

    def leave(self, execution_id: str) -> None:
        """Give a place, or a place in the queue, back; again and again is the same as once."""
        if execution_id in self._live:
            self._live.discard(execution_id)
        elif execution_id in self._queue:
            self._queue.remove(execution_id)

    def next(self) -> str | None:
        """Give the longest waiting a place that has become free; None if there is neither."""
        if self._queue and len(self._live) < self._max_live:
            execution_id = self._queue.popleft()
            self._live.add(execution_id)
            return execution_id
        return None
