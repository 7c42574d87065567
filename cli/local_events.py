"""Events of an engine in this process, for a command that reads them as it would a server's. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from offbook.workflows.server_events import EventParser, ServerEvent

MOST_BYTES = 8_000_000
"""Of events that wait to be read; more cut the stream, and its reader comes back."""


class QueuedStream:
    """A stream that is read by a coroutine."""

    def __init__(self) -> None:
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._came = asyncio.Event()

    async def open(self) -> None:
        """Nothing need be done."""

    def send(self, frames: bytes) -> None:
        self._size += len(frames)
        if self._size > MOST_BYTES:
            self.close()
        else:
            self._frames.append(frames)
        self._came.set()

    def close(self) -> None:
        if not self.cut.done():
            self.cut.set_result(None)
        self._came.set()

    async def read(self) -> bytes:
        """Return what came since the last time; empty once nothing will."""
        while not self._frames and not self.cut.done():
            self._came.clear()
            await self._came.wait()
        frames = b"".join(self._frames)
        self._frames.clear()
        self._size = 0
        return frames


async def read_events(follow: Callable[[QueuedStream], Awaitable[object]]) -> AsyncGenerator[ServerEvent, None]:
    """Give the events that `follow` tells a stream, until it returns; what it raises is raised here."""
    stream = QueuedStream()
    following = asyncio.ensure_future(follow(stream))
    following.add_done_callback(lambda _: stream.close())
    parser = EventParser()
    try:
        while frames := await stream.read():
            for event in parser.events(frames):
                yield event
        if following.done():
            following.result()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
