"""The `offbook` command in real processes, and a server with a dummy service for it to ask."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import tests
from offbook.web.app import create_app
from offbook.web.server import serve_app
from tests.web.dummy_service import DummyService

ROOT = Path(tests.__file__).parent.parent
LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ended]]
Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]


def environment(**given: str) -> dict[str, str]:
    """An environment without settings of ours but those given, in which `offbook` can be imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFBOOK_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **given}


@pytest.fixture
async def spawn(tmp_path: Path) -> AsyncIterator[Spawn]:
    """Start `offbook ...` in a folder of its own; what still runs at the end is killed."""
    processes = []

    async def start(*arguments: str, stdin: int | None = None, **variables: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "offbook.cli",
            *arguments,
            cwd=tmp_path,
            env=environment(**variables),
            stdin=stdin,
            # What is asked is asked where the test answers, not at the terminal that it runs in.
            start_new_session=stdin is not None,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.fixture
def offbook(spawn: Spawn) -> Run:
    """Run `offbook ...` to its end."""

    async def run(*arguments: str, **variables: str) -> Ended:
        process = await spawn(*arguments, **variables)
        return await ended(process)

    return run


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for a command; fail if it takes too long."""
    async with asyncio.timeout(LIMIT_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """Read a command's output up to the line that has this text."""
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            line = (await process.stdout.readline()).decode()
            assert line, f"ended without {text!r}"
            if text in line:
                return line.rstrip("\n")


@pytest.fixture
def service() -> DummyService:
    return DummyService()


@pytest.fixture
async def server(service: DummyService) -> AsyncIterator[str]:
    """The URL of a server in front of the dummy service."""
    async with serve_app(create_app(service)) as url:
        yield url
