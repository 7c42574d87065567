"""A journal that cannot be written: it says so, takes on nothing that relies on it, and what is live goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event

from offbook.engine import Engine
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.journal import _open_file
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.caller import OPERATOR
from offbook.workflows.errors import StorageUnavailable
from tests.actors.embedded import StumblingJournal, line_of, open_engine
from tests.scenarios.documents import approval, line, output, python, workflow

PATIENCE = 60.0


class Stage:
    """An engine whose journal is full on cue, and a node that waits for its cue."""

    def __init__(self) -> None:
        self.journal = StumblingJournal()
        self.store = MemoryStore()
        self.functions = FunctionRegistry()
        self.functions.register(self._step, "step")
        self.entered: asyncio.Queue[int] = asyncio.Queue()
        self.go_on = threading.Event()
        self.engine: Engine
        self._loop = asyncio.get_running_loop()

    def _step(self, ctx: NodeContext, number: int) -> int:
        self._loop.call_soon_threadsafe(self.entered.put_nowait, number)
        self.go_on.wait(PATIENCE)
        return number

    async def fill(self) -> str:
        """Have the disk be full, and start what shows it: an execution in the mode that needs no journal does not."""
        execution_id = await self.engine.start(self.steps(3), user="ada", durability="async")
        await self.entered.get()
        self.journal.is_full = True
        self.go_on.set()
        await journal_is(self.engine, "degraded")
        return execution_id

    @staticmethod
    def steps(count: int) -> dict[str, object]:
        nodes = [
            python(f"s{number}", "step", args={"number": number}, needs=[f"s{number - 1}"] if number else [])
            for number in range(count)
        ]
        return workflow(*nodes, output("last", f"{{{{ nodes.s{count - 1}.output }}}}", needs=[f"s{count - 1}"]))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage()
    async with open_engine(tmp_path, stage.functions, store=stage.store, journal=stage.journal) as engine:
        stage.engine = engine
        yield stage
        stage.journal.is_full = False
        stage.go_on.set()


async def test_live_executions_go_on_and_say_that_their_journal_is_degraded(stage: Stage) -> None:
    waiting = await stage.engine.start(workflow(approval("yes")), user="ada")
    execution_id = await stage.fill()
    shown = await stage.engine.status(waiting)
    assert shown["journal"]["state"] == "degraded"
    ended = await stage.engine.wait(execution_id, PATIENCE)
    assert (ended["status"], ended["result"]) == ("completed", 2)
    assert stage.journal.refused > 0
    await stage.engine.service.cancel(waiting, caller=OPERATOR)


async def test_execution_that_does_nothing_meanwhile_says_how_its_journal_is_too(stage: Stage) -> None:
    waiting = await stage.engine.start(workflow(approval("yes")), user="ada")
    async with asyncio.timeout(PATIENCE):
        while (await stage.engine.status(waiting))["status"] != "waiting":
            pass
    assert (await stage.engine.status(waiting))["journal"]["state"] == "ok"
    await stage.fill()
    assert (await stage.engine.status(waiting))["journal"]["state"] == "degraded"
    stage.journal.is_full = False
    await journal_is(stage.engine, "ok")
    assert (await stage.engine.status(waiting))["journal"]["state"] == "ok"
    await stage.engine.service.cancel(waiting, caller=OPERATOR)


@pytest.mark.parametrize("durability", ["sync", "async", None])
async def test_new_executions_that_rely_on_the_journal_are_refused(stage: Stage, durability: str | None) -> None:
    await stage.fill()
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await stage.engine.start(line(2), user="ada", durability=durability)


async def test_new_executions_that_need_no_journal_are_taken(stage: Stage) -> None:
    await stage.fill()
    execution_id = await stage.engine.start(line(2), user="ada", durability="exit")
    assert (await stage.engine.wait(execution_id, PATIENCE))["status"] == "completed"


async def test_signal_is_refused_while_its_acceptance_cannot_be_recorded(stage: Stage) -> None:
    waiting = await stage.engine.start(workflow(approval("yes"), output("o", "x", needs=["yes"])), user="ada")
    await stage.fill()
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        await stage.engine.service.signal(waiting, "yes", {"ok": True}, caller=OPERATOR)
    assert (await stage.engine.status(waiting))["status"] == "waiting"
    stage.journal.is_full = False
    await journal_is(stage.engine, "ok")
    await stage.engine.service.signal(waiting, "yes", {"ok": True}, caller=OPERATOR)
    assert (await stage.engine.wait(waiting, PATIENCE))["status"] == "completed"


async def test_execution_in_sync_goes_on_too_when_the_disk_is_full(stage: Stage) -> None:
    execution_id = await stage.engine.start(stage.steps(3), user="ada", durability="sync")
    await stage.entered.get()
    stage.journal.is_full = True
    stage.go_on.set()
    ended = await stage.engine.wait(execution_id, PATIENCE)
    assert (ended["status"], ended["result"]) == ("completed", 2)
    assert stage.journal.refused > 0


async def test_once_there_is_room_all_is_recorded_and_new_executions_are_taken(stage: Stage) -> None:
    waiting = await stage.engine.start(
        workflow(python("s0", "step", args={"number": 0}), approval("yes", needs=["s0"])), user="ada"
    )
    await stage.entered.get()
    stage.journal.is_full = True
    stage.go_on.set()
    await journal_is(stage.engine, "degraded")
    stage.journal.is_full = False
    await journal_is(stage.engine, "ok")
    execution_id = await stage.engine.start(line(2), user="ada", durability="sync")
    assert (await stage.engine.wait(execution_id, PATIENCE))["status"] == "completed"
    # That it began, that its step ended, that it waits: kept in memory meanwhile, and on disk now.
    assert stage.journal.seqs(waiting) == [1, 2, 3]
    assert (await line_of(stage.engine, "JournalActor"))["restarts"] == 0
    await stage.engine.service.cancel(waiting, caller=OPERATOR)


async def test_budget_that_is_used_up_refuses_new_executions_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offbook.persistence.group_journal.SIZE_EVERY", 1)
    monkeypatch.setattr("offbook.persistence.journal.KEPT_BYTES", 0)
    functions = FunctionRegistry()
    text = "words " * 50_000

    async def write(ctx: NodeContext) -> str:
        return text

    functions.register(write, "write")
    big = workflow(python("a", "write"), approval("yes", needs=["a"]))
    async with open_engine(tmp_path, functions, journal_budget=200_000) as engine:
        holder = await engine.start(big, user="ada", durability="sync")
        await journal_is(engine, "degraded")
        with pytest.raises(StorageUnavailable, match="more than 200000 bytes"):
            await engine.start(line(2), user="ada")
        # What is live is still recorded, and makes room when it is over.
        await engine.service.cancel(holder, caller=OPERATOR)
        assert (await engine.wait(holder, PATIENCE))["status"] == "cancelled"
        await journal_is(engine, "ok")
        execution_id = await engine.start(line(2), user="ada")
        assert (await engine.wait(execution_id, PATIENCE))["status"] == "completed"


async def test_disk_that_is_full_is_noticed_and_gets_room_again_once_something_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offbook.persistence.journal._open_file", on_a_small_disk(pages=80))
    functions = FunctionRegistry()

    async def write(ctx: NodeContext) -> str:
        return "words " * 20_000

    functions.register(write, "write")
    big = workflow(python("a", "write"), approval("yes", needs=["a"]))
    async with open_engine(tmp_path, functions) as engine:
        started = [await engine.start(big, user="ada", durability="sync") for _ in range(3)]
        await journal_is(engine, "degraded")
        fault = (await engine.service.ready())[1]["journal_fault"]
        assert "full" in fault
        # One of them ends: its records go, also from a segment that others need, and what waited for room is written.
        await engine.service.cancel(started[0], caller=OPERATOR)
        await journal_is(engine, "ok")
        for execution_id in started[1:]:
            await engine.service.signal(execution_id, "yes", {}, caller=OPERATOR)
            assert (await engine.wait(execution_id, PATIENCE))["status"] == "completed"


def on_a_small_disk(pages: int) -> Callable[[Path], SqlEngine]:
    """Open journals that can have so many pages of 4 KB, and then say that the disk is full, as SQLite does."""

    def open_file(path: Path) -> SqlEngine:
        engine = _open_file(path)

        @event.listens_for(engine, "connect")
        def limit(connection: Any, record: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        return engine

    return open_file


async def journal_is(engine: Engine, state: str) -> None:
    """Wait until the worker says so of its journal; each time it asks the database as well."""
    async with asyncio.timeout(PATIENCE):
        while True:
            _, report = await engine.service.ready()
            if report["journal"] == state:
                return
