"""Seconds that a worker takes to checkpoint all its live executions when it is told to end, without any grace."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.held_process import HeldProcess
from benchmarks.report import Result, print_result, spread
from benchmarks.sitting import note, options, run

TARGET_SECONDS = 5.0


async def main() -> None:
    """Drain a worker."""
    parser = options(__doc__, rounds=1)
    parser.add_argument("--live", type=int, default=10_000)
    given = parser.parse_args()
    live = 500 if given.quick else given.live
    seconds: list[float] = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(await _round(Path(folder) / "data", live))
    details = {"live": live, "seconds": spread(seconds)}
    result = Result("drain", max(seconds), "s", TARGET_SECONDS, None, details, lower_is_better=True)
    print_result(result, as_json=given.json)


async def _round(folder: Path, live: int) -> float:
    worker = await HeldProcess.start(folder, live)
    try:
        await worker.hear("ids")
        await worker.hear("held")
        note(f"{live} executions hold; draining")
        worker.process.terminate()
        took = float(await worker.hear("drained"))
        code = await worker.process.wait()
        if code:
            raise RuntimeError(f"the worker ended with {code}")
        return took
    finally:
        await worker.kill()


if __name__ == "__main__":
    run(main())
