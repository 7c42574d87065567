"""LoopActor beside Pykka's ThreadingActor: starts a second, what an `ask` takes, memory of an idle actor.

Both are measured in turns, each time in a process of its own, so that neither finds the other's memory or threads.
A LoopActor is asked as Offbook asks: awaited on its loop, of which there is one. A ThreadingActor is asked as Pykka
means it: from another thread. How long a LoopActor takes to answer another thread is told in the details.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import psutil
from pykka import ActorRef, ActorRegistry, ThreadingActor

from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import ROOT, options, run
from offbook.actors.loop import Dispatcher, LoopActor

TARGET = 8.0
LOOP_ACTORS = 20_000
"""Enough of them that their memory is seen above what the interpreter had in reserve."""
THREADING_ACTORS = 2000
"""So many threads are possible everywhere."""
ASKS = 1000
"""One after another, in one batch."""
BATCHES = 20
"""The quickest counts, since what else runs on the machine only ever adds. It is the ThreadingActor at its best:
two threads that talk are several times as slow while they run on two cores. The means are in the details."""
FIGURES = ("starts_per_second", "ask_microseconds", "kilobytes")

Figures = dict[str, float]


class Looping(LoopActor):
    """Answers what it is asked; as executions, in no registry."""

    registered = False

    def __init__(self, started: Callable[[], None]) -> None:
        super().__init__()
        self.started = started

    def on_start(self) -> None:
        self.started()

    def on_receive(self, message: Any) -> Any:
        return message


class Threading(ThreadingActor):
    """Answers what it is asked."""

    use_daemon_thread = True

    def __init__(self, started: Callable[[], None]) -> None:
        super().__init__()
        self.started = started

    def on_start(self) -> None:
        self.started()

    def on_receive(self, message: Any) -> Any:
        return message


class Countdown:
    """Calls a function when so many actors have started, each on a thread of its own or all on one."""

    def __init__(self, actors: int, done: Callable[[], None]) -> None:
        self._left = actors
        self._lock = threading.Lock()
        self._done = done

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._done()


async def measure_looping() -> Figures:
    """Measure LoopActors on the running loop."""
    loop = asyncio.get_running_loop()
    dispatcher = Dispatcher(loop)
    all_started = asyncio.Event()
    before, began = resident_kilobytes(), time.perf_counter()
    countdown = Countdown(LOOP_ACTORS, all_started.set)
    refs = [Looping.spawn(dispatcher, countdown) for _ in range(LOOP_ACTORS)]
    await all_started.wait()
    took = time.perf_counter() - began
    kilobytes = (resident_kilobytes() - before) / LOOP_ACTORS
    asked = refs[LOOP_ACTORS // 2]
    batches = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        for number in range(ASKS):
            await asked.ask(number, block=False)
        batches.append((time.perf_counter() - began) / ASKS)
    from_thread = await loop.run_in_executor(None, blocking_asks, asked)
    dispatcher.close()
    return {
        "starts_per_second": LOOP_ACTORS / took,
        "ask_microseconds": 1e6 * min(batches),
        "kilobytes": kilobytes,
        "ask_mean_microseconds": 1e6 * statistics.mean(batches),
        "ask_from_another_thread_microseconds": 1e6 * min(from_thread),
    }


def measure_threading() -> Figures:
    """Measure ThreadingActors."""
    all_started = threading.Event()
    before, began = resident_kilobytes(), time.perf_counter()
    countdown = Countdown(THREADING_ACTORS, all_started.set)
    refs = [Threading.start(countdown) for _ in range(THREADING_ACTORS)]
    all_started.wait()
    took = time.perf_counter() - began
    kilobytes = (resident_kilobytes() - before) / THREADING_ACTORS
    batches = blocking_asks(refs[THREADING_ACTORS // 2])
    ActorRegistry.stop_all()
    return {
        "starts_per_second": THREADING_ACTORS / took,
        "ask_microseconds": 1e6 * min(batches),
        "kilobytes": kilobytes,
        "ask_mean_microseconds": 1e6 * statistics.mean(batches),
    }


def blocking_asks(ref: ActorRef[Any]) -> list[float]:
    """Return how many seconds one takes, for each batch."""
    batches = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        for number in range(ASKS):
            ref.ask(number)
        batches.append((time.perf_counter() - began) / ASKS)
    return batches


def resident_kilobytes() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1024


def measure_apart(side: str) -> Figures:
    """Measure one side in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loop_actor", "--side", side],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: Figures = orjson.loads(done.stdout)
    return figures


def compare(rounds: int) -> Result:
    """Measure both sides in turns; the value is the smallest of the ratios of their medians."""
    ours, pykkas = [], []
    for _ in range(rounds):
        ours.append(measure_apart("looping"))
        pykkas.append(measure_apart("threading"))
    loop_actor = {figure: [each[figure] for each in ours] for figure in ours[0]}
    threading_actor = {figure: [each[figure] for each in pykkas] for figure in pykkas[0]}
    ratios: dict[str, float] = {}
    for figure in FIGURES:
        left, right = statistics.median(loop_actor[figure]), statistics.median(threading_actor[figure])
        ratios[figure] = left / right if figure == "starts_per_second" else right / left
    return Result(
        name="loop_actor",
        value=min(ratios.values()),
        unit="ratio",
        target=TARGET,
        baseline={figure: statistics.median(values) for figure, values in threading_actor.items()},
        details={
            "ratios": {**ratios},
            "loop_actor": {figure: spread(values) for figure, values in loop_actor.items()},
            "threading_actor": {figure: spread(values) for figure, values in threading_actor.items()},
            "actors": {"loop_actor": LOOP_ACTORS, "threading_actor": THREADING_ACTORS},
            "asks": ASKS * BATCHES,
            "rounds": rounds,
        },
    )


def main() -> None:
    """Measure, and print the result."""
    parser = options(__doc__, rounds=5)
    parser.add_argument("--side", choices=("looping", "threading"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side == "threading":
        print(orjson.dumps(measure_threading()).decode())
    elif given.side == "looping":
        print(orjson.dumps(run(measure_looping())).decode())
    else:
        print_result(compare(1 if given.quick else given.rounds), as_json=given.json)


if __name__ == "__main__":
    main()
