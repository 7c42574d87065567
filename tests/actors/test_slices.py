"""Long evaluations take the node runner's loop in slices, and whoever waits hears how they ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from offbook.actors import slices
from offbook.actors.runner import NodeRunner
from offbook.actors.slices import SliceTask, begin_slices
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.errors import StorageUnavailable

PATIENCE = 60.0


class Heard:
    """What was told at the end, once."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, Exception | None]] = []
        self.done = threading.Event()

    def __call__(self, value: Any, error: Exception | None) -> None:
        self.told.append((value, error))
        self.done.set()


async def test_last_value_is_told() -> None:
    heard = Heard()
    await begin_slices(asyncio.get_running_loop(), SliceTask(iter([None, None, "all"]), heard))
    assert heard.told == [("all", None)]


async def test_error_is_told() -> None:
    def failing() -> Iterator[None]:
        yield None
        raise ValueError("no")

    heard = Heard()
    await begin_slices(asyncio.get_running_loop(), SliceTask(failing(), heard))
    ((value, error),) = heard.told
    assert (value, str(error)) == (None, "no")


async def test_others_have_their_turn_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    turns: list[str] = []

    def steps() -> Iterator[None]:
        for _ in range(3):
            turns.append("step")
            yield None

    async def other() -> None:
        for _ in range(3):
            turns.append("other")
            await asyncio.sleep(0)

    task = begin_slices(asyncio.get_running_loop(), SliceTask(steps(), Heard()))
    await asyncio.gather(task, other())
    assert turns == ["step", "other"] * 3


async def test_runner_that_closes_tells_that_it_was_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_SECONDS", 0.0)
    begun = threading.Event()

    def endless() -> Iterator[None]:
        while True:
            begun.set()
            yield None

    runner = NodeRunner(NodeRegistry.with_builtins())
    runner.start()
    heard = Heard()
    runner.submit(SliceTask(endless(), heard))
    await asyncio.to_thread(begun.wait, PATIENCE)
    await asyncio.to_thread(runner.close)
    assert await asyncio.to_thread(heard.done.wait, PATIENCE)
    ((value, error),) = heard.told
    assert value is None
    assert isinstance(error, StorageUnavailable)
