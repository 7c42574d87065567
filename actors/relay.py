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

from offbook.actors.storage_messages import Wake

WAKE = Wake()
PROBE_SECONDS = 0.1
"""While an actor cannot do its work, how long a new message waits at most before that is tried again."""


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

    def refuse(self, message: Any, reason: str) -> None:
        """Answer whoever waits for a message that crashed this actor twice and is dropped."""

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
        self._relay.crashed(self, f"{type(exception_value).__name__}: {exception_value}")


class Relay:
    """The mailbox of a RelayedActor. `tell` from any thread; never fails, also while the actor is restarted."""

    def __init__(
        self,
        name: str,
        start: Callable[[Relay], ActorRef[Any]],
        *,
        later: Callable[[float, Callable[[], None]], None],
        on_crash: Callable[[str, str], None],
        on_drop: Callable[[str, object, str], None] = lambda name, message, reason: None,
    ) -> None:
        """`later(seconds, function)` calls a function after a while; `on_crash(name, reason)` hears of a crash.

        `on_drop(name, message, reason)` hears of a message that crashed the actor twice and was taken out.
        """
        self.name = name
        self._start = start
        self._later = later
        self._on_crash = on_crash
        self._on_drop = on_drop
        self._queue: deque[Any] = deque()
        self._armed = False
        self._retry_armed = False
        self._taking = False
        """Whether the actor is at the first message of the queue."""
        self._suspect: object = None
        self.ref: ActorRef[Any] | None = None
        """None before it is started and while it is restarted."""
        self.started_monotonic = time.monotonic()
        """When this mailbox began, which its actors do not outlive."""
        self.high_water = 0
        self.handled = 0
        self.restarts = 0
        self.last_reason = ""
        self.dropped = 0
        """How many messages crashed the actor twice and were taken out."""

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
        if self._armed:
            return
        if self._retry_armed:
            # What cannot be done now is not tried again for each message.
            self._armed = True
            self._later(PROBE_SECONDS, self.wake)
        else:
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
            self._taking = True
            actor.take(queue[0])
            self._taking = False
            queue.popleft()
            self.handled += 1
            gathered += 1
            if gathered >= actor.most_gathered:
                gathered = 0
                self._after(actor.flush())
        self._after(actor.flush())

    def crashed(self, actor: RelayedActor, reason: str) -> None:
        """The actor died; what it was at stays, unless it was at the same message when it died before."""
        self.ref = None
        self.last_reason = reason
        taking, self._taking = self._taking, False
        dropped: Any = None
        if taking and self._queue[0] is self._suspect:
            dropped = self._queue.popleft()
        self._suspect = self._queue[0] if taking and dropped is None else None
        self._on_crash(self.name, reason)
        if dropped is not None:
            self.dropped += 1
            logger.error("message crashed its actor twice and is dropped", actor=self.name, why=reason)
            self._on_drop(self.name, dropped, reason)
            actor.refuse(dropped, reason)

    def _after(self, delay: float | None) -> None:
        if delay is not None and not self._retry_armed:
            self._retry_armed = True
            self._later(delay, self._retry)

    def _retry(self) -> None:
        self._retry_armed = False
        self.wake()
