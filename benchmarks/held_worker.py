"""A worker with a data folder of its own choosing whose executions hold in step 5 of 10, for benchmarks that end it.

Run as a process: `python -m benchmarks.held_worker FOLDER LIVE`. It says its URL as a line of JSON, starts so many
executions if its folder has none, says when they hold, and drains at SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from benchmarks.sitting import run
from benchmarks.workloads import STEPS, calls, line, registry
from offbook.cli.tuning import keep_collector_still, tune_process
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app

HELD_STEP = 5
POLL_SECONDS = 0.05


async def serve(folder: Path, live: int) -> None:
    """Serve until SIGTERM; then drain, say how long that took, and end."""
    settings = EngineSettings(data_dir=folder, max_live=live + 10, max_calls=live + 10, max_queued=live + 10)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    fresh = not folder.exists()  # noqa: ASYNC240 - before anything runs
    async with Engine(settings, registry=registry()) as engine, serve_app(create_app(engine.service)) as url:
        tune_process()
        await_recovery = asyncio.create_task(keep_collector_still(engine.service.recovered()))
        _say(url=url)
        if fresh:
            _say(ids=await _start(engine, live))
        await _hold(engine, live)
        _say(held=True)
        await await_recovery
        await stop.wait()
        began = time.perf_counter()
        engine.request_stop(0.0)
        await engine.drain()
        _say(drained=time.perf_counter() - began)


async def _start(engine: Engine, live: int) -> list[str]:
    steps = [calls("hold" if number == HELD_STEP else "paragraph") for number in range(1, STEPS + 1)]
    document = line("line", *steps)
    ids: list[str] = []
    left = iter(range(live))

    async def keep_starting() -> None:
        for _ in left:
            ids.append(await engine.start(document, user="bench"))

    await asyncio.gather(*(keep_starting() for _ in range(100)))
    return ids


async def _hold(engine: Engine, live: int) -> None:
    """Wait until so many calls are under way that never end."""
    while True:
        _, report = await engine.service.ready()
        if report["counts"]["live_calls"] == live and report["counts"]["executions"]["running"] == live:
            return
        await asyncio.sleep(POLL_SECONDS)


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    run(serve(Path(sys.argv[1]), int(sys.argv[2])))
