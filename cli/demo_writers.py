"""Who writes the demo's novella: the local model, or a provider that plays from a script. Each is lost on purpose."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from offbook.cli import model_server
from offbook.cli.local_model import LocalModel, check_installed
from offbook.workflows.values import JsonObject

PACE = 250
"""Words a second of the scripted writer: fast, and still slow enough to be seen."""
PACE_IN_THE_MIDDLE = 120
"""And in what it is interrupted in: slow enough to have a middle on a machine that is busy."""


class Provider(StrEnum):
    """What `--provider` may name."""

    LOCAL = "local"
    SCRIPTED = "scripted"


class Writer(Protocol):
    """A model that can be lost and found again."""

    model: str
    """`provider/name`."""

    @property
    def providers(self) -> JsonObject:
        """Settings of providers, as OFFBOOK_PROVIDERS has them; they change when it starts again."""
        ...

    def direct(self, document: JsonObject, node_id: str, item: int) -> JsonObject:
        """Return the document to run, so that this item of a foreach fails if `lose` alone does not do it."""
        ...

    async def start(self) -> str:
        """Make it ready to write; return what there is to say about that."""
        ...

    def lose(self) -> None:
        """Take it away, in the middle of what it writes."""
        ...

    async def close(self) -> None: ...


class LocalWriter:
    """The local model. It is lost when its process is killed."""

    def __init__(self, log: Path) -> None:
        check_installed()
        self.model = f"local/{model_server.NAME}"
        self._log = log
        self._running: LocalModel | None = None

    @property
    def providers(self) -> JsonObject:
        return {"local": self._running.provider} if self._running else {}

    def direct(self, document: JsonObject, node_id: str, item: int) -> JsonObject:
        return document

    async def start(self) -> str:
        await self.close()
        self._running = await LocalModel.start(self._log)
        return f"{self.model} answers at {self._running.url} (process {self._running.child.pid})"

    def lose(self) -> None:
        if self._running is not None:
            self._running.child.kill_at_once()

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.child.stop()


class ScriptedWriter:
    """The provider `scripted`. Its script loses the connection as often as the item is tried before a resume."""

    model = "scripted/writer"
    providers: JsonObject = {}

    def direct(self, document: JsonObject, node_id: str, item: int) -> JsonObject:
        directed = copy.deepcopy(document)
        for body in _bodies(directed):
            if "script" in body["config"]:
                body["config"]["script"]["tokens_per_second"] = PACE
        foreach = next(node for node in directed["nodes"] if node["id"] == node_id)
        body = foreach["config"]["do"]
        attempts = body.get("retry", {}).get("attempts", 1)
        body["config"]["script"]["tokens_per_second"] = PACE_IN_THE_MIDDLE
        body["config"]["script"]["fail"] = [
            {"item": item, "attempt": attempt, "error": "dropped"} for attempt in range(1, attempts + 1)
        ]
        return directed

    async def start(self) -> str:
        return f"{self.model} needs no process: it plays from the script in the document"

    def lose(self) -> None:
        return

    async def close(self) -> None:
        return


def _bodies(document: JsonObject) -> Iterator[JsonObject]:
    """Yield whatever has a config of its own type: nodes, and what foreach nodes do."""
    for node in document["nodes"]:
        yield node["config"].get("do", node)
