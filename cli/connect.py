"""How a command finds its engine: a named server, the one that owns the data folder, or one of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from offbook.cli.client import Client, HttpClient
from offbook.cli.exits import UsageRefused
from offbook.cli.imports import import_modules
from offbook.cli.server_file import read_server_file

TOKEN_VARIABLE = "OFFBOOK_INTERNAL_TOKEN"
DISCOVERY_SECONDS = 2.0
DEFAULT_FOLDER = Path("offbook-data")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command was told to look."""

    server: str | None = None
    data_dir: Path = DEFAULT_FOLDER
    database: str | None = None
    imports: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """The same as options of another command; what its environment says already is left out."""
        if self.server:
            return ("--server", self.server)
        options = ["--data-dir", str(self.data_dir)]
        if self.database and self.database != os.environ.get("OFFBOOK_DATABASE"):
            options += ["--database", self.database]
        for module in self.imports:
            options += ["--import", module]
        return tuple(options)


@asynccontextmanager
async def connect(target: Target, *, starts: bool = False) -> AsyncIterator[Client]:
    """Give a client of the engine that a command is for.

    `starts`: the command runs executions, so its own engine lets others look in; without it, a data folder that
    is not there is refused rather than created.
    """
    async with aiohttp.ClientSession() as session:
        if target.server:
            yield HttpClient(session, target.server, os.environ.get(TOKEN_VARIABLE))
            return
        owner = await _owner(session, target, lasting=starts)
        if owner is not None:
            yield owner
            return
    if not starts and not target.database and not target.data_dir.is_dir():
        raise UsageRefused(
            f"there is no data folder {target.data_dir}",
            hint="give the folder that `offbook run` or `offbook serve` used: --data-dir DIR, or --server URL",
        )
    # SQLAlchemy and the engine take half a second to import, which a client of a server need not wait for.
    from offbook.cli.local import open_local
    from offbook.settings import EngineSettings

    settings = EngineSettings.from_environment(
        data_dir=target.data_dir, database=target.database, imports=target.imports or None
    )
    import_modules(settings.imports)
    async with open_local(settings, where=target.options, reachable=starts) as client:
        yield client


async def _owner(session: aiohttp.ClientSession, target: Target, *, lasting: bool) -> HttpClient | None:
    """Return a client of the process that owns the data folder, if there is one and it answers.

    `lasting`: only a server. What another `offbook run` was given to run would end with that command.
    """
    found = read_server_file(target.data_dir)
    if found is None or (lasting and found.token is not None):
        return None
    token = found.token or os.environ.get(TOKEN_VARIABLE)
    client = HttpClient(session, found.url, token, where=target.options)
    return client if await client.answers(DISCOVERY_SECONDS) else None


def command_line(*words: str, client: Client) -> str:
    """Write a command as it must be typed to reach the same engine."""
    return shlex.join(["offbook", *words, *client.where])
