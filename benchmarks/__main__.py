"""Runs the benchmarks one after another, each in a process of its own, and shows what each came to in a line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.report import Result
from benchmarks.sitting import ROOT, note

COMMANDS = (
    ("status",),
    ("status_under_load",),
    ("throughput",),
    ("throughput", "--durability", "async"),
    ("throughput", "--durability", "sync"),
    ("live_memory",),
    ("loop_actor",),
    ("resume",),
    ("fork",),
    ("recovery",),
    ("drain",),
    ("cancel",),
    ("events",),
)


def run(command: tuple[str, ...], arguments: list[str]) -> Result | None:
    """Run a benchmark; None if it failed."""
    name, *options = command
    note(f"--- {' '.join(command)}")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options, "--json", *arguments], cwd=ROOT, stdout=subprocess.PIPE
    )
    if done.returncode:
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    met = found.pop("met")
    result = Result(**found)
    assert result.met == met
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all without any")
    parser.add_argument("--quick", action="store_true", help="less of everything, where a benchmark knows how")
    given = parser.parse_args()
    chosen = [each for each in COMMANDS if not given.names or each[0] in given.names]
    rows: list[tuple[str, str, str]] = []
    for command in chosen:
        result = run(command, ["--quick"] if given.quick else [])
        if result is None:
            rows.append((" ".join(command), "-", "FAILED"))
            continue
        bound = "at most" if result.lower_is_better else "at least"
        value = f"{result.value:,.4g} {result.unit}"
        rows.append((" ".join(command), value, f"{'met' if result.met else 'MISSED'}: {bound} {result.target:,g}"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, verdict in rows:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {verdict}")
    return 1 if any("FAILED" in row[2] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
