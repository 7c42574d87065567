"""A deterministic loop with a virtual clock: whose turn it is, and how long anything takes, is drawn from a seed."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

from offbook.actors.loop import Dispatcher
from offbook.actors.loop_mailbox import Mailbox

START = 1_700_000_000.0
"""Seconds since the Unix epoch at which every simulation begins."""
HURRY = 0.04
"""How often a timer goes off although messages wait, as it would on a busy machine."""


class Killed(BaseException):
    """The process went away: raised at the effect at which it does, and swallowed by the actors of that process."""


class Handle:
    """A timer."""

    __slots__ = ("args", "cancelled", "function", "when")

    def __init__(self, when: float, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.when = when
        self.function = function
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class SimLoop:
    """What actors use of an event loop."""

    def __init__(self, chance: random.Random, now: float = START) -> None:
        self.chance = chance
        self.now = now
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_soon(self, function: Callable[..., Any], *args: Any) -> Handle:
        return self.call_later(0.0, function, *args)

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any) -> Handle:
        handle = Handle(self.now + max(0.0, delay), function, args)
        heapq.heappush(self._timers, (handle.when, next(self._order), handle))
        return handle

    def due(self) -> Handle | None:
        """Take the next timer, and let the time come at which it goes off; None if there is none."""
        while self._timers:
            _, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled:
                self.now = max(self.now, handle.when)
                return handle
        return None


class SimDispatcher(Dispatcher):
    """Has one mailbox at a time handle one message; which one is drawn."""

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop  # type: ignore[assignment]
        self.sim = loop
        self.batch = 1
        self.thread_id = threading.get_ident()
        self.ready: list[Mailbox] = []

    def schedule(self, mailbox: Mailbox) -> None:
        self.ready.append(mailbox)

    def step(self) -> bool:
        """Do one thing; False if there is nothing left to do, ever."""
        ready, loop = self.ready, self.sim
        if ready and loop.chance.random() > HURRY:
            mailbox = ready.pop(loop.chance.randrange(len(ready)))
            assert mailbox.actor is not None
            mailbox.actor._process(mailbox, self.batch)
            return True
        handle = loop.due()
        if handle is not None:
            handle.function(*handle.args)
            return True
        if ready:
            mailbox = ready.pop(0)
            assert mailbox.actor is not None
            mailbox.actor._process(mailbox, self.batch)
            return True
        return False
