"""A write on behalf of whoever asks, which is no execution's: handed to persistence, and waited for. Tries once."""

from __future__ import annotations

import asyncio

from loguru import logger

from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.surroundings import Surroundings
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import Write, WriteResult

STORE_SECONDS = 30.0
"""How long a commit may take."""


class _Answer:
    """Where persistence tells, from its thread, what became of a write."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[WriteResult] = self._loop.create_future()

    def tell(self, message: WriteDone | WriteFailed, /) -> None:
        try:
            self._loop.call_soon_threadsafe(self._resolve, message)
        except RuntimeError:
            logger.debug("event loop is closed, nobody waits for a write", write=type(message.write).__name__)

    def _resolve(self, message: WriteDone | WriteFailed) -> None:
        if self.future.done():
            return
        if isinstance(message, WriteDone):
            self.future.set_result(message.result)
        else:
            self.future.set_exception(message.error)


async def store(around: Surroundings, write: Write) -> WriteResult:
    """Return what became of a write once its transaction is committed; StorageUnavailable if it cannot be now."""
    answer = _Answer()
    around.persistence.tell(StoreWrite(write, answer))
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await answer.future
    except TimeoutError:
        raise StorageUnavailable(f"no answer within {STORE_SECONDS:g} s") from None
