"""Puts the clock of a node runner forward: time limits pass at once, and none passes by luck on a busy machine."""

from __future__ import annotations

import asyncio
import threading

from offbook.actors.runner import NodeRunner

LIMIT_SECONDS = 60.0


def put_forward(runner: NodeRunner, seconds: float) -> None:
    """Have it be so many seconds later for a runner and for the timers of its loop."""
    done = threading.Event()

    def put() -> None:
        loop = asyncio.get_running_loop()
        before = loop.time

        def ahead() -> float:
            return before() + seconds

        loop.time = runner._loop.time = ahead  # type: ignore[method-assign]
        runner.monotonic = runner._time_limits.monotonic = ahead
        done.set()

    runner.call_threadsafe(put)
    assert done.wait(LIMIT_SECONDS)
