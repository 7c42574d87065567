"""Mixed load leaves actors, threads, file handles and memory where they were, and the journal as small as it was."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from pykka import ActorRegistry

from offbook.actors.execution_messages import GetStatus
from offbook.engine import Engine
from offbook.persistence.sql_store import READ_CONNECTIONS
from offbook.settings import EngineSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import JsonObject

SOAK = bool(os.environ.get("OFFBOOK_SOAK"))
EXECUTIONS = 100_000 if SOAK else 5_000
ROUNDS = 5
AT_ONCE = 50
MOST_GROWTH = 12_000_000
"""Bytes by which the process may grow between the end of the first round and that of the last."""
MOST_JOURNAL = 24_000_000
"""Bytes that the journal's files may take once nothing is live, however many executions have passed."""

DONE: JsonObject = {
    "name": "done",
    "nodes": [
        {"id": "a", "type": "template", "config": {"text": "x" * 1000}},
        {"id": "b", "type": "llm", "needs": ["a"], "config": {"model": "scripted/w", "prompt": "b"}},
    ],
}
FAILS_ONCE: JsonObject = {
    "name": "fails_once",
    "nodes": [
        {
            "id": "a",
            "type": "llm",
            "config": {
                "model": "scripted/w",
                "prompt": "a",
                "script": {"text": "a", "fail": [{"attempt": 1, "error": "invalid_key"}]},
            },
        }
    ],
}
ASKS: JsonObject = {"name": "asks", "nodes": [{"id": "ok", "type": "approval"}]}


class Unheard:
    """A message that no actor knows: whoever gets it crashes."""


async def _completes(engine: Engine) -> None:
    await engine.service.rest(await engine.start(DONE, user="ada"))


async def _fails_and_resumes(engine: Engine) -> None:
    execution_id = await engine.start(FAILS_ONCE, user="ada", durability="sync")
    await engine.service.rest(execution_id)
    await engine.resume(execution_id)
    await engine.service.rest(execution_id)


async def _is_cancelled(engine: Engine) -> None:
    execution_id = await engine.start(ASKS, user="ada", durability="exit")
    await engine.service.cancel(execution_id, caller=OPERATOR)
    await engine.service.rest(execution_id)


async def _is_paused_and_deleted(engine: Engine) -> None:
    execution_id = await engine.start(ASKS, user="ada")
    await engine.service.pause(execution_id, caller=OPERATOR)
    await engine.service.rest(execution_id)
    await engine.service.delete(execution_id, caller=OPERATOR)


async def _crashes(engine: Engine) -> None:
    execution_id = await engine.start(ASKS, user="ada")
    entry = engine.service._directory.find(execution_id)
    assert entry is not None
    assert entry.ref is not None
    entry.ref.tell(Unheard())
    while entry.ref is None or entry.restarts == 0:
        # Nobody is told of a restart but who asks for the status of what was restarted.
        await engine.status(execution_id)
        await asyncio.sleep(0.01)
    await entry.ref.ask(GetStatus(), block=False)
    await engine.service.cancel(execution_id, caller=OPERATOR)
    await engine.service.rest(execution_id)


STORIES: tuple[Callable[[Engine], Awaitable[None]], ...] = (
    *(_completes,) * 12,
    *(_fails_and_resumes,) * 4,
    *(_is_cancelled,) * 2,
    _is_paused_and_deleted,
    _crashes,
)


@pytest.mark.timeout(1800 if SOAK else 900)
async def test_mixed_load_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    process = psutil.Process()
    settings = EngineSettings(data_dir=tmp_path, retain_seconds=0.0, retain_count=0)
    caplog.set_level(logging.CRITICAL, "pykka")
    actors = len(ActorRegistry.get_all())
    threads = {thread.name for thread in threading.enumerate()}
    memory: list[int] = []
    handles: list[int] = []
    async with Engine(settings) as engine:
        for _ in range(ROUNDS):
            await _play(engine, EXECUTIONS // ROUNDS)
            await _emptied(engine)
            gc.collect()
            memory.append(process.memory_info().rss)
            handles.append(process.num_fds())
            with capsys.disabled():
                print(f"\nround {len(memory)}: {memory[-1]} bytes of memory, {handles[-1]} handles", end="")
        journal = _journal_bytes(tmp_path)
        figures = (await engine.service.ready())[1]["counts"]
    per_execution = (memory[-1] - memory[0]) / (EXECUTIONS * (ROUNDS - 1) / ROUNDS)
    with capsys.disabled():
        print(f"\n{EXECUTIONS} executions: {per_execution:.0f} bytes each, journal {journal}, handles {handles}")
    assert memory[-1] - memory[0] < MOST_GROWTH
    # The pool of readers opens connections when so many read at once, and keeps them.
    assert max(handles) - handles[0] <= 3 * READ_CONNECTIONS
    assert journal < MOST_JOURNAL
    assert (figures["live_calls"], figures["queued_calls"], figures["abandoned"]) == (0, 0, 0)
    assert len(ActorRegistry.get_all()) == actors
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith("offbook")} <= threads


async def _play(engine: Engine, count: int) -> None:
    left = iter(range(count))

    async def keep_playing() -> None:
        for number in left:
            await STORIES[number % len(STORIES)](engine)

    await asyncio.gather(*(keep_playing() for _ in range(AT_ONCE)))


async def _emptied(engine: Engine) -> None:
    """Wait until all that has ended has left memory."""
    async with asyncio.timeout(60):
        while len(engine.service._directory):  # noqa: ASYNC110 - nobody is told when memory is empty
            await asyncio.sleep(0.05)


def _journal_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("journal.db*"))
