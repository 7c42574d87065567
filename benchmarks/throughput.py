"""Executions a second: ten nodes in a line that return 1 KB, a hundred executions at once.

The floor beside it is what no engine can beat: asyncio tasks that do the same steps and store one row each, in
groups. The engine is embedded here: of what `offbook serve` does to its interpreter only the garbage collector is
tuned, unless `--tuned` says otherwise. The switch interval of `serve` buys a quick status for a tenth of this.

With `--checks` or `--ledger` the figure is another: executions a second with them over those without.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.extras import CHECKS, compare_extras
from benchmarks.report import Result, print_result, spread
from benchmarks.rounds import Round, StartOne, measure
from benchmarks.sitting import note, options, run
from benchmarks.workloads import KILOBYTE, STEPS, calls, line, registry
from offbook.cli.tuning import tune_collector, tune_process
from offbook.engine import Engine
from offbook.settings import EngineSettings

TARGETS = {"exit": 2000.0, "async": 1500.0, "sync": 600.0}
"""Executions a second on SQLite; half of that on PostgreSQL."""
SECONDS_TARGET = 0.06
TUNING: dict[str, Callable[[], None]] = {
    "serve": tune_process,
    "collector": tune_collector,
    "nothing": lambda: None,
}


@asynccontextmanager
async def prepare_engine(folder: Path, durability: str, database: str | None) -> AsyncIterator[StartOne]:
    """Start an engine; gives what runs one execution until it is stored."""
    async with Engine(EngineSettings(data_dir=folder, database=database), registry=registry()) as engine:
        document = line("line", *(calls("paragraph") for _ in range(STEPS)))
        fingerprint = (await engine.service.put_workflow(document))["fingerprint"]

        async def start_one() -> None:
            execution_id = await engine.start(fingerprint, user="bench", durability=durability)
            await engine.service.rest(execution_id)

        yield start_one


@asynccontextmanager
async def prepare_floor(folder: Path) -> AsyncIterator[StartOne]:
    """Prepare the same steps without an engine, and one row for each execution, committed in groups."""
    loop = asyncio.get_running_loop()
    waiting: list[tuple[str, str, asyncio.Future[None]]] = []
    come = asyncio.Event()

    async def store(database: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        while True:
            await come.wait()
            come.clear()
            batch = waiting.copy()
            waiting.clear()
            await loop.run_in_executor(thread, _insert, database, [each[:2] for each in batch])
            for *_, stored in batch:
                stored.set_result(None)

    async def step(execution_id: str) -> str:
        return f"{execution_id:<50}{KILOBYTE:.974}"

    async def start_one() -> None:
        execution_id = uuid.uuid4().hex
        outputs = [await loop.create_task(step(execution_id)) for _ in range(STEPS)]
        stored: asyncio.Future[None] = loop.create_future()
        waiting.append((execution_id, "\n".join(outputs), stored))
        come.set()
        await stored

    with ThreadPoolExecutor(1) as thread:
        database = await loop.run_in_executor(thread, _open, folder / "floor.db")
        storing = asyncio.create_task(store(database, thread))
        yield start_one
        storing.cancel()
        await loop.run_in_executor(thread, database.close)


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, outputs TEXT)")
    return database


def _insert(database: sqlite3.Connection, rows: list[tuple[str, str]]) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.executemany("INSERT INTO runs VALUES (?, ?)", rows)
    database.execute("COMMIT")


async def compare(durability: str, database: str | None, tuned: str, *, rounds: int, executions: int) -> Result:
    """Measure engine and floor in turns."""
    ours: list[Round] = []
    bare: list[Round] = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            start_one = await stack.enter_async_context(prepare_engine(Path(folder), durability, database))
            start_bare = await stack.enter_async_context(prepare_floor(Path(folder)))
            TUNING[tuned]()
            await measure(start_one, executions // 4)
            for number in range(1, rounds + 1):
                ours.append(await measure(start_one, executions))
                bare.append(await measure(start_bare, executions))
                note(f"round {number}: {ours[-1].per_second:,.0f} of {bare[-1].per_second:,.0f} executions/s")
    per_second = spread([each.per_second for each in ours])
    seconds = spread([each.seconds_per_1000_steps for each in ours])
    floor = spread([each.per_second for each in bare])
    return Result(
        name="throughput",
        value=per_second["median"],
        unit="executions/s",
        target=TARGETS[durability] if database is None else TARGETS[durability] / 2,
        baseline={"asyncio tasks with one grouped SQLite row": floor},
        details={
            "durability": durability,
            "tuned": tuned,
            "database": "sqlite" if database is None else "postgresql",
            "executions_per_second": per_second,
            "of_the_floor": round(per_second["median"] / floor["median"], 3),
            "processor_seconds_per_1000_steps": seconds,
            "processor_seconds_target": SECONDS_TARGET,
        },
        also_met=durability != "exit" or seconds["median"] <= SECONDS_TARGET,
    )


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--durability", choices=sorted(TARGETS), default="exit")
    parser.add_argument("--database", default="sqlite", help="`sqlite`, in a new folder, or the URL of a database")
    parser.add_argument("--tuned", choices=sorted(TUNING), default="collector", help="what of the interpreter is")
    parser.add_argument("--checks", choices=sorted(CHECKS), default="none", help="what is made of each output")
    parser.add_argument("--ledger", action="store_true", help="each step has a price, and a row in the ledger")
    given = parser.parse_args()
    database = None if given.database == "sqlite" else given.database
    rounds, executions = (2, 500) if given.quick else (given.rounds, 3000)
    if given.ledger or given.checks != "none":
        TUNING[given.tuned]()
        extras = compare_extras(
            given.durability,
            database,
            checks=given.checks,
            ledger=given.ledger,
            rounds=rounds,
            executions=executions,
        )
        print_result(run(extras), as_json=given.json)
        return
    result = run(compare(given.durability, database, given.tuned, rounds=rounds, executions=executions))
    print_result(result, as_json=given.json)


if __name__ == "__main__":
    main()
