"""Server-Sent Events to one browser, and what all open streams share: heartbeats, and their end with the server.

An event comes as bytes that are the same for everybody, and goes to the socket at once, without a task that is woken
for it. Nothing waits for a reader: one who does not keep up is cut off and told to come back.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from aiohttp import hdrs, web

from offbook.web.ready import PRIVATE

EVENT_STREAM = "text/event-stream"
BACKLOG_BYTES = 256 * 1024
"""What a reader may be behind, beside what its connection holds, when the next event comes."""
SOCKET_BYTES = 128 * 1024
"""What the connection of a reader holds: the kernel would give it megabytes."""
CUT_SECONDS = 5.0
"""How long one that was cut off, or has been told all, may take to read the rest."""
HEARTBEAT_SECONDS = 15.0
RETRY = b"retry: 1000\n\n"
HEARTBEAT = b": alive\n\n"
TOO_SLOW = b": you read too slowly and are cut off: connect again, with Last-Event-ID\n\n"
STOPPING = b": the server stops: connect again, with Last-Event-ID\n\n"


class EventResponse(web.StreamResponse):
    """The head of a stream: what follows it is written to the transport, and ends with the connection."""

    _length_check = False

    def __init__(self) -> None:
        headers = {hdrs.CACHE_CONTROL: f"{PRIVATE}, no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        self.content_type = EVENT_STREAM
        self.force_close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Leave it to who closes the transport: aiohttp would wait for a reader that does not read."""
        if not self.prepared:
            await super().write_eof(data)


class EventStream:
    """One browser that listens."""

    __slots__ = ("_request", "_streams", "_transport", "cut", "quiet_since", "response")

    def __init__(self, request: web.Request, streams: EventStreams) -> None:
        self.cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once nothing can be sent any more."""
        self.response = EventResponse()
        self.quiet_since = 0.0
        self._request = request
        self._streams = streams
        self._transport: asyncio.WriteTransport | None = None

    async def open(self) -> None:
        """Send the head, and how soon to come back when the connection is lost."""
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        connection: socket.socket | None = transport.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES // 2)
        await self.response.prepare(self._request)
        await self.response.write(RETRY)
        self._transport = transport
        self._streams.add(self)

    def send(self, frames: bytes) -> None:
        """Write whole events; a reader that is too far behind is cut off in place of that."""
        transport = self._transport
        if transport is None or self.cut.done():
            return
        if transport.is_closing():
            self.cut.set_result(None)
        elif transport.get_write_buffer_size() > BACKLOG_BYTES:
            self.finish(TOO_SLOW)
        else:
            self.quiet_since = self._streams.now
            transport.write(frames)

    def finish(self, last: bytes = b"") -> None:
        """Say a last word and close the connection: at once if all is read, else when it is, or after a while."""
        if not self.cut.done():
            self.cut.set_result(None)
        transport, self._transport = self._transport, None
        self._streams.remove(self)
        if transport is None or transport.is_closing():
            return
        if last:
            transport.write(last)
        if transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CUT_SECONDS, transport.abort)
        transport.close()


class EventStreams:
    """The streams that are open."""

    def __init__(self) -> None:
        self._open: set[EventStream] = set()
        self._beat: asyncio.TimerHandle | None = None
        self._closed = False
        self.now = 0.0
        """The loop's time, to the second."""

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: EventStream) -> None:
        self._open.add(stream)
        if self._closed:
            stream.finish(STOPPING)
        elif self._beat is None:
            self._tick()
        stream.quiet_since = self.now

    def remove(self, stream: EventStream) -> None:
        self._open.discard(stream)

    def close(self) -> None:
        """End all, so that the server can stop."""
        self._closed = True
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        for stream in list(self._open):
            stream.finish(STOPPING)

    def _tick(self) -> None:
        """Once a second: have those that heard nothing for long hear that the connection is alive."""
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        for stream in [each for each in self._open if self.now - each.quiet_since >= HEARTBEAT_SECONDS]:
            stream.send(HEARTBEAT)
        self._beat = loop.call_later(1.0, self._tick) if self._open else None
