"""What every benchmark's command has in common: its options, its event loop, its quiet. Measures nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.report import arguments
from offbook.cli.logs import configure_logs

ROOT = Path(__file__).resolve().parent.parent

T = TypeVar("T")


def options(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Build the options that every benchmark has, and `--quick`."""
    parser = arguments(description, rounds=rounds)
    parser.add_argument("--quick", action="store_true", help="less of everything: to see that it works")
    return parser


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a benchmark on the event loop that `offbook serve` has, with as few logs."""
    configure_logs("WARNING")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop that `offbook serve` runs on: uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def note(text: str) -> None:
    """Tell whoever watches how it goes, on standard error."""
    print(text, file=sys.stderr, flush=True)


def resident_kilobytes() -> float:
    """Return how much of the memory this process has."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return next(float(each.split()[1]) for each in status if each.startswith("VmRSS:"))
