"""Where the demo plays: its folders, and worker processes that run the novella one after the other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import aiohttp

from offbook.cli.arguments import parse_document, read_text
from offbook.cli.child import Child
from offbook.cli.client import HttpClient
from offbook.cli.exits import UsageRefused
from offbook.workflows.values import JsonObject

EXAMPLES = "offbook.examples"
FUNCTIONS = f"{EXAMPLES}.bookbinding"
READY = "offbook serves "
KEPT_SETTINGS = frozenset({"OFFBOOK_LOG_LEVEL"})
"""Settings of ours that a worker of the demo takes from its environment; the others are for other engines."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, and the client that asks it."""

    child: Child
    client: HttpClient


@dataclass(frozen=True, slots=True)
class Stage:
    """The folders of a demo."""

    data_dir: Path
    output: Path

    @asynccontextmanager
    async def worker(self, providers: JsonObject) -> AsyncIterator[Worker]:
        """Run a worker, `offbook serve` on a free port, while the context lasts."""
        command = [
            *(sys.executable, "-m", "offbook.cli", "serve"),
            *("--host", "127.0.0.1", "--port", "0", "--data-dir", str(self.data_dir), "--with-parent"),
        ]
        child = await Child.start(
            "the worker",
            command,
            ready=READY,
            log=self.data_dir / "worker.log",
            environment=_environment(OFFBOOK_PROVIDERS=json.dumps(providers), OFFBOOK_IMPORTS=FUNCTIONS),
        )
        try:
            async with aiohttp.ClientSession() as session:
                yield Worker(child, HttpClient(session, child.ready_line.removeprefix(READY), None))
        finally:
            await child.stop()


def novella() -> JsonObject:
    """Read the example that the demo runs; UsageRefused if the examples are not installed."""
    if find_spec(EXAMPLES) is None:
        raise UsageRefused("the examples are not here", hint="install the package again, or run from a checkout")
    path = Path(str(files(EXAMPLES))) / "novella" / "novella.yaml"
    document = parse_document(read_text(path))
    if document is None:
        raise UsageRefused(f"{path} is no workflow document")
    return document


def _environment(**given: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("OFFBOOK_") or name in KEPT_SETTINGS
    }
    return {**kept, **given}
