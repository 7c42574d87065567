"""A client of event streams as plain as can be: it reads bytes, and puts together what they say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession

from offbook.cli.watched import Watched
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.server_events import EventParser, ServerEvent
from offbook.workflows.values import JsonObject
from tests.scenarios.worker import PATIENCE, Worker


class Listener:
    """What one who listens has heard."""

    def __init__(self) -> None:
        self.events: list[ServerEvent] = []
        self.state = Watched()
        self.text = ""
        """All `text` events put together, and nothing else."""

    @property
    def last_id(self) -> str:
        return self.events[-1].id if self.events else ""

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def said(self, name: str) -> list[JsonObject]:
        return [orjson.loads(event.data) for event in self.events if event.name == name]

    def hear(self, event: ServerEvent) -> None:
        self.events.append(event)
        said = orjson.loads(event.data)
        if event.name not in ("gap", "end"):
            self.state.hear(event.name, said)
        if event.name == "text" and said["kind"] == "text":
            self.text += said["text"]


@asynccontextmanager
async def listening(
    worker: Worker, execution_id: str, listener: Listener, **headers: str
) -> AsyncIterator[AsyncIterator[ServerEvent]]:
    """Connect where the listener left off; give the events as they come, which it has heard by then."""
    sent = {"Last-Event-ID": listener.last_id} if listener.last_id else {}
    url = f"{worker.url}/executions/{execution_id}/events"
    async with ClientSession() as session, session.get(url, headers={**sent, **headers}) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield _heard(response, listener)


async def _heard(response: ClientResponse, listener: Listener) -> AsyncIterator[ServerEvent]:
    parser = EventParser()
    async for chunk in response.content.iter_any():
        for event in parser.events(chunk):
            listener.hear(event)
            yield event


async def listen(worker: Worker, execution_id: str, listener: Listener | None = None, **headers: str) -> Listener:
    """Listen to the end of the stream."""
    listener = listener or Listener()
    async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener, **headers) as events:
        async for _ in events:
            pass
    return listener


def have_written(functions: FunctionRegistry, *, every: float) -> threading.Event:
    """Register a node `write` that shows a word every so many seconds until this is set, and returns them all."""
    enough = threading.Event()

    @functions.node
    async def write(ctx: NodeContext) -> str:
        words: list[str] = []
        while not enough.is_set():
            words.append(f"word {len(words)}, ")
            ctx.text(words[-1])
            await asyncio.sleep(every)
        return "".join(words)

    return enough


def shown(payload: JsonObject) -> JsonObject:
    """What of a status somebody who listened to all events must know as well."""
    return {
        key: payload[key]
        for key in ("status", "epoch", "node_results", "progress", "usage", "cost", "result", "error", "receipt")
    }


def known(listener: Listener) -> JsonObject:
    """The same, as the listener has put it together."""
    state: Any = {**listener.state.payload, "node_results": listener.state.nodes}
    return shown(state)
