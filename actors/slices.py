"""Long evaluations on the node runner's loop, in slices, so that nodes have their turn. Holds no run state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from offbook.workflows.errors import StorageUnavailable

SLICE_SECONDS = 0.005
"""How long nodes wait for their loop at most, but for one evaluation that takes longer by itself."""


@dataclass(frozen=True, slots=True)
class SliceTask:
    """Service to node runner: take these steps, which render templates, and tell what the last one gave."""

    steps: Iterator[Any]
    done: Callable[[Any, Exception | None], None]
    """Called on the runner's thread, once, with the value or the error."""


async def take_slices(task: SliceTask) -> None:
    """Take all steps, and go aside after each slice of time."""
    last: Any = None
    until = time.monotonic() + SLICE_SECONDS
    try:
        for value in task.steps:
            last = value
            if time.monotonic() >= until:
                await asyncio.sleep(0)
                until = time.monotonic() + SLICE_SECONDS
    except Exception as fault:  # noqa: BLE001 - handed to whoever waits for the value
        task.done(None, fault)
    else:
        task.done(last, None)


def begin_slices(loop: asyncio.AbstractEventLoop, task: SliceTask) -> asyncio.Task[None]:
    """Have a loop take the steps; if it is closed meanwhile, whoever waits hears so."""

    def over(handle: asyncio.Task[None]) -> None:
        if handle.cancelled():
            task.done(None, StorageUnavailable("the worker is stopping"))

    sliced = loop.create_task(take_slices(task))
    sliced.add_done_callback(over)
    return sliced
