"""Processes that a command starts for itself: real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from offbook.cli.child import Child, ChildFailed

SERVES = "import sys; print('warming up'); print('ready at noon', flush=True); sys.stdin.read()"
BREAKS = "import sys; sys.exit('no such model')"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)


def command(program: str) -> list[str]:
    return [sys.executable, "-c", program]


async def test_child_is_ready_when_it_says_so(tmp_path: Path) -> None:
    child = await Child.start("it", command(SERVES), ready="ready at ", log=tmp_path / "log")
    assert child.ready_line == "ready at noon"
    assert await child.stop() == -15
    assert not child.lives
    assert await child.stop() == -15


async def test_child_that_ends_before_it_is_ready_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"ended with code 1(.|\n)*no such model") as failed:
        await Child.start("it", command(BREAKS), ready="ready", log=tmp_path / "deep" / "log")
    assert str(tmp_path / "deep" / "log") in failed.value.hint


async def test_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    child = await Child.start("it", command(STUBBORN), ready="ready", log=tmp_path / "log")
    assert await child.stop(seconds=0.05) == -9


async def test_killed_child_is_gone(tmp_path: Path) -> None:
    child = await Child.start("it", command(STUBBORN), ready="ready", log=tmp_path / "log")
    await child.kill()
    assert not child.lives
