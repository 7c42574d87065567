"""Scripts in processes of their own, with nothing of the project on their path."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import tests

SCRIPTS = Path(tests.__file__).parent.parent / "scripts"
LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it printed, the space between columns as one."""
        return [" ".join(line.split()) for line in self.out.splitlines()]

    @property
    def facts(self) -> dict[str, str]:
        """What it printed in two columns, by the first word of the line."""
        return {name: fact.strip() for name, _, fact in (line.partition("  ") for line in self.out.splitlines())}


async def run_script(name: str, *arguments: str, cwd: Path = SCRIPTS, **variables: str) -> Ended:
    """Run a script to its end; no variable of this process reaches it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-E", "-s", "-S", str(SCRIPTS / name), *arguments),
        cwd=cwd,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
