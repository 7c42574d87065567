"""Status answers a second, over those of a bare aiohttp handler that returns as many bytes.

10,000 live executions of which a tenth change every second, asked at random by wrk on 64 connections. Both servers
are processes of their own, tuned alike, and are measured in turns; while the bare one is, nothing changes in ours.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Result, print_result, spread
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.sitting import note, options, run
from benchmarks.wrk import load

CONNECTIONS = 64
TARGET = 0.80
LEAST_BYTES = 4096
LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """One server in one round."""

    per_second: float
    p99_ms: float
    microseconds: float
    """Of the processor for a request, in all threads: other programs on the machine hardly change it."""


async def compare(*, live: int, rounds: int, seconds: int) -> Result:
    """Measure both servers in turns, and that ours asks the database for nothing."""
    ours: list[Measured] = []
    bare: list[Measured] = []
    changed: list[float] = []
    sql = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "paths"
        async with server_process("offbook", live) as offbook:
            ids = await offbook.tell("start", live)
            paths.write_text("\n".join(f"/status/{execution_id}" for execution_id in ids))
            size = _mean_size(offbook, ids[:LOOKED_AT])
            note(f"{live} executions are live; a status has {size} bytes")
            async with server_process("bare", size) as peer:
                for number in range(1, rounds + 1):
                    before = await offbook.tell("transactions")
                    await offbook.tell("changes", "on")
                    ours.append(await _measure(offbook, paths, seconds))
                    changed.append(await offbook.tell("changes", "off"))
                    after = await offbook.tell("transactions")
                    # The second look at the counter is a read itself.
                    sql[0] += after["reads"] - before["reads"] - 1
                    sql[1] += after["writes"] - before["writes"]
                    bare.append(await _measure(peer, paths, seconds))
                    note(f"round {number}: {ours[-1].per_second:,.0f} of {bare[-1].per_second:,.0f} requests/s")
    pairs = list(zip(ours, bare, strict=True))
    ratio = spread([each.per_second / peer.per_second for each, peer in pairs])
    return Result(
        name="status",
        value=ratio["median"],
        unit="of a bare aiohttp handler",
        target=TARGET,
        baseline={"bare aiohttp handler, requests/s": spread([each.per_second for each in bare])},
        details={
            "ratio": ratio,
            "ratio_by_processor_time": spread([peer.microseconds / each.microseconds for each, peer in pairs]),
            "requests_per_second": spread([each.per_second for each in ours]),
            "processor_microseconds": spread([each.microseconds for each in ours]),
            "p99_ms": spread([each.p99_ms for each in ours]),
            "live_executions": live,
            "changes_per_second": spread(changed),
            "status_bytes": size,
            "sql_reads": sql[0],
            "sql_writes": sql[1],
        },
        also_met=sql == [0, 0] and size >= LEAST_BYTES,
    )


async def _measure(server: ServerProcess, paths: Path, seconds: int) -> Measured:
    before = await server.processor_seconds()
    seen = await load(server.url, paths, connections=CONNECTIONS, seconds=seconds)
    burnt = await server.processor_seconds() - before
    return Measured(seen.per_second, seen.p99_ms, 1e6 * burnt / (seen.per_second * seconds))


def _mean_size(offbook: ServerProcess, ids: list[str]) -> int:
    sizes = []
    for execution_id in ids:
        with urllib.request.urlopen(f"{offbook.url}/status/{execution_id}") as response:
            body = response.read()
        assert json.loads(body)["source"] == "memory"
        sizes.append(len(body))
    return sum(sizes) // len(sizes)


def main() -> None:
    given = options(__doc__, rounds=5)
    arguments = given.parse_args()
    live, rounds, seconds = (500, 2, 1) if arguments.quick else (10_000, arguments.rounds, 3)
    result = run(compare(live=live, rounds=rounds, seconds=seconds))
    print_result(result, as_json=arguments.json)


if __name__ == "__main__":
    main()
