"""A server at `/v1/chat/completions` on a real socket that answers as a test says, and sees who hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from aiohttp import web

from offbook.workflows.values import JsonObject

PATIENCE = 60.0
"""Seconds that a test waits for what must happen."""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    headers: dict[str, str]
    body: JsonObject


class ModelServer:
    """What it was asked, and who hung up before the answer was complete."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Answer = stream(said("fine"), ending())
        """Set by the test."""
        self.asked: list[Asked] = []
        self.hung_up = 0
        self.elsewhere = 0
        """Requests to any other path."""
        self._changed = asyncio.Condition()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until what the server sees is as it should be."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(reached)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(dict(request.headers), await request.json()))
        await self._tell()
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up += 1
            raise
        finally:
            await self._tell()

    async def other(self, request: web.Request) -> web.StreamResponse:
        self.elsewhere += 1
        return await stream(said("elsewhere"), ending())(request)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def event(data: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def said(text: str) -> bytes:
    """Write the event of a piece of the answer."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def ending(asked: int = 7, answered: int = 3, reason: str = "stop") -> bytes:
    """Write the last events of a complete answer."""
    return (
        event({"model": "the-model-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        + event({"choices": [], "usage": {"prompt_tokens": asked, "completion_tokens": answered}})
        + DONE
    )


def stream(*chunks: bytes, then: Callable[[web.Request], Awaitable[None]] | None = None) -> Answer:
    """Send chunks one by one as events, and perhaps do something before the response ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then is not None:
            await then(request)
        return response

    return answer


async def hang(request: web.Request) -> None:
    """Say nothing more until the other side hangs up."""
    await asyncio.Event().wait()


async def drop(request: web.Request) -> None:
    """Hang up in the middle."""
    assert request.transport is not None
    request.transport.abort()


def whole(data: object, status: int = 200, **headers: str) -> Answer:
    """Send JSON in one piece; `headers` are written with underscores."""

    async def answer(request: web.Request) -> web.StreamResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body=orjson.dumps(data), status=status, headers=sent)

    return answer


def in_turn(answers: Iterable[Answer]) -> Answer:
    """Give each request the next answer."""
    waiting = iter(answers)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(waiting)(request)

    return answer


@asynccontextmanager
async def serve() -> AsyncIterator[ModelServer]:
    """Serve on a free port of the loopback while the context lasts."""
    server = ModelServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.complete)
    app.router.add_route("*", "/{path:.*}", server.other)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
