"""The short way for the most frequent request: a plain GET of a live execution's status, without aiohttp.

A connection begins here. While all it sends are such requests, as somebody who polls sends them, they are answered
here: what aiohttp does for any request takes three times as long as the answer. The first request that is anything
else makes the connection aiohttp's, with that request and for good. So does every request that has to be refused:
here nobody is told anything but a status.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

from aiohttp import hdrs
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict
from pykka import ActorDeadError

from offbook.web.callers import ROLE, TIER, USER, caller_from
from offbook.web.errors import RequestRefused
from offbook.web.executions import PRIVATE
from offbook.web.gate import INTERNAL_AUTH, host_check, token_check
from offbook.web.service import LiveService, PendingAnswer
from offbook.web.settings import WebSettings
from offbook.workflows.caller import Caller

BEGINNING = b"GET /status/"
ID_END = len(BEGINNING) + 32
LINE_ENDING = b" HTTP/1.1\r\n"
HEADERS_AT = ID_END + len(LINE_ENDING)
MOST_BYTES = 4096
HEADS_KEPT = 1000
SWEEP_SECONDS = 30.0
IDLE_SWEEPS = 2
"""A connection that has asked for nothing between so many sweeps is closed, as aiohttp closes its own."""

KNOWN_HEADERS = frozenset(
    str(name).lower()
    for name in (
        *(hdrs.HOST, hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.ACCEPT_LANGUAGE, hdrs.CONNECTION),
        *(hdrs.AUTHORIZATION, INTERNAL_AUTH, USER, ROLE, TIER),
    )
)
"""With any other header a request may mean something else."""
_is_header = re.compile(rb"([!-9;-~]+):([ \t]*[^\0\r\n]*)").fullmatch

HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    f'{hdrs.ETAG}: "%d"\r\n'
    f"{hdrs.CACHE_CONTROL}: {PRIVATE}\r\n"
    "Content-Length: %d\r\n"
    "Date: %s\r\n"
    f"Server: {SERVER_SOFTWARE}\r\n"
    "\r\n"
)

Factory = Callable[[], asyncio.Protocol]


class StatusLane:
    """Judges requests, and keeps the connections that have sent nothing else."""

    def __init__(self, service: LiveService, settings: WebSettings) -> None:
        self.service = service
        self._host_allowed = host_check(settings)
        self._authorized = token_check(settings.internal_token)
        self._callers: dict[bytes, Caller] = {}
        """Who asks, by the headers as they were sent: a client sends the same ones again and again."""
        self.connections: set[LaneConnection] = set()
        self.sweeps = 0
        self.closing = False
        self._sweeper: asyncio.TimerHandle | None = None

    def connect(self, usual: Factory) -> LaneConnection:
        """Build the protocol of a new connection; `usual` builds the one that takes over from it."""
        if self._sweeper is None:
            self._sweep_later()
        return LaneConnection(self, usual)

    def close(self) -> None:
        """Close what is open: at once, or as soon as it has its answer."""
        self.closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self.connections):
            connection.close_if_idle()

    def sweep(self) -> None:
        """Close the connections that have asked for nothing for a while."""
        self.sweeps += 1
        for connection in list(self.connections):
            if connection.seen_at < self.sweeps - IDLE_SWEEPS:
                connection.close_if_idle()

    def caller_of(self, head: bytes) -> Caller | None:
        """Return who sent these headers; None unless they are complete, and a status may be told."""
        caller = self._callers.get(head)
        if caller is None:
            caller = self._judge(head)
            if caller is not None:
                if len(self._callers) >= HEADS_KEPT:
                    self._callers.clear()
                self._callers[head] = caller
        return caller

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
        if self.connections:
            self._sweep_later()

    def _judge(self, head: bytes) -> Caller | None:
        if not head.endswith(b"\r\n\r\n"):
            return None
        headers: CIMultiDict[str] = CIMultiDict()
        for line in head[:-4].split(b"\r\n"):
            found = _is_header(line)
            if found is None:
                return None
            name = found[1].decode("ascii")
            if name.lower() not in KNOWN_HEADERS or name in headers:
                return None
            headers[name] = found[2].decode("utf-8", "surrogateescape").strip(" \t")
        if headers.get(hdrs.CONNECTION, "keep-alive").lower() != "keep-alive":
            return None
        if not self._host_allowed(headers.get(hdrs.HOST)):
            return None
        if self._authorized is not None and not self._authorized(headers):
            return None
        try:
            return caller_from(headers)
        except RequestRefused:
            return None


class LaneConnection(asyncio.Protocol):
    """A connection that has asked for nothing but statuses."""

    def __init__(self, lane: StatusLane, usual: Factory) -> None:
        self._lane = lane
        self._usual = usual
        self._transport: asyncio.Transport | None = None
        self._asked: bytes | None = None
        """The request that is being answered."""
        self._early = b""
        """What came before that was."""
        self._full = False
        """Whether the client does not take what we write."""
        self.seen_at = lane.sweeps

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._lane.connections.add(self)
        if self._lane.closing:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lane.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._asked is not None or self._full:
            self._early += data
            assert self._transport is not None
            self._transport.pause_reading()
            return
        lane = self._lane
        self.seen_at = lane.sweeps
        if data[: len(BEGINNING)] == BEGINNING and data[ID_END:HEADERS_AT] == LINE_ENDING and len(data) <= MOST_BYTES:
            caller = lane.caller_of(data[HEADERS_AT:])
            if caller is not None:
                answer = lane.service.live_status(data[len(BEGINNING) : ID_END].decode("latin-1"), caller)
                if answer is not None:
                    self._asked = data
                    answer.add_done_callback(self._answered)
                    return
        self._hand_over(data)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._go_on()

    def close_if_idle(self) -> None:
        if self._asked is None and self._transport is not None:
            self._transport.close()

    def _answered(self, pending: PendingAnswer) -> None:
        """Write the answer; what has no plain answer is for the usual way to say."""
        data, self._asked = self._asked, None
        transport = self._transport
        if transport is None or data is None:
            return
        try:
            answer: Any = pending.get(timeout=0)
        except ActorDeadError:
            answer = None
        body = getattr(answer, "body", None)
        if body is None:
            self._hand_over(data + self._take_early())
            return
        head = HEAD % (answer.revision, len(body), rfc822_formatted_time())
        transport.write(head.encode("ascii") + body)
        if self._lane.closing:
            transport.close()
        elif self._early:
            self._go_on()

    def _go_on(self) -> None:
        early = self._take_early()
        if early:
            self.data_received(early)

    def _take_early(self) -> bytes:
        early, self._early = self._early, b""
        if early and self._transport is not None:
            self._transport.resume_reading()
        return early

    def _hand_over(self, data: bytes) -> None:
        """Make this connection aiohttp's, with what was received and not answered."""
        transport = self._transport
        assert transport is not None
        self._transport = None
        self._lane.connections.discard(self)
        usual = self._usual()
        transport.set_protocol(usual)
        usual.connection_made(transport)
        if self._full:
            usual.pause_writing()
        usual.data_received(data)
