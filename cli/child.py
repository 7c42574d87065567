"""A process that a command starts for itself: started, waited for until it is ready, stopped or killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from offbook.workflows.errors import OffbookError

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
LOG_SHOWN = 2000
"""Characters of the log that are shown of a process that did not start."""


class ChildFailed(OffbookError):
    """A process did not become ready."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        self.name = name
        self.hint = f"its whole log is {log}"
        with suppress(OSError):
            why += "\n" + log.read_text(encoding="utf-8", errors="replace")[-LOG_SHOWN:].strip()
        super().__init__(f"{name} did not start: {why}".strip())


class Child:
    """One process. It says that it is ready by a line on standard output; its errors go to a log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ready_line: str) -> None:
        self._name = name
        self._process = process
        self.ready_line = ready_line

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, ready: str, log: Path, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Start a process and wait for the line that begins with `ready`; ChildFailed if it does not come.

        Standard input stays open while this process lives: one that ends at its end never outlives us.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(environment) if environment is not None else dict(os.environ),
            )
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await _line_beginning(process, ready)
        except TimeoutError:
            await _kill(process)
            raise ChildFailed(name, f"not ready after {READY_SECONDS:g} s", log) from None
        except BaseException:
            await _kill(process)
            raise
        if line is None:
            code = await process.wait()
            raise ChildFailed(name, f"it ended with code {code}", log)
        return cls(name, process, line)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.returncode is None

    async def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask it to end, kill it if it does not in so many seconds; return its exit code."""
        if self.lives:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(seconds):
                    return await self._process.wait()
            except TimeoutError:
                await self.kill()
        return await self._process.wait()

    def kill_at_once(self) -> None:
        """Send SIGKILL and wait for nothing."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def kill(self) -> None:
        """Send SIGKILL and wait until it is gone."""
        await _kill(self._process)


async def _line_beginning(process: asyncio.subprocess.Process, ready: str) -> str | None:
    """Return the first line of output that begins with a text; None if it ends without one."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        text = line.decode("utf-8", "replace").strip()
        if text.startswith(ready):
            return text
    return None


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
