"""The servers that `status`, `status_under_load` and `events` ask: Offbook with executions in it, or bare aiohttp.

Run as a process of its own. It is told what to do by lines on standard input, and answers each with a line of JSON:
`start N`, `stream N`, `changes on|off`, `load on|off`, `lag on|off`, `transactions`, `resident`, `processor`. It ends
when standard input does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from benchmarks.sitting import resident_kilobytes, run
from benchmarks.workloads import FUNCTIONS, STEPS, calls, line, registry
from offbook.cli.tuning import tune_process
from offbook.engine import Engine
from offbook.nodes.context import NodeContext
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import JsonObject

CHANGE_SECONDS = 10.0
"""How often each execution changes: a tenth of them every second."""
TICK_SECONDS = 0.05
BLOCK_SECONDS = 10.0
HELD_STEP = 5
TOKENS_PER_SECOND = 50
LAG_SECONDS = 0.005


class Reports:
    """Has each execution report progress every `CHANGE_SECONDS`, in turns, while that is wanted."""

    def __init__(self) -> None:
        self.attempts: deque[NodeContext] = deque()
        """Whose turn is next comes first."""
        self._said = 0
        self._since: float | None = None

    def begin(self) -> None:
        self._said = 0
        self._since = time.monotonic()

    def end(self) -> float:
        """Stop; return how many changes there were each second."""
        assert self._since is not None
        rate = self._said / (time.monotonic() - self._since)
        self._since = None
        return rate

    async def go_round(self) -> None:
        laps = 1
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._since is None:
                continue
            due = int(len(self.attempts) / CHANGE_SECONDS * (time.monotonic() - self._since)) - self._said
            for _ in range(due):
                self.attempts[0].progress(1 - 1 / (laps + self._said))
                self.attempts.rotate(-1)
                self._said += 1
            laps += due


reports = Reports()
burning = threading.Event()


@FUNCTIONS.node
async def report(ctx: NodeContext) -> str:
    """Be under way, and have progress reported."""
    reports.attempts.append(ctx)
    await asyncio.get_running_loop().create_future()
    return ""


@FUNCTIONS.node
async def stream(ctx: NodeContext) -> str:
    """Show so many tokens a second until the attempt is aborted; each is the time at which it was shown, in ns."""
    begun = time.monotonic()
    for number in itertools.count(1):
        await asyncio.sleep(begun + number / TOKENS_PER_SECOND - time.monotonic())
        ctx.text(f"{time.monotonic_ns()} ")
    return ""


class Lag:
    """How late the control loop is with what is due."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._late = []
        self._task = asyncio.create_task(self._look())

    def end(self) -> float:
        """Return the 99th percentile in ms."""
        assert self._task is not None
        self._task.cancel()
        return 1000 * sorted(self._late)[int(0.99 * len(self._late))]

    async def _look(self) -> None:
        while True:
            due = time.monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._late.append(time.monotonic() - due)


lag = Lag()


@FUNCTIONS.node
def burn(ctx: NodeContext) -> str:
    """Keep the processor busy in Python until the load is over."""
    total = 0
    while burning.is_set():
        total += sum(range(1000))
    return str(total)


@FUNCTIONS.node
def block(ctx: NodeContext) -> str:
    """Do nothing, in a way that holds a thread."""
    time.sleep(BLOCK_SECONDS)
    return ""


Answer = Callable[[list[str]], Awaitable[object]]


async def serve_offbook(live: int) -> None:
    """Serve an engine."""
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(data_dir=Path(folder), max_live=live + 10, max_calls=live + 10)
        async with (
            Engine(settings, registry=registry()) as engine,
            serve_app(create_app(engine.service)) as url,
        ):
            tune_process()
            turns = asyncio.create_task(reports.go_round())
            await _obey({"url": url}, lambda words: _of_offbook(engine, words))
            turns.cancel()
            burning.clear()


async def _of_offbook(engine: Engine, words: list[str]) -> object:
    match words:
        case ["start", count]:
            return await _start(engine, int(count))
        case ["stream", count]:
            document = line("stream", calls("stream"))
            return [await engine.start(document, user="bench") for _ in range(int(count))]
        case ["lag", "on"]:
            lag.begin()
        case ["lag", "off"]:
            return lag.end()
        case ["resident"]:
            return resident_kilobytes()
        case ["changes", "on"]:
            reports.begin()
        case ["changes", "off"]:
            return reports.end()
        case ["load", "on"]:
            burning.set()
            nodes = [{"id": "busy", **calls("burn")}, {"id": "blocked", **calls("block")}]
            return await engine.start({"format": 1, "name": "load", "nodes": nodes}, user="bench")
        case ["load", "off"]:
            burning.clear()
        case ["transactions"]:
            _, readiness = await engine.service.ready()
            return readiness["counts"]["transactions"]
        case _:
            raise ValueError(words)
    return None


async def _start(engine: Engine, count: int) -> list[str]:
    """Start executions whose fifth node of ten is under way, and wait until it is."""
    steps = [calls("report" if number == HELD_STEP else "paragraph") for number in range(1, STEPS + 1)]
    document = line("line", *steps)
    ids: list[str] = []
    left = iter(range(count))

    async def keep_starting() -> None:
        for _ in left:
            ids.append(await engine.start(document, user="bench"))

    await asyncio.gather(*(keep_starting() for _ in range(100)))
    for execution_id in ids:
        await _reach(engine, execution_id, f"step_{HELD_STEP}")
    return ids


async def _reach(engine: Engine, execution_id: str, node_id: str) -> None:
    while node_id not in (status := await engine.status(execution_id))["progress"]["current"]:
        await engine.service.status(execution_id, caller=OPERATOR, since=status["revision"], wait=10.0)


async def serve_bare(size: int) -> None:
    """Serve so many bytes to whatever is asked for."""
    body = b"x" * size

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/status/{execution_id}", answer)
    async with serve_app(app) as url:
        tune_process()
        await _obey({"url": url}, _of_bare)
        burning.clear()


async def _of_bare(words: list[str]) -> object:
    match words:
        case ["load", "on"]:
            burning.set()
            for work in (burn, block):
                threading.Thread(target=work, args=(None,), daemon=True).start()
        case ["load", "off"]:
            burning.clear()
        case _:
            raise ValueError(words)
    return None


async def _obey(greeting: JsonObject, answer: Answer) -> None:
    """Say where we listen, then do as we are told until nobody tells us any more."""
    print(json.dumps(greeting), flush=True)
    loop = asyncio.get_running_loop()
    while told := await loop.run_in_executor(None, sys.stdin.readline):
        words = told.split()
        print(json.dumps(time.process_time() if words == ["processor"] else await answer(words)), flush=True)


if __name__ == "__main__":
    kind, number = sys.argv[1:]
    run(serve_offbook(int(number)) if kind == "offbook" else serve_bare(int(number)))
