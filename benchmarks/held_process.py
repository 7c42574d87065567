"""A `held_worker` in a process of its own, and what it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from benchmarks.server_process import LINE_LIMIT, read_answer
from benchmarks.sitting import ROOT


class HeldProcess:
    """A worker that can be killed."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    async def start(cls, folder: Path, live: int) -> HeldProcess:
        """Start it, and wait until it answers."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.held_worker", str(folder), str(live)),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=LINE_LIMIT,
        )
        return cls(process, (await read_answer(process))["url"])

    async def hear(self, word: str) -> Any:
        """Return what it says next, which must be this."""
        return (await read_answer(self.process))[word]

    async def kill(self) -> None:
        """End it as a crash of the machine would."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
