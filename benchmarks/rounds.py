"""One round of a throughput benchmark: so many executions, some at once, by the clock and by the processor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.workloads import STEPS

AT_ONCE = 100

StartOne = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Round:
    """What so many executions came to."""

    per_second: float
    seconds_per_1000_steps: float
    """Processor seconds, of all threads."""


async def measure(start_one: StartOne, executions: int) -> Round:
    """Run so many executions, `AT_ONCE` at a time."""
    left = iter(range(executions))

    async def keep_going() -> None:
        for _ in left:
            await start_one()

    began, burnt = time.perf_counter(), time.process_time()
    await asyncio.gather(*(keep_going() for _ in range(AT_ONCE)))
    burnt, took = time.process_time() - burnt, time.perf_counter() - began
    return Round(executions / took, 1000 * burnt / (executions * STEPS))
