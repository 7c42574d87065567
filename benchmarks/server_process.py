"""A `status_server` in a process of its own, and how to talk to it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.sitting import ROOT

LINE_LIMIT = 16 * 1024 * 1024
END_SECONDS = 20.0


class ServerProcess:
    """Tells a server what to do."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process

    async def processor_seconds(self) -> float:
        """Return what the server has used of the processor so far, in all its threads."""
        return float(await self.tell("processor"))

    async def tell(self, *words: object) -> Any:
        """Send a line; return the answer to it."""
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        return await read_answer(self._process)


async def read_answer(process: asyncio.subprocess.Process) -> Any:
    """Return the next line of JSON."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the server of this benchmark has ended: see what it wrote above")
    return json.loads(line)


@asynccontextmanager
async def server_process(kind: str, number: int) -> AsyncIterator[ServerProcess]:
    """Run `benchmarks.status_server KIND NUMBER` while the context lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.status_server", kind, str(number)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=LINE_LIMIT,
    )
    try:
        greeting = await read_answer(process)
        yield ServerProcess(process, greeting["url"])
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
