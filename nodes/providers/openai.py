"""The provider for servers that speak OpenAI's `/chat/completions`: streams over HTTP. Stores and logs nothing."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import aiohttp

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers.answer import AnswerBuilder, AnswerRefused, AnswerUnreadable
from offbook.nodes.providers.failures import connection_failure, error_text, retry_after_seconds, status_failure
from offbook.nodes.providers.protocol import ModelAnswer, ModelRequest, OnText, ignore_text
from offbook.nodes.providers.response_format import response_format
from offbook.nodes.providers.scrub import scrub
from offbook.nodes.providers.settings import ProviderSettings
from offbook.workflows.server_events import EventParser, EventTooLong
from offbook.workflows.values import JsonObject

CONNECT_SECONDS = 30.0
ERROR_BODY_BYTES = 65_536
ERROR_BODY_SECONDS = 10.0
WHOLE_ANSWER_BYTES = 64_000_000


class OpenAIProvider:
    """One server. Its connections live on the loop that first uses them; each request brings its own key."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self._url = f"{settings.base_url}/chat/completions"
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def requires_key(self) -> bool:
        return self._settings.requires_key

    async def complete(self, request: ModelRequest, on_text: OnText, on_thought: OnText = ignore_text) -> ModelAnswer:
        if request.api_key is not None and not _fits_header(request.api_key):
            raise NodeFailure.of("invalid_key", f"the key for {self.name} has characters that no key has")
        try:
            return await self._exchange(request, AnswerBuilder(on_text, on_thought, request.on_usage))
        except (aiohttp.ClientError, OSError) as error:
            failure = connection_failure(self.name, error)
        except AnswerRefused as refused:
            detail = _scrubbed(refused.payload, request)
            failure = status_failure(self.name, refused.status or 500, detail)
        except (AnswerUnreadable, EventTooLong):
            message = f"{self.name} sent what is no chat completion"
            failure = NodeFailure.of("server_error", message, retryable=True)
        # Raised out here, so that no exception that holds the request's headers hangs on to it.
        raise failure

    async def _exchange(self, request: ModelRequest, builder: AnswerBuilder) -> ModelAnswer:
        response = await self._open_session().post(
            self._url,
            json=self._body(request),
            headers=_headers(request),
            # A redirect would take prompt and key to where nobody configured them to go.
            allow_redirects=False,
        )
        try:
            if response.status != 200 or response.content_type == "text/html":
                raise await self._refusal(response, request)
            if response.content_type == "application/json":
                builder.take(await _read(response, WHOLE_ANSWER_BYTES))
                return builder.answer(request.model)
            await _stream(response, builder)
        except BaseException:
            # Also when cancelled: the server must see at once that nobody listens.
            response.close()
            raise
        response.release()
        if not builder.complete:
            message = f"{self.name} ended the answer before it was complete"
            raise NodeFailure.of("dropped", message, retryable=True)
        return builder.answer(request.model)

    async def _refusal(self, response: aiohttp.ClientResponse, request: ModelRequest) -> NodeFailure:
        if response.status == 200:
            hint = f"check the base_url of the provider {self.name}: it usually ends in /v1"
            return NodeFailure.of("validation", f"{self.name} answered with a web page", hint=hint)
        body = b""
        # The status says enough if the text cannot be had.
        with suppress(aiohttp.ClientError, OSError):
            async with asyncio.timeout(ERROR_BODY_SECONDS):
                body = await _read(response, ERROR_BODY_BYTES)
        retry_after = retry_after_seconds(response.headers.get("Retry-After"))
        return status_failure(self.name, response.status, _scrubbed(body, request), retry_after)

    def _body(self, request: ModelRequest) -> JsonObject:
        body: JsonObject = {**self._settings.options, **request.options}
        body["model"] = request.model
        body["messages"] = [{"role": each.role, "content": each.content} for each in request.messages]
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body["max_tokens"] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.json_schema is not None and self._settings.structured_output:
            body.setdefault("response_format", response_format(request.json_schema))
        return body

    def _open_session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, socket_factory=_open_socket),
                # Calls may take hours: limits are the node's own.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                # One session serves all users: nothing of one may be sent with another's request.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()


async def _stream(response: aiohttp.ClientResponse, builder: AnswerBuilder) -> None:
    parser = EventParser()
    async for chunk in response.content.iter_any():
        for event in parser.feed(chunk):
            builder.take(event)
            if builder.ended:
                return
    for event in parser.finish():
        # Half an event is no news: that the answer is not complete says it.
        with suppress(AnswerUnreadable):
            builder.take(event)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a body, or as much of it as the limit allows."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _headers(request: ModelRequest) -> dict[str, str]:
    headers = {"Accept": "text/event-stream"}
    if request.api_key:
        headers["Authorization"] = f"Bearer {request.api_key}"
    if request.idempotency_key:
        headers["Idempotency-Key"] = request.idempotency_key
    return headers


def _fits_header(key: str) -> bool:
    return key.isascii() and key.isprintable()


def _scrubbed(body: bytes, request: ModelRequest) -> str:
    return scrub(error_text(body), key=request.api_key, prompts=[each.content for each in request.messages])


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """Open a socket that notices within minutes when the other machine has gone without a word."""
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened
