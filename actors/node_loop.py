"""The event loop of the node runner, on a thread of its own: started, given orders, closed. Knows no calls."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from loguru import logger

Order = TypeVar("Order")


class NodeLoop(Generic[Order]):
    """Carries out orders from any thread, in the order in which they came. Its clock is that of limits and timers."""

    def __init__(
        self,
        carry_out: Callable[[Order], None],
        wind_up: Callable[[], Awaitable[None]],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        """Both are called on the loop: `carry_out` with each order, `wind_up` once, before the loop ends."""
        self._carry_out = carry_out
        self._wind_up = wind_up
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inbox: deque[Order] = deque()
        self._armed = False

    # From any thread

    def start(self) -> None:
        """Start the loop's thread; returns when it runs. What was ordered before is carried out now."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="offbook-nodes", daemon=True)
        self._thread.start()
        ready.wait()
        if self._loop is None:
            raise RuntimeError("the loop of the node runner did not start")

    def close(self, timeout: float) -> None:
        """Wind up, and end the thread. May be called again."""
        thread = self._thread
        if thread is None:
            return
        self.call_threadsafe(self._stop)
        thread.join(timeout)
        if thread.is_alive():
            logger.warning("node runner did not end in time", seconds=timeout)

    def put(self, order: Order) -> None:
        """Have an order carried out, after all that came before it."""
        self._inbox.append(order)
        if not self._armed:
            self._armed = True
            self.call_threadsafe(self._drain)

    def call_threadsafe(self, function: Callable[..., None], *args: Any) -> None:
        """Have the loop call a function; nothing happens if it has been closed."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop was closed between the check and the call.
            logger.debug("node runner is closed, call dropped")

    @property
    def is_here(self) -> bool:
        """Whether the caller is on the loop's thread."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    # On the loop

    @property
    def running(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def time(self) -> float:
        """Return the time by the clock of limits and timers."""
        return time.monotonic()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Have the loop call back at a time of that clock."""
        return self.running.call_later(max(0.0, when - self.time()), callback)

    def _run(self, ready: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                self._loop = runner.get_loop()
                self._stopped = asyncio.Event()
                self._loop.call_soon(ready.set)
                runner.run(self._live())
        finally:
            ready.set()

    async def _live(self) -> None:
        self._drain()
        await self._stopped.wait()
        await self._wind_up()

    def _stop(self) -> None:
        self._stopped.set()

    def _drain(self) -> None:
        self._armed = False
        inbox = self._inbox
        while inbox:
            self._carry_out(inbox.popleft())
