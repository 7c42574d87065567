"""Milliseconds until a fork of an execution with 200 nodes is planned, with the prompt of one node changed.

The execution is a report: 100 sections with a summary each, all read by an editor, bound by a function. What is
asked is `POST /executions/{id}/fork?plan=true`, over HTTP, of an execution that only the database has; and the start
of the fork, which is then run with nothing but scripted models. The floor is the least that has to happen: the stored
outputs are read from SQLite and parsed.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import note, options, run
from benchmarks.workloads import FUNCTIONS, registry
from offbook.engine import Engine
from offbook.nodes.context import NodeContext
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.values import JsonObject

TARGET = 20.0
SECTIONS = 98
NODES = 2 * SECTIONS + 4
WORDS = 250
"""Of each text."""
LONGEST = 120.0


@FUNCTIONS.node
async def bind_report(ctx: NodeContext) -> int:
    """Look at everything, as a function may."""
    return len(str(ctx.output("editor")))


def report(style: str = "plain") -> JsonObject:
    """Build a workflow of 200 nodes; the style is in the prompt of one of them."""
    nodes: list[JsonObject] = [_llm("outline", "An outline of {{ inputs.topic }}")]
    for number in range(SECTIONS):
        tone = style if number == SECTIONS // 2 else "plain"
        section = f"Section {number}, {tone}, of {{{{ nodes.outline.output }}}}"
        nodes.append(_llm(f"section_{number}", section, "outline"))
        summary = f"In one sentence: {{{{ nodes.section_{number}.output }}}}"
        nodes.append(_llm(f"summary_{number}", summary, f"section_{number}"))
    summaries = [f"summary_{number}" for number in range(SECTIONS)]
    read = "".join(f"{{{{ nodes.{each}.output }}}} " for each in summaries)
    nodes.append(_llm("editor", f"Put in order: {read}", *summaries))
    bound = {"id": "bound", "type": "python", "needs": ["editor"], "config": {"function": "bind_report"}}
    result = {"id": "result", "type": "output", "needs": ["bound"], "config": {"value": "{{ nodes.editor.output }}"}}
    return {
        "format": 1,
        "name": "report",
        "inputs": {"topic": {"type": "text", "default": "lamps"}},
        "nodes": [*nodes, bound, result],
    }


def _llm(node_id: str, prompt: str, *needs: str) -> JsonObject:
    config = {"model": "scripted/writer", "prompt": prompt, "script": {"words": WORDS}}
    return {"id": node_id, "type": "llm", "config": config, **({"needs": list(needs)} if needs else {})}


async def measure(*, rounds: int) -> Result:
    """Plan again and again over HTTP, then fork and see that it did what the plan had said."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = EngineSettings(data_dir=folder, retain_seconds=0.0, retain_count=0)
        async with (
            Engine(settings, registry=registry()) as engine,
            serve_app(create_app(engine.service)) as url,
            aiohttp.ClientSession() as client,
        ):
            execution_id = await engine.start(report(), user="bench")
            await engine.wait(execution_id, timeout=LONGEST)
            while (await engine.status(execution_id))["source"] != "database":
                await engine.service.rest(execution_id)
            body = {"workflow": report("gothic")}
            plans, floor, forks, processor = [], [], [], []
            for number in range(1, rounds + 1):
                used = time.process_time()
                plan, seconds = await _post(client, f"{url}/executions/{execution_id}/fork?plan=true", body)
                processor.append(1000 * (time.process_time() - used))
                plans.append(1000 * seconds)
                floor.append(_read(folder))
                started, seconds = await _post(client, f"{url}/executions/{execution_id}/fork", body)
                forks.append(1000 * seconds)
                status = await engine.wait(started["execution_id"], timeout=LONGEST)
                _check(plan, status)
                note(f"round {number}: plan {plans[-1]:.1f} ms, floor {floor[-1]:.1f} ms, fork {forks[-1]:.1f} ms")
        size = _size(folder)
    milliseconds = spread(plans)
    return Result(
        name="fork",
        value=milliseconds["median"],
        unit="ms",
        target=TARGET,
        baseline={"reading and parsing the same outputs, in ms": spread(floor)},
        details={
            "milliseconds": milliseconds,
            "processor_ms": spread(processor),
            "accepted_ms": spread(forks),
            "nodes": NODES,
            "kept": plan["keeps"]["nodes"],
            "bytes": size,
        },
        lower_is_better=True,
    )


async def _post(client: aiohttp.ClientSession, url: str, body: JsonObject) -> tuple[Any, float]:
    began = time.perf_counter()
    async with client.post(url, json=body) as answer:
        found = await answer.json()
    seconds = time.perf_counter() - began
    assert answer.status in (200, 202), found
    return found, seconds


def _check(plan: JsonObject, status: JsonObject) -> None:
    """See that the plan was true: one node runs for certain, and what reads it may."""
    assert status["status"] == "completed", status["error"]
    assert [each["node_id"] for each in plan["runs"]] == [f"section_{SECTIONS // 2}"], plan["runs"]
    assert plan["keeps"]["nodes"] == NODES - 1 - len(plan["may_run"])
    assert status["receipt"]["kept_nodes"] >= plan["keeps"]["nodes"]


def _read(folder: Path) -> float:
    """Read and parse the outputs of the first execution, in ms."""
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS outputs (data BLOB)")
        if not database.execute("SELECT count(*) FROM outputs").fetchone()[0]:
            text = orjson.dumps([[f"n{number}", None, "word " * WORDS] for number in range(NODES)])
            database.execute("INSERT INTO outputs VALUES (?)", [text])
        began = time.perf_counter()
        (data,) = database.execute("SELECT data FROM outputs").fetchone()
        assert len(orjson.loads(data)) == NODES
        return 1000 * (time.perf_counter() - began)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.db"))


def main() -> None:
    given = options(__doc__, rounds=20).parse_args()
    print_result(run(measure(rounds=2 if given.quick else given.rounds)), as_json=given.json)


if __name__ == "__main__":
    main()
