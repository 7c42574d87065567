"""Milliseconds from a node that shows text to the client that reads it, for the 99th of 100 tokens.

100 executions show 50 tokens a second each, and each is watched over HTTP by a connection of its own. Then what 1,000
watchers of 1,000 executions cost: memory for each, statuses a second beside them, and database transactions.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.report import Result, print_result, spread
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.sitting import note, options, run
from benchmarks.wrk import load

TARGET = 150.0
LAG_TARGET = 20.0
KILOBYTES_TARGET = 30.0
STATUS_TARGET = 0.7
CONNECTIONS = 64
READ_LIMIT = 2**20

_STAMP = re.compile(rb"(\d{12,}) ")


@dataclass(slots=True)
class Heard:
    """What came of one round of streaming."""

    p50_ms: float
    p99_ms: float
    tokens: int
    lag_p99_ms: float
    processor_share: float
    """Of one processor, by the server, in all its threads."""


class Watchers:
    """Connections that listen. What they hear is only looked at for the times in it."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._tasks: list[asyncio.Task[None]] = []
        self.delays: list[float] = []
        self._since = 0

    async def watch(self, ids: Iterable[str]) -> None:
        """Connect to the events of each execution; return once all have their first event."""
        for execution_id in ids:
            reader, writer = await asyncio.open_connection(
                self._address.hostname, self._address.port, limit=READ_LIMIT
            )
            head = f"GET /executions/{execution_id}/events HTTP/1.1\r\nHost: {self._address.netloc}\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"event: snapshot\n")
            self._tasks.append(asyncio.create_task(self._listen(reader, writer)))

    def begin(self) -> None:
        """Count what is shown from now on."""
        self.delays = []
        self._since = time.monotonic_ns()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while event := await reader.readuntil(b"\n\n"):
                now = time.monotonic_ns()
                if b"event: text\n" in event:
                    for stamp in _STAMP.findall(event):
                        if int(stamp) > self._since:
                            self.delays.append((now - int(stamp)) / 1e6)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def stream(executions: int, seconds: float) -> Heard:
    """Watch executions that stream, for so many seconds."""
    async with server_process("offbook", executions) as server:
        watchers = Watchers(server.url)
        await watchers.watch(await server.tell("stream", executions))
        await asyncio.sleep(1.0)
        burnt = await server.processor_seconds()
        await server.tell("lag", "on")
        watchers.begin()
        await asyncio.sleep(seconds)
        delays = sorted(watchers.delays)
        late = await server.tell("lag", "off")
        burnt = await server.processor_seconds() - burnt
        await watchers.leave()
    return Heard(delays[len(delays) // 2], delays[int(0.99 * len(delays))], len(delays), float(late), burnt / seconds)


@dataclass(slots=True)
class Watched:
    """What watchers of executions that change now and then cost."""

    kilobytes: float
    status_ratio: list[float]
    processor_ratio: list[float]
    """Statuses for a second of the processor: other programs on the machine hardly change it."""
    transactions: list[int]


async def beside_watchers(executions: int, rounds: int, seconds: int) -> Watched:
    """Measure memory for each watcher, and statuses a second with and without them, in turns."""
    ratios: list[float] = []
    by_processor: list[float] = []
    async with server_process("offbook", executions) as server:
        ids = await server.tell("start", executions)
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder) / "paths"
            paths.write_text("\n".join(f"/status/{execution_id}" for execution_id in ids))
            await _statuses(server, paths, seconds)
            kilobytes = 0.0
            grown = [0, 0]
            for number in range(1, rounds + 1):
                alone = await _statuses(server, paths, seconds)
                before = float(await server.tell("resident"))
                counted = await server.tell("transactions")
                watchers = Watchers(server.url)
                await watchers.watch(ids)
                beside = await _statuses(server, paths, seconds)
                # What was given back after the first round is not given back to the system.
                kilobytes = max(kilobytes, (float(await server.tell("resident")) - before) / executions)
                after = await server.tell("transactions")
                # The second look at the counter is a read itself.
                grown[0] += after["reads"] - counted["reads"] - 1
                grown[1] += after["writes"] - counted["writes"]
                await watchers.leave()
                ratios.append(beside[0] / alone[0])
                by_processor.append(beside[1] / alone[1])
                told = f"{beside[0]:,.0f} of {alone[0]:,.0f} statuses/s ({by_processor[-1]:.2f} by processor time)"
                note(f"round {number}: {told}, {kilobytes:.1f} KB for each watcher")
    return Watched(kilobytes, ratios, by_processor, grown)


async def _statuses(server: ServerProcess, paths: Path, seconds: int) -> tuple[float, float]:
    """Return statuses for each second, and for each second of the server's processor time."""
    await server.tell("changes", "on")
    burnt = await server.processor_seconds()
    seen = await load(server.url, paths, connections=CONNECTIONS, seconds=seconds)
    burnt = await server.processor_seconds() - burnt
    await server.tell("changes", "off")
    return seen.per_second, seen.per_second * seconds / burnt


async def measure(*, executions: int, watchers: int, rounds: int, seconds: int) -> Result:
    heard: list[Heard] = []
    for number in range(1, rounds + 1):
        heard.append(await stream(executions, 2.0 * seconds))
        note(f"round {number}: p99 {heard[-1].p99_ms:.0f} ms, lag p99 {heard[-1].lag_p99_ms:.1f} ms")
    cost = await beside_watchers(watchers, rounds, seconds)
    p99 = spread([each.p99_ms for each in heard])
    lag = spread([each.lag_p99_ms for each in heard])
    ratio = spread(cost.status_ratio)
    return Result(
        name="events",
        value=p99["median"],
        unit="ms",
        target=TARGET,
        baseline={"gathered by the node runner, at most, ms": 50},
        details={
            "p99_ms": p99,
            "p50_ms": spread([each.p50_ms for each in heard]),
            "lag_p99_ms": lag,
            "lag_p99_ms_target": LAG_TARGET,
            "tokens": sum(each.tokens for each in heard),
            "processors_used_by_the_server": spread([each.processor_share for each in heard]),
            "streaming_executions": executions,
            "watchers": watchers,
            "kilobytes_for_each_watcher": cost.kilobytes,
            "kilobytes_target": KILOBYTES_TARGET,
            "statuses_beside_watchers": ratio,
            "statuses_by_processor_time": spread(cost.processor_ratio),
            "statuses_target": STATUS_TARGET,
            "transactions_of_watching": {"reads": cost.transactions[0], "writes": cost.transactions[1]},
        },
        lower_is_better=True,
        also_met=(
            lag["median"] <= LAG_TARGET
            and cost.kilobytes <= KILOBYTES_TARGET
            and ratio["median"] >= STATUS_TARGET
            and cost.transactions == [0, 0]
        ),
    )


def main() -> None:
    given = options(__doc__, rounds=3)
    arguments = given.parse_args()
    executions, watchers, rounds, seconds = (20, 100, 1, 1) if arguments.quick else (100, 1000, arguments.rounds, 5)
    result = run(measure(executions=executions, watchers=watchers, rounds=rounds, seconds=seconds))
    print_result(result, as_json=arguments.json)


if __name__ == "__main__":
    main()
