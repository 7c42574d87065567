"""What a Supervisor does when the actors beside it crash: restart, drop what is poison, or end the worker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from offbook.actors.restart_intensity import FIRST_DELAY
from offbook.actors.supervisor_crashes import SERVICE_RESTARTS
from offbook.engine import Engine, WorkerFailed
from offbook.workflows.caller import OPERATOR
from offbook.workflows.messages import NodeFinished
from offbook.workflows.values import NO_USAGE, JsonObject
from tests.actors.embedded import StumblingJournal, StumblingStore, line_of, open_engine
from tests.chaos.lives import Lives
from tests.scenarios.documents import approval, line, output, template, workflow

PATIENCE = 60.0
STEPS = 6


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_journal_actor_that_crashes_is_restarted_and_no_record_is_lost(tmp_path: Path, moment: str) -> None:
    journal = StumblingJournal()
    async with open_engine(tmp_path, store=StumblingStore(), journal=journal) as engine:
        if moment == "before":
            journal.crashes_before = 2
        else:
            journal.crashes_after = 2
        execution_id = await engine.start(line(STEPS), user="ada", durability="sync")
        status = await engine.wait(execution_id, PATIENCE)
        seen = await line_of(engine, "JournalActor")
    assert status["status"] == "completed"
    assert (seen["restarts"], seen["last_reason"]) == (2, f"RuntimeError: stumbled {moment} the commit")
    # That it began, and each step whose end let another begin: all were on disk, in order and without a gap. The
    # last one need not have been, once the result is in the database.
    assert journal.seqs(execution_id)[:STEPS] == list(range(1, STEPS + 1))


async def test_actor_that_crashes_again_is_left_longer_each_time(tmp_path: Path) -> None:
    journal = StumblingJournal()
    async with open_engine(tmp_path, store=StumblingStore(), journal=journal) as engine:
        journal.crashes_before = 3
        began = time.monotonic()
        execution_id = await engine.start(line(2), user="ada", durability="sync")
        await engine.wait(execution_id, PATIENCE)
        assert time.monotonic() - began >= 0.9 * sum(FIRST_DELAY * 2**crash for crash in range(3))


async def test_persistence_actor_that_crashes_is_restarted_and_everybody_hears_of_their_write(tmp_path: Path) -> None:
    store = StumblingStore()
    async with open_engine(tmp_path, store=store, journal=StumblingJournal()) as engine:
        store.forgets = 3
        started = await asyncio.gather(*(engine.start(line(2), user="ada") for _ in range(20)))
        ended = [await engine.wait(execution_id, PATIENCE) for execution_id in started]
        seen = await line_of(engine, "PersistenceActor")
    assert len(set(started)) == 20
    assert [each["status"] for each in ended] == ["completed"] * 20
    assert seen["restarts"] == 3
    assert seen["last_reason"].startswith("ValueError")


async def test_message_that_crashes_its_actor_twice_is_dropped_and_listed_as_a_dead_letter(tmp_path: Path) -> None:
    async with open_engine(tmp_path, store=StumblingStore(), journal=StumblingJournal()) as engine:
        engine.service._around.persistence.tell("what no persistence can store")
        execution_id = await engine.start(line(2), user="ada")
        assert (await engine.wait(execution_id, PATIENCE))["status"] == "completed"
        letters = (await engine.service.actors())["dead_letters"]
        seen = await line_of(engine, "PersistenceActor")
    assert letters["reasons"] == {"poison": 1}
    assert "persistence crashed twice of str" in letters["latest"][0]["detail"]
    assert seen["restarts"] == 2


async def test_actor_that_crashes_too_often_ends_the_worker(tmp_path: Path) -> None:
    journal = StumblingJournal()
    store = StumblingStore()
    async with open_engine(tmp_path, store=store, journal=journal) as engine:
        journal.crashes_before = 1_000_000
        execution_id = await engine.start(line(STEPS), user="ada", durability="sync")
        with pytest.raises(WorkerFailed, match=r"the journal actor crashed 6 times within 60 s") as failed:
            await asyncio.wait_for(engine.stop_requested(), PATIENCE)
        assert "start it again" in str(failed.value)
        assert (await line_of(engine, "JournalActor"))["restarts"] == SERVICE_RESTARTS
    # The next worker over the same database goes on with it.
    async with open_engine(tmp_path, store=store, journal=StumblingJournal()) as engine:
        assert (await engine.wait(execution_id, PATIENCE))["status"] == "completed"


async def test_served_worker_that_cannot_go_on_says_why_and_exits_with_an_error(tmp_path: Path) -> None:
    broken = Lives(tmp_path, "--import", "tests.actors.broken.journal")
    await broken.start()
    async with aiohttp.ClientSession() as session:
        execution_id = await _start(
            session, broken.url, workflow(template("a", "text"), approval("yes", needs=["a"]))
        )
        assert await broken.ended() == 1
        said = broken.log.read_text()
        assert "error: this worker cannot go on: the journal actor crashed 6 times" in said
        assert "RuntimeError: a fault of the program" in said
        assert "Traceback" not in said.rpartition("error: this worker")[2]
        mended = Lives(tmp_path)
        await mended.start()
        async with asyncio.timeout(PATIENCE):
            status = await _status(session, mended.url, execution_id)
            while status["status"] != "waiting":
                status = await _status(session, mended.url, execution_id, f"?since={status['revision']}&wait=10")
        await session.post(f"{mended.url}/executions/{execution_id}/cancel")
        assert await mended.terminate() == 0


async def test_supervisor_that_crashes_ends_the_worker(tmp_path: Path) -> None:
    async with open_engine(tmp_path, store=StumblingStore(), journal=StumblingJournal()) as engine:
        engine.service._around.supervisor.tell("what no supervisor understands")
        with pytest.raises(WorkerFailed, match="the supervisor crashed"):
            await asyncio.wait_for(engine.stop_requested(), PATIENCE)


async def test_dead_letters_are_counted_all_and_the_latest_of_them_kept(tmp_path: Path) -> None:
    async with open_engine(tmp_path, store=StumblingStore(), journal=StumblingJournal()) as engine:
        execution_id = await engine.start(workflow(approval("yes"), output("o", "x", needs=["yes"])), user="ada")
        before = await _waiting(engine, execution_id)
        entry = engine.service._directory.find(execution_id)
        assert entry is not None
        assert entry.ref is not None
        for attempt in range(250):
            entry.ref.tell(NodeFinished("yes", None, attempt, 99, "from another epoch", NO_USAGE, 0.0))
        after = await engine.status(execution_id)
        letters = (await engine.service.actors())["dead_letters"]
        await engine.service.cancel(execution_id, caller=OPERATOR)
    assert (letters["count"], letters["reasons"]) == (250, {"stale": 250})
    assert len(letters["latest"]) == 200
    assert {letter["execution_id"] for letter in letters["latest"]} == {execution_id}
    assert "epoch 99" in letters["latest"][0]["detail"]
    assert (after["status"], after["revision"]) == (before["status"], before["revision"])


@pytest.mark.parametrize("seen", ["dying", "restarting"])
async def test_long_poll_waits_for_the_restart_of_a_crashed_actor(tmp_path: Path, seen: str) -> None:
    async with open_engine(tmp_path, store=StumblingStore(), journal=StumblingJournal()) as engine:
        execution_id = await engine.start(workflow(approval("yes")), user="ada")
        shown = await _waiting(engine, execution_id)
        entry = engine.service._directory.find(execution_id)
        assert entry is not None
        assert entry.ref is not None
        entry.ref.tell("what no execution understands")
        meanwhile = await engine.status(execution_id) if seen == "restarting" else shown
        answer = await engine.service.status(execution_id, caller=OPERATOR, since=shown["revision"], wait=PATIENCE)
        after = await engine.status(execution_id)
        await engine.service.cancel(execution_id, caller=OPERATOR)
    assert meanwhile["status"] == ("recovering" if seen == "restarting" else "waiting")
    assert answer.revision > shown["revision"]
    assert (after["epoch"], entry.restarts) == (2, 1)


async def test_actors_show_who_supervises_whom(tmp_path: Path) -> None:
    async with open_engine(tmp_path) as engine:
        execution_id = await engine.start(workflow(approval("yes")), user="ada")
        lines = (await engine.service.actors())["actors"]
        await engine.service.cancel(execution_id, caller=OPERATOR)
    tree = {line["class"]: (line["name"], line["parent"], line["state"]) for line in lines}
    assert tree["Supervisor"] == ("supervisor", None, "running")
    assert tree["PersistenceActor"] == ("persistence", "supervisor", "running")
    assert tree["JournalActor"] == ("journal", "supervisor", "running")
    assert tree["ExecutionActor"][1] == "supervisor"
    assert all(line["restarts"] == 0 and line["last_reason"] == "" for line in lines)


async def _waiting(engine: Engine, execution_id: str) -> JsonObject:
    """Follow an execution until it waits for a person."""
    async with asyncio.timeout(PATIENCE):
        while (status := await engine.status(execution_id))["status"] != "waiting":
            since = status["revision"]
            await engine.service.status(execution_id, caller=OPERATOR, since=since, wait=PATIENCE)
    return status


async def _start(session: aiohttp.ClientSession, url: str, document: JsonObject) -> str:
    body = {"workflow": document, "user": {"id": "ada"}}
    async with session.post(f"{url}/executions", json=body) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["execution_id"])


async def _status(session: aiohttp.ClientSession, url: str, execution_id: str, query: str = "") -> JsonObject:
    async with session.get(f"{url}/status/{execution_id}{query}") as response:
        status: JsonObject = await response.json()
        return status
