"""p99 of a status in milliseconds while one node burns the processor in a thread and another blocks.

Asked by wrk on 16 connections. Both nodes are plain functions, as careless users write them. Beside it a bare
aiohttp handler in a process that is tuned alike and has the same two threads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.report import Result, print_result, spread
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.sitting import note, options, run
from benchmarks.wrk import Load, load

CONNECTIONS = 16
TARGET = 30.0
STATUS_BYTES = 4096


async def compare(*, rounds: int, seconds: int) -> Result:
    """Measure both servers in turns, each with its load and without."""
    loaded: list[Load] = []
    calm: list[Load] = []
    bare: list[Load] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "paths"
        async with server_process("offbook", 1) as offbook, server_process("bare", STATUS_BYTES) as peer:
            ids = await offbook.tell("start", 1)
            for number in range(1, rounds + 1):
                _ask_for(paths, ids[0])
                calm.append(await load(offbook.url, paths, connections=CONNECTIONS, seconds=1))
                loaded.append(await _under_load(offbook, paths, seconds))
                bare.append(await _under_load(peer, paths, seconds))
                note(f"round {number}: p99 {loaded[-1].p99_ms:.1f} ms, bare {bare[-1].p99_ms:.1f} ms")
    p99 = spread([each.p99_ms for each in loaded])
    return Result(
        name="status_under_load",
        value=p99["median"],
        unit="ms",
        target=TARGET,
        baseline={"bare aiohttp handler under the same load, p99 in ms": spread([each.p99_ms for each in bare])},
        details={
            "p99_ms": p99,
            "p50_ms": spread([each.p50_ms for each in loaded]),
            "requests_per_second": spread([each.per_second for each in loaded]),
            "p99_ms_without_load": spread([each.p99_ms for each in calm]),
        },
        lower_is_better=True,
    )


async def _under_load(server: ServerProcess, paths: Path, seconds: int) -> Load:
    execution_id = await server.tell("load", "on")
    if execution_id is not None:
        _ask_for(paths, execution_id)
    seen = await load(server.url, paths, connections=CONNECTIONS, seconds=seconds)
    await server.tell("load", "off")
    return seen


def _ask_for(paths: Path, execution_id: str) -> None:
    paths.write_text(f"/status/{execution_id}\n")


def main() -> None:
    parser = options(__doc__, rounds=3)
    given = parser.parse_args()
    rounds, seconds = (1, 2) if given.quick else (given.rounds, 8)
    print_result(run(compare(rounds=rounds, seconds=seconds)), as_json=given.json)


if __name__ == "__main__":
    main()
