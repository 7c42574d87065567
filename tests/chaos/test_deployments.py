"""A worker with many live executions is told to go away again and again, and killed in the middle of that."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from tests.chaos.audit import audit
from tests.chaos.campaign import LIVE, SOAK, Scene, begin_life, open_scene
from tests.postgres import shared_postgres

ENDS = 24 if SOAK else 4
"""In each round; every other one is cut short."""
ROUNDS = range(5 if SOAK else 1)


async def deploy(scene: Scene, chance: random.Random) -> None:
    """Have the worker drain, mostly to its end, and start the next."""
    await begin_life(scene)
    await scene.lives.serves()
    scene.clients.keep(LIVE)
    await scene.clients.until_live(LIVE)
    for number in range(ENDS):
        await asyncio.sleep(chance.uniform(0.02, 0.5))
        scene.lives.send(signal.SIGTERM)
        if number % 2:
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            await scene.lives.kill()
        else:
            assert await scene.lives.ended() == 0
        await begin_life(scene)
        await scene.lives.serves()
        await scene.clients.until_live(LIVE * 3 // 4)


@pytest.mark.timeout(1800 if SOAK else 900)
@pytest.mark.parametrize(("database", "durability"), [("sqlite", "exit"), ("postgresql", "sync")])
@pytest.mark.parametrize("number", ROUNDS)
async def test_worker_that_is_told_to_go_away_loses_nothing_even_if_it_is_killed_meanwhile(
    tmp_path: Path, database: str, durability: str, number: int
) -> None:
    seed = f"deployments {database} {durability} {number}"
    url = shared_postgres().database() if database == "postgresql" else None
    async with open_scene(tmp_path, durability=durability, database=url) as scene:
        await deploy(scene, random.Random(seed))
        ended = await scene.clients.finish()
        verdict = audit(scene.outside.ledger, scene.clients, ended, await scene.clients.listed(), durability)
        print(f"\n{seed}: told to go away {ENDS} times: {verdict}; refused for now: {scene.clients.refusals}")
    assert not verdict.faults, "\n".join(verdict.faults[:20])
    assert verdict.books > LIVE
