"""Seconds from the start of a worker until all executions run again that were live when it was killed with SIGKILL.

Beside it a client asks for the status of executions drawn at random, one request after the other.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.held_process import HeldProcess
from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import note, options, run

TARGET_SECONDS = 10.0
STATUS_P99_MS = 100.0
FIRST_ANSWER_SECONDS = 1.0
SAMPLED_AT_ONCE = 100
"""Executions of which the status is asked all at once, as soon as the worker answers."""


async def main() -> None:
    """Kill a worker and time how it comes back."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--live", type=int, default=10_000)
    given = parser.parse_args()
    live = 500 if given.quick else given.live
    seconds: list[float] = []
    details: dict[str, object] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            took, details = await _round(Path(folder) / "data", live)
            seconds.append(took)
    met = float(str(details["status_p99_ms"])) <= STATUS_P99_MS
    met = met and float(str(details["first_answers_seconds"])) <= FIRST_ANSWER_SECONDS
    result = Result(
        "recovery",
        max(seconds),
        "s",
        TARGET_SECONDS,
        None,
        {"live": live, "seconds": spread(seconds), **details},
        lower_is_better=True,
        also_met=met,
    )
    print_result(result, as_json=given.json)


async def _round(folder: Path, live: int) -> tuple[float, dict[str, object]]:
    first = await HeldProcess.start(folder, live)
    ids: list[str] = await first.hear("ids")
    await first.hear("held")
    note(f"{live} executions hold; killing their worker")
    await first.kill()
    began = time.perf_counter()
    second = await HeldProcess.start(folder, live)
    ready = time.perf_counter()
    try:
        async with aiohttp.ClientSession() as session:
            first_answers = await _ask_at_once(session, second.url, random.sample(ids, min(SAMPLED_AT_ONCE, live)))
            asking = asyncio.create_task(_keep_asking(session, second.url, ids))
            await second.hear("held")
            took = time.perf_counter() - began
            asking.cancel()
            latencies = sorted(await asking or [0.0])
            note(f"all run again after {took:.2f} s")
    finally:
        await second.kill()
    return took, {
        "ready_seconds": ready - began,
        "first_answers_seconds": first_answers,
        "status_p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "status_requests": len(latencies),
    }


async def _ask_at_once(session: aiohttp.ClientSession, url: str, ids: list[str]) -> float:
    """Return how long the slowest of the first answers takes."""
    began = time.perf_counter()
    await asyncio.gather(*(_ask(session, url, execution_id) for execution_id in ids))
    return time.perf_counter() - began


async def _keep_asking(session: aiohttp.ClientSession, url: str, ids: list[str]) -> list[float]:
    """Ask until cancelled; return what each answer took."""
    latencies: list[float] = []
    try:
        while True:
            began = time.perf_counter()
            await _ask(session, url, random.choice(ids))
            latencies.append(time.perf_counter() - began)
    except asyncio.CancelledError:
        return latencies


async def _ask(session: aiohttp.ClientSession, url: str, execution_id: str) -> None:
    async with session.get(f"{url}/status/{execution_id}") as response:
        answer = await response.json()
        if response.status != 200 or answer["source"] != "memory":
            raise RuntimeError(f"{execution_id}: {response.status} {answer}")


if __name__ == "__main__":
    run(main())
