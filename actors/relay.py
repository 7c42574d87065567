"""Actors on threads of their own whose mailbox outlives them: what waits behind a crash is not lost."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from loguru import logger
from pykka import ActorDeadError, ActorRef, ThreadingActor

from offbook.actors.messages import Wake

WAKE = Wake()


class RelayedActor(ThreadingActor):
    """Handles what its Relay holds, in order; flushes when nothing more waits."""

    use_daemon_thread = True
    most_gathered = 1000
    """Messages taken before a flush even if more wait."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay

    @abstractmethod
    def take(self, message: Any) -> None:
        """Gather one message."""

    @abstractmethod
    def flush(self) -> float | None:
        """Do what was gathered; return in how many seconds to try again if that was not possible."""

    def on_receive(self, message: Wake) -> None:
        self._relay.drain(self)

    def on_stop(self) -> None:
        self._relay.drain(self)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._relay.crashed(f"{type(exception_value).__name__}: {exception_value}")


class Relay:
    """The mailbox of a RelayedActor. `tell` from any thread; never fails, also while the actor is restarted."""

    def __init__(
        self,
        name: str,
        start: Callable[[Relay], ActorRef[Any]],
        *,
        later: Callable[[float, Callable[[], None]], None],
        on_crash: Callable[[str, str], None],
    ) -> None:
        """`later(seconds, function)` calls a function after a while; `on_crash(name, reason)` hears of a crash."""
        self.name = name
        self._start = start
        self._later = later
        self._on_crash = on_crash
        self._queue: deque[Any] = deque()
        self._armed = False
        self._retry_armed = False
        self._suspect: object = None
        self.ref: ActorRef[Any] | None = None
        """None before it is started and while it is restarted."""
        self.started_monotonic = time.monotonic()
        """When this mailbox began, which its actors do not outlive."""
        self.high_water = 0
        self.handled = 0
        self.restarts = 0
        self.last_reason = ""
        self.dropped: list[object] = []
        """Messages that crashed the actor twice and were taken out."""

    @property
    def depth(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Start the actor, or start it again after a crash, with all that waits."""
        self.ref = self._start(self)
        self._armed = False
        self.wake()

    def restart(self) -> None:
        """Start the actor again after a crash."""
        self.restarts += 1
        self.start()

    def stop(self, timeout: float) -> None:
        """Have the actor do what waits and end."""
        if self.ref is not None:
            self.ref.stop(block=True, timeout=timeout)

    def tell(self, message: object) -> None:
        queue = self._queue
        queue.append(message)
        if len(queue) > self.high_water:
            self.high_water = len(queue)
        if not self._armed:
            self.wake()

    def wake(self) -> None:
        """Have the actor look at what waits."""
        self._armed = True
        ref = self.ref
        if ref is None:
            return
        try:
            ref.tell(WAKE)
        except ActorDeadError:
            logger.debug("message waits for a restart", actor=self.name)

    def drain(self, actor: RelayedActor) -> None:
        """Hand what waits to the actor; on its thread."""
        self._armed = False
        queue = self._queue
        gathered = 0
        while queue:
            actor.take(queue[0])
            queue.popleft()
            self.handled += 1
            gathered += 1
            if gathered >= actor.most_gathered:
                gathered = 0
                self._after(actor.flush())
        self._after(actor.flush())

    def crashed(self, reason: str) -> None:
        """The actor died; what it was at stays, unless it was at the same message when it died before."""
        self.ref = None
        self.last_reason = reason
        if self._queue and self._queue[0] is self._suspect:
            self.dropped.append(self._queue.popleft())
            self._suspect = None
            logger.error("message crashed its actor twice and is dropped", actor=self.name, why=reason)
        elif self._queue:
            self._suspect = self._queue[0]
        self._on_crash(self.name, reason)

    def _after(self, delay: float | None) -> None:
        if delay is not None and not self._retry_armed:
            self._retry_armed = True
            self._later(delay, self._retry)

    def _retry(self) -> None:
        self._retry_armed = False
        self.wake()
