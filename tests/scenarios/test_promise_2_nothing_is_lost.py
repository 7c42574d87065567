"""Promise 2: what is answered with 202 is on disk by then. What killed processes lose is in `test_processes`."""

from __future__ import annotations

import asyncio

import pytest

from offbook.workflows.records import ClaimExecution
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, foreach, llm, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.held import HeldJournal, HeldStore
from tests.scenarios.worker import ADA, Worker


async def test_start_is_accepted_and_begun_once_it_is_stored(opened: Open, model: FakeModel) -> None:
    store = HeldStore()
    worker = await opened(store=store, providers=model.providers)
    store.hold.close()
    starting = asyncio.create_task(worker.call("POST", "/executions", {"workflow": book(), "user": ADA}))
    await asyncio.to_thread(store.hold.reached.wait)
    assert (await worker.call("GET", "/healthz")).status == 200
    assert not starting.done()
    assert model.asked == []
    store.hold.open()
    answer = await starting
    assert answer.status == 202
    assert (await worker.rest(answer.body["execution_id"]))["status"] == "completed"


async def test_resume_is_accepted_and_begun_once_its_claim_is_stored(opened: Open, model: FakeModel) -> None:
    store = HeldStore()
    worker = await opened(store=store, providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.number == 1 else FINE
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    await worker.rest(execution_id)
    store.hold.close()
    resuming = asyncio.create_task(worker.resume(execution_id))
    await asyncio.to_thread(store.hold.reached.wait)
    payload = await worker.status(execution_id)
    assert (payload["status"], payload["epoch"], resuming.done(), len(model.asked)) == ("failed", 1, False, 1)
    store.hold.open()
    assert await resuming == 2
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_delete_of_what_has_just_ended_waits_until_it_is_stored(opened: Open, model: FakeModel) -> None:
    store = HeldStore()
    worker = await opened(store=store, providers=model.providers)
    may_end = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=may_end)
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    store.hold.close()
    may_end.set()
    await worker.until_status(execution_id, "completed")
    deleting = asyncio.create_task(worker.call("DELETE", f"/executions/{execution_id}"))
    await asyncio.to_thread(store.hold.reached.wait)
    assert (await worker.call("GET", "/healthz")).status == 200
    assert not deleting.done()
    store.hold.open()
    assert (await deleting).status == 204
    assert (await worker.call("GET", f"/status/{execution_id}")).status == 404


@pytest.mark.parametrize("goes_on", [True, False])
async def test_resume_whose_claim_was_stored_and_that_was_never_begun_is_not_lost(
    opened: Open, closed: Close, model: FakeModel, goes_on: bool
) -> None:
    """A worker goes on with it by itself; a command line, which does not, can resume it."""
    store = HeldStore()
    first = await opened(store=store, providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.number == 1 else FINE
    execution_id = await first.start(workflow(llm("a", "go", model="fake/writer")))
    await first.rest(execution_id)
    worker_id = first.engine.service._around.worker_id
    await closed(first)
    store.commit([ClaimExecution(execution_id, 2, worker_id, "running")])
    second = await opened(store=store, providers=model.providers, goes_on=goes_on)
    if not goes_on:
        assert len(model.asked) == 1
        await second.resume(execution_id)
    await second.until_status(execution_id, "completed")
    # The insert, the failure, the claim, and the end; a resume by hand claims it again.
    assert (await second.rest(execution_id))["db_ops"] == {"reads": 1, "writes": 4 if goes_on else 5}
    assert len(model.asked) == 2


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize(("command", "body"), [("cancel", None), ("signals/gate", {"fine": True})])
async def test_command_is_accepted_once_it_is_recorded_in_every_mode(
    opened: Open, durability: str, command: str, body: JsonObject | None
) -> None:
    journal = HeldJournal()
    worker = await opened(store=HeldStore(), journal=journal)
    execution_id = await worker.start(workflow(approval("gate"), approval("other")), durability=durability)
    await worker.until_status(execution_id, "waiting")
    journal.hold.close()
    asking = asyncio.create_task(worker.command(execution_id, command, body))
    await asyncio.to_thread(journal.hold.reached.wait)
    if command != "cancel":
        # A cancel brings it to rest, and what is stored at rest is as good as a record.
        assert (await worker.call("GET", "/healthz")).status == 200
        assert not asking.done()
    journal.hold.open()
    assert (await asking).status == 202
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


@pytest.mark.parametrize(
    ("written", "asked", "kept"),
    [(None, None, "async"), ("exit", None, "exit"), ("exit", "sync", "sync"), (None, "exit", "exit")],
)
async def test_durability_is_what_is_asked_for_or_else_the_workflows(
    worker: Worker, written: str | None, asked: str | None, kept: str
) -> None:
    document: JsonObject = workflow(approval("yes"))
    if written is not None:
        document["durability"] = written
    execution_id = await worker.start(document, durability=asked)
    payload = await worker.until_status(execution_id, "waiting")
    assert payload["durability"] == kept
    # What is not a command is recorded in all modes but one.
    assert payload["journal"]["records"] == (0 if kept == "exit" else 2)
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_repeated_command_does_not_wait_for_records_that_came_after_it(opened: Open, model: FakeModel) -> None:
    journal = HeldJournal()
    worker = await opened(store=HeldStore(), journal=journal, providers=model.providers)
    held = [model.hold(f"item {number}") for number in range(2)]
    do = llm("each", "item {{ index }}", model="fake/writer")
    execution_id = await worker.start(workflow(foreach("all", do, count=3, concurrency=2)))
    await model.until(lambda: model.under_way == 2)
    assert (await worker.command(execution_id, "pause")).status == 202
    journal.hold.close()
    held[0].set()
    await worker.until(execution_id, lambda payload: payload["node_results"]["all"]["items"]["completed"] == 1)
    assert (await worker.command(execution_id, "pause")).status == 202
    journal.hold.open()
    held[1].set()
    assert (await worker.rest(execution_id))["status"] == "paused"


async def test_sync_starts_nothing_before_what_led_to_it_is_recorded(opened: Open, model: FakeModel) -> None:
    journal = HeldJournal()
    worker = await opened(store=HeldStore(), journal=journal, providers=model.providers)
    held = model.hold("first")
    document = workflow(
        llm("first", "first", model="fake/writer"), llm("second", "second", model="fake/writer", needs=["first"])
    )
    execution_id = await worker.start(document, durability="sync")
    await model.until(lambda: model.under_way == 1)
    journal.hold.close()
    held.set()
    await worker.until(execution_id, lambda payload: payload["node_results"]["first"]["status"] == "completed")
    assert (await worker.figures())["live_calls"] == 0
    assert model.counts == {"first": 1}
    journal.hold.open()
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert model.counts == {"first": 1, "second": 1}
