"""Milliseconds from the request to resume until the failed node runs, for an execution that only the database has.

The execution is a book: 500 items of 4 KB, then a node that fails. Each round is a new worker on the same database,
asked over HTTP. The floor is the least that has to happen: those bytes are read from SQLite and parsed, and one row
is updated and on disk.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import aiohttp
import orjson

from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import note, options, run
from benchmarks.workloads import FUNCTIONS, calls, line, registry
from offbook.engine import Engine
from offbook.nodes.context import NodeContext, NodeFailure
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.values import JsonObject

TARGET = 50.0
OUTPUTS = 500
PAGE_BYTES = 4096
LONGEST = 60.0
"""Seconds that one round may take."""

entered: list[float] = []
"""When the last node was entered, by time.perf_counter."""


@FUNCTIONS.node
async def write_page(ctx: NodeContext) -> str:
    """Return 4 KB."""
    assert ctx.item is not None
    return page(ctx.item)


def page(item: int) -> str:
    """Write 4 KB that no other page has, and that compress about as well as prose does."""
    chance = random.Random(item)
    words = [f"{chance.randrange(1 << 20):x}" for _ in range(400)]
    return " ".join(chance.choices(words, k=PAGE_BYTES // 4))[:PAGE_BYTES]


@FUNCTIONS.node
async def bind(ctx: NodeContext) -> str:
    """Note that it was reached, and fail."""
    entered.append(time.perf_counter())
    raise NodeFailure.of("glue_is_out", "there is no glue")


def book(items: int) -> JsonObject:
    pages: JsonObject = {"type": "foreach", "config": {"count": items, "concurrency": 50, "do": calls("write_page")}}
    return line("book", pages, calls("bind"))


async def compare(*, rounds: int, items: int) -> Result:
    """Resume again and again, each time in a worker that has to read everything."""
    ours: list[float] = []
    floor: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Engine(EngineSettings(data_dir=folder), registry=registry()) as engine:
            execution_id = await engine.start(book(items), user="bench")
            await engine.wait(execution_id, timeout=LONGEST)
        outputs = _prepare_floor(folder)
        for number in range(1, rounds + 1):
            ours.append(await _resume(folder, execution_id))
            floor.append(_read_and_write(folder))
            note(f"round {number}: {ours[-1]:.1f} ms, floor {floor[-1]:.1f} ms")
    milliseconds = spread(ours)
    return Result(
        name="resume",
        value=milliseconds["median"],
        unit="ms",
        target=TARGET,
        baseline={"reading and parsing the same bytes, and one row on disk, in ms": spread(floor)},
        details={"milliseconds": milliseconds, "outputs": items, "bytes": outputs},
        lower_is_better=True,
    )


async def _resume(folder: Path, execution_id: str) -> float:
    """Start a worker, resume the execution in it, and have it fail again; return milliseconds."""
    entered.clear()
    async with (
        Engine(EngineSettings(data_dir=folder), registry=registry()) as engine,
        serve_app(create_app(engine.service)) as url,
        aiohttp.ClientSession() as client,
    ):
        async with client.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        began = time.perf_counter()
        async with client.post(f"{url}/executions/{execution_id}/resume", json={}) as answer:
            assert answer.status == 202, await answer.text()
        status = await engine.wait(execution_id, timeout=LONGEST)
        assert status["receipt"]["kept_items"] == OUTPUTS, status["receipt"]
    (when,) = entered
    return 1000 * (when - began)


def _prepare_floor(folder: Path) -> int:
    """Write the outputs as they are, for the floor; return their bytes."""
    pages = [orjson.dumps(["step_1", item, page(item)]) for item in range(OUTPUTS)]
    body = b"[" + b",".join(pages) + b"]"
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE outputs (data BLOB)")
        database.execute("CREATE TABLE runs (epoch INTEGER)")
        database.execute("INSERT INTO outputs VALUES (?)", [body])
        database.execute("INSERT INTO runs VALUES (1)")
    return len(body)


def _read_and_write(folder: Path) -> float:
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=FULL")
        began = time.perf_counter()
        (data,) = database.execute("SELECT data FROM outputs").fetchone()
        assert len(orjson.loads(data)) == OUTPUTS
        database.execute("UPDATE runs SET epoch = epoch + 1")
        return 1000 * (time.perf_counter() - began)


def main() -> None:
    given = options(__doc__, rounds=15).parse_args()
    print_result(run(compare(rounds=2 if given.quick else given.rounds, items=OUTPUTS)), as_json=given.json)


if __name__ == "__main__":
    main()
