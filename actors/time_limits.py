"""The time limits of an attempt: total and idle. They stand still while it waits for its provider. Stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from offbook.workflows.values import NodeError

if TYPE_CHECKING:
    from offbook.actors.calls import Call


class TimeLimits:
    """Arms the timers of calls."""

    def __init__(self, stop: Callable[[Call, str], None], monotonic: Callable[[], float]) -> None:
        """`stop(call, reason)` hears of a call whose time is over."""
        self._stop = stop
        self.monotonic = monotonic

    def arm(self, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        """Let the limits run, from the beginning or on."""
        call.last_sign = call.began = self.monotonic()
        timeout = call.task.scope.node.body.timeout
        if timeout.total is not None:
            used = call.passage.seconds_used if call.passage is not None else 0.0
            call.timers.append(loop.call_later(max(0.0, timeout.total - used), self._stop, call, "timeout"))
        if timeout.idle is not None:
            call.timers.append(loop.call_later(timeout.idle, self._check_idle, loop, call, timeout.idle))

    def halt(self, call: Call) -> None:
        """Have them stand still."""
        disarm(call)
        if call.passage is not None:
            call.passage.seconds_used += self.monotonic() - call.began

    def _check_idle(self, loop: asyncio.AbstractEventLoop, call: Call, limit: float) -> None:
        silent = self.monotonic() - call.last_sign
        if silent >= limit:
            self._stop(call, "idle_timeout")
        else:
            call.timers.append(loop.call_later(limit - silent, self._check_idle, loop, call, limit))


def disarm(call: Call) -> None:
    """Call the timers of a call off."""
    for timer in call.timers:
        timer.cancel()
    call.timers.clear()


def stop_error(call: Call) -> NodeError:
    """Name why a call was stopped, as the error of its attempt."""
    timeout = call.task.scope.node.body.timeout
    if call.stop_reason == "timeout":
        return NodeError("timeout", f"the attempt took longer than {timeout.total:g} s", retryable=True)
    if call.stop_reason == "idle_timeout":
        return NodeError("idle_timeout", f"no sign of life for {timeout.idle:g} s", retryable=True)
    return NodeError("cancelled", "the attempt was cancelled")
