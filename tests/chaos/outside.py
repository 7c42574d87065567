"""The outside process: counts the calls of functions, and plays a provider that speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from offbook.workflows.values import JsonObject
from tests.chaos.book import text_of
from tests.chaos.ledger import Ledger
from tests.chaos.nodes import COUNTER_VARIABLE, duration_of


class Outside:
    """Two doors, one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.counter = ""
        self.provider = ""

    @property
    def environment(self) -> dict[str, str]:
        """What a worker needs to know to call here."""
        providers = {"counted": {"base_url": f"{self.provider}/v1"}}
        return {COUNTER_VARIABLE: self.counter, "OFFBOOK_PROVIDERS": orjson.dumps(providers).decode()}

    async def count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in what one life of the worker tells, to the last line that it wrote."""
        life = self.ledger.life
        try:
            while line := await reader.readline():
                kind, number, key = line.decode().split()
                tell = self.ledger.begin if kind == "begin" else self.ledger.end
                tell(int(number), key, life)
        finally:
            writer.close()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer a prompt `WHAT of NUMBER`, in words, after a while."""
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        what, _, number = body["messages"][-1]["content"].partition(" of ")
        life = self.ledger.life
        self.ledger.begin(int(number), key, life)
        await asyncio.sleep(duration_of(key))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = text_of(int(number), what)
        answer = [
            _event({"choices": [{"delta": {"content": text[:9]}}]}),
            _event({"choices": [{"delta": {"content": text[9:]}}]}),
            _event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}),
            b"data: [DONE]\n\n",
        ]
        await response.write(b"".join(answer))
        self.ledger.end(int(number), key, life)
        return response


def _event(data: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


@asynccontextmanager
async def open_outside() -> AsyncIterator[Outside]:
    """Serve both doors on free ports while the context lasts."""
    outside = Outside(Ledger())
    server = await asyncio.start_server(outside.count, "127.0.0.1", 0)
    outside.counter = "{}:{}".format(*server.sockets[0].getsockname())
    app = web.Application()
    app.router.add_post("/v1/chat/completions", outside.complete)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        outside.provider = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield outside
    finally:
        server.close()
        await runner.cleanup()
        await server.wait_closed()
