"""Dispatchers: one on the loop of the test, one on a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from offbook.actors.loop import Dispatcher


@pytest.fixture
async def here() -> AsyncIterator[Dispatcher]:
    """Dispatch on the loop of the test, which nothing may reach that an actor raises."""
    loop = asyncio.get_running_loop()
    reached: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reached.append(context))
    dispatcher = Dispatcher(loop)
    yield dispatcher
    dispatcher.close()
    assert reached == []


@pytest.fixture
def elsewhere() -> Iterator[Dispatcher]:
    """Dispatch on another thread."""
    dispatcher = Dispatcher.in_thread("loop-of-a-test")
    yield dispatcher
    dispatcher.close()
