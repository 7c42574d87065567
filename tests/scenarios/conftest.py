"""Workers and model servers for stories, and a watch over what a story leaves behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRegistry

from offbook.nodes.functions import FunctionRegistry
from tests.scenarios.fake_model import FakeModel, serve_model
from tests.scenarios.worker import Worker, open_worker

Open = Callable[..., Awaitable[Worker]]
Close = Callable[[Worker], Awaitable[None]]


@pytest.fixture
def functions() -> FunctionRegistry:
    """What `python` nodes of a story may call."""
    return FunctionRegistry()


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail a story that leaves an actor or a thread of ours alive."""
    before = set(threading.enumerate())
    yield
    assert ActorRegistry.get_all() == []
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("offbook"):
            # An abandoned function has been told to end, and does so in its own time.
            thread.join(30)
            assert not thread.is_alive(), thread.name


@pytest.fixture
async def workers(nothing_left: None) -> AsyncIterator[dict[Worker, AsyncExitStack]]:
    opened: dict[Worker, AsyncExitStack] = {}
    tasks = asyncio.all_tasks()
    yield opened
    for stack in reversed(opened.values()):
        await stack.aclose()
    left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
    assert not left, left


@pytest.fixture
def opened(workers: dict[Worker, AsyncExitStack], tmp_path: Path, functions: FunctionRegistry) -> Open:
    """Give `await opened(folder="data", store=..., max_live=..., ...)`: a worker, closed when the story ends."""

    async def open_one(*, folder: str = "data", **options: Any) -> Worker:
        stack = AsyncExitStack()
        worker = await stack.enter_async_context(open_worker(tmp_path / folder, functions, **options))
        workers[worker] = stack
        return worker

    return open_one


@pytest.fixture
def closed(workers: dict[Worker, AsyncExitStack]) -> Close:
    """Give `await closed(worker)`: shut a worker down in good order, before the story ends."""

    async def close_one(worker: Worker) -> None:
        await workers.pop(worker).aclose()

    return close_one


@pytest.fixture
async def worker(opened: Open) -> Worker:
    """A worker over real SQLite, with a journal, in a folder of its own."""
    return await opened()


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    """A server that speaks OpenAI's protocol and counts what it is asked."""
    async with serve_model() as served:
        yield served
