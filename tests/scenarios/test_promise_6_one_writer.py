"""Promise 6: only an execution's own actor changes it, one command at a time, and older epochs are not heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from offbook.persistence.journal import SqlJournal
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.message_codec import encode
from offbook.workflows.messages import NodeFailed, NodeFinished, TakenUp, TimerFired
from offbook.workflows.records import ClaimExecution, JournalRecord
from offbook.workflows.values import NO_USAGE, NodeError
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, llm, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import Worker, of_the_run


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", level="WARNING")
    yield lines
    logger.remove(sink)


async def fail(worker: Worker, model: FakeModel) -> str:
    """Start a book whose chapter 1 fails when it is first asked, and hangs when it is asked again."""

    def reply(asked: Asked) -> Reply:
        if asked.prompt != "chapter 1.":
            return FINE
        return Reply(status=401) if asked.number == 1 else Reply(hangs=True)

    model.reply = reply
    execution_id = await worker.start(book())
    assert (await worker.rest(execution_id))["status"] == "failed"
    return execution_id


async def test_ten_resumes_at_once_start_one_run_and_give_one_answer(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await fail(worker, model)
    answers = await asyncio.gather(*(worker.command(execution_id, "resume") for _ in range(10)))
    assert {answer.status for answer in answers} == {202}
    assert all(answer.body == answers[0].body for answer in answers)
    assert answers[0].body["epoch"] == 2
    await model.until(lambda: model.under_way == 1)
    assert model.counts["chapter 1."] == 2
    await worker.command(execution_id, "cancel")
    payload = await worker.rest(execution_id)
    assert (payload["epoch"], payload["db_ops"]["writes"]) == (2, 4)
    assert model.counts["chapter 1."] == 2


async def test_resumes_at_once_of_an_execution_that_is_not_in_memory_start_one_run(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers, retain_seconds=0.0)
    execution_id = await fail(worker, model)
    await worker.evicted(execution_id)
    answers = await asyncio.gather(*(worker.command(execution_id, "resume") for _ in range(10)))
    assert [(answer.status, answer.body["epoch"]) for answer in answers] == [(202, 2)] * 10
    await model.until(lambda: model.under_way == 1)
    assert model.counts["chapter 1."] == 2
    await worker.command(execution_id, "cancel")
    assert (await worker.rest(execution_id))["db_ops"] == {"reads": 1, "writes": 4}


async def test_resume_of_what_runs_gives_the_same_answer_and_starts_nothing(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await fail(worker, model)
    first = await worker.command(execution_id, "resume")
    await model.until(lambda: model.under_way == 1)
    second = await worker.command(execution_id, "resume")
    assert (second.status, second.body) == (202, first.body)
    assert model.counts["chapter 1."] == 2
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_messages_of_an_older_epoch_change_nothing_and_are_counted(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await fail(worker, model)
    await worker.resume(execution_id)
    await model.until(lambda: model.under_way == 1)
    before = await worker.until(execution_id, lambda payload: payload["progress"]["current"] == ["chapters"])
    actor, now = worker.actor(execution_id), 2e9
    refused = (await worker.figures())["dead_letters"]
    for attempt in (1, 2):
        actor.tell(NodeFinished("chapters", 1, attempt, 1, "a forgery", NO_USAGE, now))
        actor.tell(NodeFailed("chapters", 1, attempt, 1, NodeError("crash", "a forgery"), now))
    actor.tell(TimerFired(1, now))
    assert of_the_run(await worker.status(execution_id)) == of_the_run(before)
    assert (await worker.figures())["dead_letters"] == refused + 5
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_message_of_an_attempt_that_is_not_in_flight_changes_nothing(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    before = await worker.rest(execution_id)
    worker.actor(execution_id).tell(NodeFinished("a", None, 1, 1, "twice", NO_USAGE, 2e9))
    assert of_the_run(await worker.status(execution_id)) == of_the_run(before)
    assert (await worker.call("GET", f"/executions/{execution_id}/nodes/a/output")).body == "a fine text"


async def test_two_workers_on_one_database_resume_an_execution_once(
    opened: Open, model: FakeModel, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'shared.db'}"
    first = await opened(folder="first", database=database, providers=model.providers)
    second = await opened(folder="second", database=database, providers=model.providers)
    execution_id = await fail(first, model)
    assert await second.resume(execution_id) == 2
    await model.until(lambda: model.under_way == 1)
    refused = await first.command(execution_id, "resume")
    assert (refused.status, refused.body["type"]) == (409, "/problems/not-resumable")
    assert model.counts["chapter 1."] == 2
    await second.command(execution_id, "cancel")
    assert (await second.rest(execution_id))["status"] == "cancelled"


async def test_worker_that_is_asked_for_what_another_runs_says_who_has_it_and_touches_nothing(
    opened: Open, closed: Close, model: FakeModel, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'shared.db'}"
    first = await opened(folder="first", database=database, providers=model.providers)
    second = await opened(folder="second", database=database, providers=model.providers)
    execution_id = await fail(first, model)
    await second.resume(execution_id)
    await model.until(lambda: model.under_way == 1)
    await closed(first)
    # What a process that was killed would have left: it is of no use now.
    journal = SqlJournal.in_folder(tmp_path / "first", (tmp_path / "first" / "worker_id").read_text())
    journal.commit([JournalRecord(execution_id, 99, encode(TakenUp(2, 0.0)))], {})
    journal.close()
    first = await opened(folder="first", database=database, providers=model.providers)
    shown = await first.status(execution_id)
    assert (shown["status"], shown["source"]) == ("running", "database")
    owner = (tmp_path / "second" / "worker_id").read_text()
    for command in ("cancel", "pause", "resume", "signals/x"):
        refused = await first.command(execution_id, command)
        assert refused.status == 409
        assert f"worker {owner} has it" in refused.body["detail"]
    assert (await first.command(execution_id, "fork")).status == 409
    assert (await first.call("DELETE", f"/executions/{execution_id}")).status == 409
    assert (model.under_way, model.counts["chapter 1."]) == (1, 2)
    await second.command(execution_id, "cancel")
    assert (await second.rest(execution_id))["status"] == "cancelled"
    assert (await first.status(execution_id))["status"] == "cancelled"


async def test_state_of_an_older_epoch_is_not_stored_and_is_counted_and_logged(
    opened: Open, model: FakeModel, said: list[str]
) -> None:
    """Another worker has taken the execution meanwhile: this one gives it up, and writes over nothing."""
    store = MemoryStore()
    worker = await opened(store=store, providers=model.providers)
    held = model.hold("go")
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    await model.until(lambda: model.under_way == 1)
    store.commit([ClaimExecution(execution_id, 7, "another worker", "running")])
    held.set()
    payload = await worker.evicted(execution_id)
    letters = (await worker.call("GET", "/actors")).body["dead_letters"]
    row = store.load_row(execution_id)
    assert row is not None
    assert (row.epoch, row.worker_id, row.status) == (7, "another worker", "running")
    assert payload["source"] == "database"
    assert letters["reasons"] == {"stale-write": 1}
    assert [line for line in said if line.startswith("state refused as stale")]


async def test_pauses_and_cancels_at_once_are_one_cancel(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(hangs=True)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    commands = ("pause", "cancel", "pause", "cancel")
    answers = await asyncio.gather(*(worker.command(execution_id, command) for command in commands))
    # A pause that comes when all has ended is told so.
    assert {answer.status for command, answer in zip(commands, answers, strict=True) if command == "cancel"} == {202}
    assert {answer.status for answer in answers} <= {202, 409}
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["db_ops"]["writes"]) == ("cancelled", 2)
