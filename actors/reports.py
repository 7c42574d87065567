"""What calls report while they are under way, gathered and told once in a while. Keeps nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from offbook.actors import replies
from offbook.actors.calls import Call
from offbook.actors.node_loop import NodeLoop

LOOK_AGAIN = 1.0
"""Seconds after the time until which a call was said to wait, if it still does."""


class Reports:
    """Tells executions of progress and waits, so rarely that no mailbox grows without bound. Used on the loop."""

    def __init__(self, loop: NodeLoop[Any], clock: Callable[[], float], flush_seconds: float) -> None:
        self._loop = loop
        self._clock = clock
        self._flush_seconds = flush_seconds
        self._dirty: list[Call] = []
        self._flush_handle: asyncio.TimerHandle | None = None

    def note(self, call: Call) -> None:
        """A call has something to report; it goes out with the next flush."""
        self._dirty.append(call)
        if self._flush_handle is None:
            self._flush_handle = self._loop.running.call_later(self._flush_seconds, self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        dirty, self._dirty = self._dirty, []
        for call in dirty:
            if not call.ended:
                call.tell(replies.progressed(call, self._clock()))
                self._tell_what_it_waits_for(call)

    def _tell_what_it_waits_for(self, call: Call) -> None:
        held = replies.held(call, self._loop.time(), self._clock())
        if held is None:
            return
        call.tell(held)
        if held.until is not None:
            # If it was estimated too early, it is estimated again.
            again = self._loop.time() + max(0.0, held.until - held.at) + LOOK_AGAIN
            self._loop.call_at(again, partial(self.note, call))
