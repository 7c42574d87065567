"""PostgreSQL goes away and comes back at random; live executions go on meanwhile, and what was accepted is stored."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.chaos.audit import audit
from tests.chaos.campaign import SOAK, Scene, begin_life, open_scene
from tests.postgres import Postgres

STOPS = 20 if SOAK else 3
"""In each round."""
ROUNDS = range(10 if SOAK else 1)
LIVE = 100
MODES = ("fast", "immediate")
"""`immediate` ends the server as a crash does: it recovers when it starts."""

pytestmark = pytest.mark.timeout(1800 if SOAK else 900)


async def stop_at_random(scene: Scene, postgres: Postgres, chance: random.Random, *, kill: bool) -> None:
    """Stop the database for up to two seconds, again and again; `kill` the worker while it is away, too."""
    await begin_life(scene)
    await scene.lives.serves()
    scene.clients.keep(LIVE)
    await scene.clients.until_live(LIVE)
    for number in range(STOPS):
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        await asyncio.to_thread(postgres.stop, mode=MODES[number % 2])
        if kill:
            # At once: books that need no database meanwhile would soon be through.
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            await scene.lives.kill()
            await begin_life(scene)
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        await asyncio.to_thread(postgres.start)
        if kill:
            await scene.lives.serves()
        await scene.clients.until_live(LIVE * 3 // 4)


@pytest.mark.parametrize("kill", [False, True], ids=["worker stays", "worker is killed"])
@pytest.mark.parametrize("number", ROUNDS)
async def test_database_that_comes_and_goes_loses_nothing(
    tmp_path: Path, own_postgres: Postgres, kill: bool, number: int
) -> None:
    seed = f"database away {kill}" + (f" {number}" if number else "")
    async with open_scene(tmp_path, durability="async", database=own_postgres.database()) as scene:
        await stop_at_random(scene, own_postgres, random.Random(seed), kill=kill)
        ended = await scene.clients.finish()
        verdict = audit(scene.outside.ledger, scene.clients, ended, await scene.clients.listed(), "async")
        print(f"\n{seed}: database stopped {STOPS} times: {verdict}; refused for now: {scene.clients.refusals}")
    assert not verdict.faults, "\n".join(verdict.faults[:20])
    assert bool(verdict.repeats) == kill
    assert kill or scene.clients.refusals.get("storage-unavailable"), "no client noticed that the database was away"
