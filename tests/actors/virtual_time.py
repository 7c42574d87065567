"""A clock that moves when it is told to, and what it calls back then: for limiters without a loop."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

_numbers = count()


@dataclass(order=True)
class Alarm:
    when: float
    number: int = field(default_factory=lambda: next(_numbers))
    callback: Callable[[], None] = field(compare=False, default=lambda: None)
    cancelled: bool = field(compare=False, default=False)

    def cancel(self) -> None:
        self.cancelled = True


class VirtualTime:
    """Timers of a limiter."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._alarms: list[Alarm] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(when, callback=callback)
        heapq.heappush(self._alarms, alarm)
        return alarm

    @property
    def armed(self) -> int:
        """How many alarms would still ring."""
        return sum(not alarm.cancelled for alarm in self._alarms)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and ring what is due on the way, each at its time."""
        until = self.now + seconds
        while self._alarms and self._alarms[0].when <= until:
            alarm = heapq.heappop(self._alarms)
            if not alarm.cancelled:
                self.now = max(self.now, alarm.when)
                alarm.callback()
        self.now = until
