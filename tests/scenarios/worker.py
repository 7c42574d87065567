"""One worker of a story: an engine, its server on a real socket, and a client of it. Replaces no part of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pykka import ActorRef

from offbook.engine import Engine
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.providers import KeyResolver, provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.records import ExecutionStore, JournalStore
from offbook.workflows.values import JsonObject, JsonValue
from tests.actors.clock_ahead import put_forward

ADA = {"id": "ada", "role": "author", "tier": "gold"}
PATIENCE = 60.0
"""Seconds that a story may wait for what is to happen."""
NOBODY = "0" * 32


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    body: Any
    headers: Mapping[str, str]


def of_the_run(status: JsonObject) -> JsonObject:
    """What a status says without how far the journal is: that goes on by itself when nothing happens any more."""
    return {name: value for name, value in status.items() if name != "journal"}


@dataclass(frozen=True, slots=True)
class Unheard:
    """A message that no actor knows: whoever gets it crashes."""


class Worker:
    """Asks over HTTP what can be asked over HTTP; looks into the engine only for what cannot."""

    def __init__(self, engine: Engine, url: str, session: aiohttp.ClientSession) -> None:
        self.engine = engine
        self.url = url
        self._session = session

    async def call(
        self, method: str, path: str, body: JsonValue = None, *, user: str | None = None, **headers: str
    ) -> Answer:
        """Send one request, as the operator or as `user`; `headers` are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            sent["X-Offbook-User"] = user
        async with (
            asyncio.timeout(PATIENCE),
            self._session.request(method, self.url + path, json=body, headers=sent) as response,
        ):
            text = await response.read()
            answered = await response.json(content_type=None) if text else None
            return Answer(response.status, answered, response.headers)

    async def start(self, workflow: JsonObject | str, inputs: JsonObject | None = None, **fields: Any) -> str:
        """Start an execution on behalf of Ada; return its id."""
        answer = await self.call(
            "POST", "/executions", {"workflow": workflow, "inputs": inputs or {}, "user": ADA, **fields}
        )
        assert answer.status == 202, answer.body
        return str(answer.body["execution_id"])

    async def command(self, execution_id: str, command: str, body: JsonValue = None, **who: Any) -> Answer:
        """Send `resume`, `cancel`, `pause` or `signals/NAME`; `who` is as in `call`."""
        return await self.call("POST", f"/executions/{execution_id}/{command}", body, **who)

    async def resume(self, execution_id: str, **fields: Any) -> int:
        """Resume an execution; return its epoch."""
        answer = await self.command(execution_id, "resume", fields or None)
        assert answer.status == 202, answer.body
        return int(answer.body["epoch"])

    async def status(self, execution_id: str, query: str = "") -> JsonObject:
        answer = await self.call("GET", f"/status/{execution_id}{query}")
        assert answer.status == 200, answer.body
        payload: JsonObject = answer.body
        return payload

    async def until(self, execution_id: str, reached: Callable[[JsonObject], bool]) -> JsonObject:
        """Follow an execution's news until its status is as it should be; return it whole."""
        async with asyncio.timeout(PATIENCE):
            while not reached(payload := await self.status(execution_id)):
                await self.status(execution_id, f"?since={payload['revision']}&wait=10")
        return payload

    async def until_status(self, execution_id: str, *wanted: str) -> JsonObject:
        return await self.until(execution_id, lambda payload: payload["status"] in wanted)

    async def until_written(self, execution_id: str, text: str) -> None:
        """Wait until this is all the text that has been told of an execution, by whichever attempts."""

        def told(payload: JsonObject) -> bool:
            return text == "".join(step["text"] for step in payload["processing_steps"] if step["kind"] == "text")

        await self.until(execution_id, told)

    def pass_time(self, seconds: float) -> None:
        """Have so many seconds pass at once for calls and their time limits."""
        put_forward(self.engine.service._around.runner, seconds)

    async def rest(self, execution_id: str) -> JsonObject:
        """Wait until an execution is at rest and stored; return its status as HTTP gives it."""
        await self.engine.wait(execution_id, PATIENCE)
        return await self.status(execution_id)

    async def evicted(self, execution_id: str) -> JsonObject:
        """Wait until an execution at rest has left memory; return its status from the database."""
        return await self.until(execution_id, lambda payload: payload["source"] == "database")

    async def checkpoint(self, execution_id: str) -> JsonObject:
        answer = await self.call("GET", f"/executions/{execution_id}/checkpoint")
        assert answer.status == 200, answer.body
        payload: JsonObject = answer.body
        return payload

    async def figures(self) -> JsonObject:
        """Return what the worker counts: transactions, calls, dead letters."""
        figures: JsonObject = (await self.call("GET", "/actors")).body["counts"]
        return figures

    async def transactions(self) -> tuple[int, int]:
        """Return how many (read, write) transactions its store has sent."""
        counted = (await self.figures())["transactions"]
        return counted["reads"], counted["writes"]

    def actor(self, execution_id: str) -> ActorRef[Any]:
        """Return the actor of an execution that is in memory, to be told what HTTP cannot tell it."""
        entry = self.engine.service._directory.find(execution_id)
        assert entry is not None
        assert entry.ref is not None
        return entry.ref

    async def until_restarted(self, execution_id: str) -> None:
        """Wait until an execution whose actor crashed has an actor again: `rest` asks it, however long that takes."""
        await self.engine.wait(execution_id, PATIENCE)

    async def until_figures(self, **wanted: int) -> None:
        """Wait until the worker counts so many of each. Nobody is told of figures, so this asks."""
        async with asyncio.timeout(PATIENCE):
            while not wanted.items() <= (await self.figures()).items():
                pass

    def crash(self, execution_id: str) -> None:
        """Have an execution's actor die of a message."""
        self.actor(execution_id).tell(Unheard())


@asynccontextmanager
async def open_worker(
    folder: Path,
    functions: FunctionRegistry,
    *,
    store: ExecutionStore | None = None,
    journal: JournalStore | None = None,
    goes_on: bool = True,
    clock: Callable[[], float] = time.time,
    providers: JsonObject | None = None,
    keys: KeyResolver | None = None,
    **settings: Any,
) -> AsyncIterator[Worker]:
    """Start a worker over a data folder, or over a store without one; leaving it drains it."""
    registry = NodeRegistry.with_builtins(provider_registry(providers or {}), functions)
    given = EngineSettings(data_dir=folder, **settings)
    engine = Engine(given, store=store, journal=journal, registry=registry, keys=keys, clock=clock, goes_on=goes_on)
    async with engine, serve_app(create_app(engine.service)) as url, aiohttp.ClientSession() as session:
        worker = Worker(engine, url, session)
        # Answered once it is known what a process before this one left: from here on transactions can be counted.
        await worker.call("GET", f"/status/{NOBODY}")
        yield worker
