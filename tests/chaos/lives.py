"""One worker as a service manager sees it: a process that is started, killed, and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.cli.conftest import environment

START_SECONDS = 60.0
END_SECONDS = 60.0
SERVES = "offbook serves "


class WorkerDied(Exception):
    """The process ended before it served."""


class Lives:
    """`offbook serve` over one data folder, again and again."""

    def __init__(self, folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        """`arguments` are those of `offbook serve`, `variables` go into its environment."""
        self.folder = folder
        self.url = ""
        self.started = 0
        self.is_up = asyncio.Event()
        """Set while the process serves."""
        self._arguments = arguments
        self._variables = dict(variables or {})
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> Path:
        """What all lives wrote to standard error."""
        return self.folder / "worker.log"

    async def spawn(self) -> None:
        """Start a process; returns at once."""
        with self.log.open("ab") as log:
            self._process = await self._exec(log)
        self.started += 1

    async def _exec(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "offbook.cli", "serve", "--port", "0", "--data-dir", str(self.folder / "data")),
            *self._arguments,
            env=environment(**self._variables),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )

    async def serves(self) -> None:
        """Wait until the process serves; WorkerDied if it ends before that."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            while line := (await self._process.stdout.readline()).decode():
                if line.startswith(SERVES):
                    self.url = line.removeprefix(SERVES).strip()
                    self.is_up.set()
                    return
        raise WorkerDied(self.log.read_text()[-3000:])

    async def start(self) -> None:
        """Start a process and wait until it serves."""
        await self.spawn()
        await self.serves()

    async def kill(self) -> None:
        """End the process at whatever instruction it is."""
        assert self._process is not None
        self.is_up.clear()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def terminate(self) -> int:
        """Ask the process to end; return its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self.is_up.clear()
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the process to end by itself; return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(END_SECONDS):
            code = await self._process.wait()
        self.is_up.clear()
        return code

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None
