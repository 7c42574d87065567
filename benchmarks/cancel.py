"""Milliseconds from a cancel to the moment at which the provider sees its connection closed, the 99th percentile.

The provider is a real HTTP server on loopback that streams one token and then none; the cancel is a real request.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import options, run
from offbook.cli.tuning import tune_process
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app

TARGET_MS = 50.0
TOKEN = b'data: {"choices":[{"delta":{"content":"once "}}]}\n\n'
CHAPTER = {
    "format": 1,
    "name": "chapter",
    "nodes": [
        {
            "id": "chapter",
            "type": "llm",
            "config": {"model": "slow/writer", "prompt": "{{ inputs.number }}"},
        }
    ],
    "inputs": {"number": {"type": "text"}},
}


class SlowProvider:
    """Begins every answer, ends none, and notes when its client goes away."""

    def __init__(self) -> None:
        self.began: dict[str, asyncio.Event] = {}
        self.closed: dict[str, asyncio.Future[float]] = {}

    def expect(self, number: str) -> None:
        self.began[number] = asyncio.Event()
        self.closed[number] = asyncio.get_running_loop().create_future()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        number = (await request.json())["messages"][-1]["content"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(TOKEN)
        self.began[number].set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed[number].set_result(time.perf_counter())
        return response


async def main() -> None:
    """Cancel one call after the other."""
    given = options(__doc__, rounds=200).parse_args()
    rounds = 20 if given.quick else given.rounds
    milliseconds = sorted(await _measure(rounds))
    p99 = milliseconds[int(len(milliseconds) * 0.99)]
    details = {"cancels": rounds, "milliseconds": spread(milliseconds)}
    print_result(Result("cancel", p99, "ms", TARGET_MS, None, details, lower_is_better=True), as_json=given.json)


async def _measure(rounds: int) -> list[float]:
    provider = SlowProvider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(
            data_dir=Path(folder), providers={"slow": {"base_url": f"http://127.0.0.1:{port}/v1"}}
        )
        async with (
            Engine(settings) as engine,
            serve_app(create_app(engine.service)) as url,
            aiohttp.ClientSession() as session,
        ):
            tune_process()
            for number in map(str, range(rounds)):
                provider.expect(number)
                execution_id = await engine.start(CHAPTER, {"number": number}, user="bench")
                await provider.began[number].wait()
                began = time.perf_counter()
                async with session.post(f"{url}/executions/{execution_id}/cancel") as response:
                    response.raise_for_status()
                took.append(1000 * (await provider.closed[number] - began))
    await runner.cleanup()
    return took


if __name__ == "__main__":
    run(main())
