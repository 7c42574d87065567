"""A server that speaks OpenAI's streaming protocol over a real socket and knows who hung up. No model is in it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from offbook.workflows.values import JsonObject

PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that the server took."""

    prompt: str
    number: int
    """How often this prompt has been asked, from 1."""
    authorization: str | None
    body: JsonObject = field(default_factory=dict)
    """All that was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: words, and then the end, or nothing more until the other side hangs up."""

    words: tuple[str, ...] = ("a ", "fine ", "text")
    hangs: bool = False
    breaks: bool = False
    """Whether the server hangs up after the words."""
    waits_for: asyncio.Event | None = None
    """What must be set before the answer ends; for a refusal, before it is given."""
    status: int = 200
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)


FINE = Reply()


class FakeModel:
    """What the server was asked, and how each connection ended."""

    def __init__(self) -> None:
        self.url = ""
        self.reply: Callable[[Asked], Reply] = lambda asked: FINE
        """Chooses the answer; set by the story."""
        self.asked: list[Asked] = []
        self.hung_up = 0
        """Connections that the other side closed before the answer was complete."""
        self.under_way = 0
        self._held: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    @property
    def providers(self) -> JsonObject:
        """Settings under which a worker finds this server as `fake/...`."""
        return {"fake": {"base_url": f"{self.url}/v1"}}

    @property
    def locked(self) -> JsonObject:
        """The same, where no call is made without a key."""
        return {"fake": {"base_url": f"{self.url}/v1", "requires_key": True}}

    @property
    def counts(self) -> dict[str, int]:
        """How often each prompt was asked: what a provider would bill."""
        return dict(Counter(each.prompt for each in self.asked))

    def count(self, beginning: str) -> int:
        """How often prompts that begin with this text were asked."""
        return sum(1 for each in self.asked if each.prompt.startswith(beginning))

    def hold(self, prompt: str) -> asyncio.Event:
        """Have the next answers to this prompt wait for the event that is returned, whatever they are."""
        event = self._held[prompt] = asyncio.Event()
        return event

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until what the server sees is as it should be."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(reached)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        asked = Asked(prompt, 1 + self.counts.get(prompt, 0), request.headers.get("Authorization"), body)
        self.asked.append(asked)
        self.under_way += 1
        await self._tell()
        try:
            if prompt in self._held:
                await self._held[prompt].wait()
            return await self._answer(request, self.reply(asked))
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up += 1
            raise
        finally:
            self.under_way -= 1
            await self._tell()

    async def _answer(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.status != 200:
            if reply.waits_for is not None:
                await reply.waits_for.wait()
            error = {"error": {"message": reply.error}}
            return web.json_response(error, status=reply.status, headers=reply.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in reply.words:
            await response.write(_event({"choices": [{"delta": {"content": word}}]}))
        if reply.breaks:
            assert request.transport is not None
            request.transport.abort()
            return response
        if reply.hangs:
            await asyncio.Event().wait()
        if reply.waits_for is not None:
            await reply.waits_for.wait()
        usage = {"prompt_tokens": 7, "completion_tokens": len(reply.words)}
        await response.write(_event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _event(data: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


@asynccontextmanager
async def serve_model() -> AsyncIterator[FakeModel]:
    """Serve on a free port while the context lasts."""
    model = FakeModel()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", model.complete)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield model
    finally:
        await runner.cleanup()
