"""A campaign: a worker with many live books is killed at random moments and started again. Judges nothing."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.chaos.book import Call
from tests.chaos.clients import PATIENCE, Clients
from tests.chaos.lives import Lives, WorkerDied
from tests.chaos.outside import Outside, open_outside

LIVE = 200
SOAK = bool(os.environ.get("OFFBOOK_SOAK"))


@dataclass(slots=True)
class Scene:
    """A worker, its clients, and the process that counts."""

    lives: Lives
    clients: Clients
    outside: Outside

    async def until_computed(self, calls: int) -> None:
        """Wait until the outside has seen so many calls begin."""
        reached = asyncio.Event()
        tell = self.outside.ledger.on_begin

        def count(number: int, execution_id: str, call: Call) -> None:
            tell(number, execution_id, call)
            if self.outside.ledger.computations >= calls:
                reached.set()

        self.outside.ledger.on_begin = count
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        self.outside.ledger.on_begin = tell


@asynccontextmanager
async def open_scene(
    folder: Path, *, durability: str, database: str | None = None, **variables: str
) -> AsyncIterator[Scene]:
    """Set the scene, without a worker yet; at its end what still runs is killed."""
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    async with open_outside() as outside, aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        arguments = ["--import", "tests.chaos.nodes", *(["--database", database] if database else [])]
        lives = Lives(folder, *arguments, variables={**outside.environment, **variables})
        clients = Clients(lives, outside.ledger, session, durability=durability)
        try:
            yield Scene(lives, clients, outside)
        finally:
            await clients.close()
            if lives.runs:
                await lives.kill()


async def kill_at_random(scene: Scene, kills: int, chance: random.Random) -> list[int]:
    """Kill the worker so often, mostly while it serves, now and then while it starts; return how many lived then."""
    lives, clients, ledger = scene.lives, scene.clients, scene.outside.ledger
    await begin_life(scene)
    await lives.serves()
    clients.keep(LIVE)
    await clients.until_live(LIVE)
    live_at_kills = []
    for _ in range(kills):
        await clients.until_live(LIVE * 3 // 4)
        if chance.random() < 0.2:
            # Two kills in a row: the second meets recovery before it is through.
            await lives.kill()
            await begin_life(scene)
            serving = asyncio.ensure_future(_serves_or_dies(lives))
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            live_at_kills.append(clients.live)
            await lives.kill()
            await serving
        else:
            await asyncio.sleep(chance.uniform(0.02, 0.6))
            live_at_kills.append(clients.live)
            await lives.kill()
        await begin_life(scene)
        await lives.serves()
    assert ledger.life == lives.started
    return live_at_kills


async def begin_life(scene: Scene) -> None:
    """Start a process, and count it."""
    scene.outside.ledger.life += 1
    await scene.lives.spawn()


async def _serves_or_dies(lives: Lives) -> None:
    """A process that is killed while it starts says nothing more."""
    try:
        await lives.serves()
    except WorkerDied:
        lives.is_up.clear()
