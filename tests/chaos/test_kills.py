"""A worker with 200 live executions is killed with SIGKILL at random moments; promise 2 holds all the same."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.audit import audit
from tests.chaos.campaign import LIVE, SOAK, kill_at_random, open_scene
from tests.postgres import shared_postgres

KILLS = 24 if SOAK else 4
"""In each round of each of the six combinations."""
ROUNDS = range(7 if SOAK else 1)
"""Each is audited by itself and prints its figures: a soak that is cut short has shown what it printed."""

_so_far: Counter[str] = Counter()


@pytest.mark.timeout(1800 if SOAK else 900)
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("number", ROUNDS)
async def test_killed_worker_loses_nothing_and_repeats_no_more_than_it_may(
    tmp_path: Path, database: str, durability: str, number: int
) -> None:
    seed = f"{database} {durability}" + (f" {number}" if number else "")
    url = shared_postgres().database() if database == "postgresql" else None
    # One of the six keeps its journal in a database too.
    variables = {"OFFBOOK_JOURNAL_URL": url} if url is not None and durability == "async" else {}
    async with open_scene(tmp_path, durability=durability, database=url, **variables) as scene:
        live = await kill_at_random(scene, KILLS, random.Random(seed))
        ended = await scene.clients.finish()
        verdict = audit(scene.outside.ledger, scene.clients, ended, await scene.clients.listed(), durability)
        print(f"\n{seed}: {scene.lives.started} lives, {verdict}; live at the kills: {live}")
        _so_far.update(verdict.counts(), kills=scene.lives.started - 1, faults=len(verdict.faults))
        print(f"so far: {dict(_so_far)}")
    assert not verdict.faults, "\n".join(verdict.faults[:20])
    assert len(live) == KILLS
    assert min(live) > LIVE // 10, "hardly anything was live when the worker was killed"
    assert verdict.repeats, "no call was in flight at any kill"
