"""Runs wrk, an HTTP load generator in C that takes little of the processor from what it measures."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
-- Asks for one of the paths in the file at random; all requests are built before the clock starts.
local requests = {}

function init(args)
    for path in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", path)
    end
    math.randomseed(7)
end

function request()
    return requests[math.random(#requests)]
end
"""
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class WrkFailed(Exception):
    """wrk is not there, or what it asked was not answered as it should be."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def load(url: str, paths: Path, *, connections: int, seconds: int) -> Load:
    """Ask for the paths in a file (one a line) as fast as they are answered; WrkFailed if one is refused."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise WrkFailed(
            "this benchmark needs wrk: `apt-get install wrk` on Debian and Ubuntu, `brew install wrk` on macOS, "
            "or https://github.com/wg/wrk"
        )
    script = paths.with_suffix(".lua")
    script.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        *(wrk, "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url, "--", str(paths)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return read_output(output.decode())


def read_output(output: str) -> Load:
    """Read what wrk printed; WrkFailed if anything it asked for was refused."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    latencies = {int(percent): float(value) * UNITS[unit] for percent, value, unit in LATENCY.findall(output)}
    refused = re.search(r"Non-2xx or 3xx responses.*|Socket errors.*", output)
    if rate is None or refused is not None or not {50, 99} <= latencies.keys():
        raise WrkFailed(f"wrk did not get what it asked for: {refused[0] if refused else output}")
    return Load(float(rate[1]), latencies[50], latencies[99])


LATENCY = re.compile(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)$", re.MULTILINE)
