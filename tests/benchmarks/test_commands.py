"""Benchmarks run, and end with what programs read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.sitting import ROOT

FIELDS = {"name", "value", "unit", "target", "baseline", "details", "met"}


@pytest.mark.parametrize(
    "command",
    [
        ("throughput", "--durability", "exit"),
        ("throughput", "--durability", "sync"),
        ("throughput", "--checks", "few", "--ledger"),
        ("resume",),
        ("events",),
    ],
    ids=lambda command: " ".join(command),
)
def test_last_line_is_the_result_as_json(command: tuple[str, ...]) -> None:
    name, *options = command
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options, "--quick", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result.keys() >= FIELDS
    assert result["name"] == name
    assert result["value"] > 0
