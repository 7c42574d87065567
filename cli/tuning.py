"""How a process that only serves is tuned. Changes the whole interpreter, so an embedded engine never does it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable

from loguru import logger

SWITCH_INTERVAL = 0.0002
"""Seconds after which a thread that burns the processor lets the control loop in: status stays quick beside it."""
COLLECTOR_THRESHOLDS = (25_000, 20, 20)
"""Python's own (700, 10, 10) look at every live execution several times a second, and the loop stands still for
it: a tenth of a second at 10,000. Executions hold no cycles: they are freed at once without the collector. So many
new objects take it a hundredth of a second. Less often would make each halt longer, more often costs more in all."""
LONGEST_RECOVERY = 60.0
"""Seconds that the collector keeps still at most while executions are recovered."""


def tune_process() -> None:
    """Keep the control loop quick beside busy threads and among many executions; for once, when all is imported."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    tune_collector()


def tune_collector() -> None:
    """Have the garbage collector look rarely, and not at what is there now: it stays."""
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    gc.collect()
    gc.freeze()


async def keep_collector_still(recovered: Awaitable[None]) -> None:
    """Have the collector wait until what was live is in memory again: it would look at all of it, again and again."""
    gc.disable()
    try:
        async with asyncio.timeout(LONGEST_RECOVERY):
            await recovered
    except TimeoutError:
        logger.info("recovery takes long, the collector goes on")
    finally:
        gc.freeze()
        gc.enable()
