"""Memory for each live execution that waits in node 5 of 10, with four outputs of 1 KB, and the time to start all.

Each figure comes from a process of its own: how much larger its resident memory is than before, over the number of
executions. `held`: node 5 is a call under way, as a call to a model is; `parked`: node 5 waits for a signal. The
floor is an asyncio task that has the same four outputs and waits in the fifth step.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import ROOT, note, options, resident_kilobytes, run
from benchmarks.workloads import KILOBYTE, STEPS, calls, holding, line, registry
from offbook.cli.tuning import tune_process
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.workflows.values import JsonObject

WAITING_STEP = 5
TARGET = 20.0
SECONDS_TARGET = 3.0
AT_ONCE = 500
POLL_SECONDS = 0.02
KINDS = ("held", "parked", "floor")

Start = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Grown:
    """What one process came to."""

    kilobytes: float
    """For each execution."""
    seconds: float
    """Until all had come to wait."""
    processor_seconds: float


async def grow(kind: str, live: int) -> Grown:
    """Have so many executions wait in this process."""
    if kind == "floor":
        return await _measure(_start_tasks, live)
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(data_dir=Path(folder), max_live=live + 100, max_calls=live + 100)
        async with Engine(settings, registry=registry()) as engine:
            waits: JsonObject = calls("hold") if kind == "held" else {"type": "approval"}
            steps = [waits if number == WAITING_STEP else calls("paragraph") for number in range(1, STEPS + 1)]
            fingerprint = (await engine.service.put_workflow(line("line", *steps)))["fingerprint"]

            async def start(count: int) -> None:
                await _start_executions(engine, fingerprint, count)

            return await _measure(start, live)


async def _measure(start: Start, live: int) -> Grown:
    await start(100)
    tune_process()
    before = resident_kilobytes()
    began, burnt = time.perf_counter(), time.process_time()
    await start(live)
    took, burnt = time.perf_counter() - began, time.process_time() - burnt
    gc.collect()
    return Grown((resident_kilobytes() - before) / live, took, burnt)


async def _start_executions(engine: Engine, fingerprint: str, count: int) -> None:
    left = iter(range(count))

    async def keep_starting() -> None:
        for _ in left:
            await engine.start(fingerprint, user="bench")

    before = await _waiting(engine)
    await asyncio.gather(*(keep_starting() for _ in range(AT_ONCE)))
    while await _waiting(engine) < before + count:  # noqa: ASYNC110 - the last of them may be any
        await asyncio.sleep(POLL_SECONDS)


async def _waiting(engine: Engine) -> int:
    """How many executions are in their fifth node: under way there, or waiting."""
    _, readiness = await engine.service.ready()
    return len(holding) + int(readiness["counts"]["executions"]["waiting"])


async def _start_tasks(count: int) -> None:
    there = asyncio.Semaphore(0)
    for number in range(count):
        _tasks.append(asyncio.create_task(_line(str(number), there)))
    for _ in range(count):
        await there.acquire()


async def _line(name: str, there: asyncio.Semaphore) -> list[str]:
    outputs = [f"{name}-{number}".ljust(50) + KILOBYTE[:974] for number in range(1, WAITING_STEP)]
    there.release()
    await asyncio.get_running_loop().create_future()
    return outputs


_tasks: list[asyncio.Task[list[str]]] = []


def _in_process(kind: str, live: int) -> Grown:
    command = [sys.executable, "-m", "benchmarks.live_memory", "--kind", kind, "--live", str(live)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Grown(**json.loads(done.stdout.splitlines()[-1]))


def compare(*, rounds: int, live: int) -> Result:
    """Measure all kinds in turns."""
    grown: dict[str, list[Grown]] = {kind: [] for kind in KINDS}
    for number in range(1, rounds + 1):
        for kind in KINDS:
            grown[kind].append(_in_process(kind, live))
        figures = ", ".join(f"{k} {g[-1].kilobytes:.1f} KB in {g[-1].seconds:.2f} s" for k, g in grown.items())
        note(f"round {number}: {figures}")
    memory = {kind: spread([each.kilobytes for each in grown[kind]]) for kind in KINDS}
    seconds = {kind: spread([each.seconds for each in grown[kind]]) for kind in KINDS}
    return Result(
        name="live_memory",
        value=max(memory["held"]["median"], memory["parked"]["median"]),
        unit="KB",
        target=TARGET,
        baseline={"asyncio task with the same outputs, KB": memory["floor"]},
        details={
            "live_executions": live,
            "kilobytes": {kind: memory[kind] for kind in ("held", "parked")},
            "seconds_to_start": {kind: seconds[kind] for kind in ("held", "parked")},
            "processor_seconds_to_start": {
                kind: spread([each.processor_seconds for each in grown[kind]]) for kind in ("held", "parked")
            },
            "seconds_to_start_target": SECONDS_TARGET,
        },
        lower_is_better=True,
        also_met=max(seconds["held"]["median"], seconds["parked"]["median"]) <= SECONDS_TARGET,
    )


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--live", type=int, default=10_000, help="how many executions")
    parser.add_argument("--kind", choices=KINDS, help="measure one kind, in this process")
    given = parser.parse_args()
    live = 1000 if given.quick else given.live
    if given.kind is not None:
        print(json.dumps(asdict(run(grow(given.kind, live)))))
        sys.stdout.flush()
        return
    print_result(compare(rounds=1 if given.quick else given.rounds, live=live), as_json=given.json)


if __name__ == "__main__":
    main()
