"""The database goes away while executions run: they go on, the status says what is not saved, nothing is masked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from loguru import logger

from offbook.persistence.memory_journal import MemoryJournal
from offbook.workflows.records import ExecutionFilter
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.unreachable_store import UnreachableStore
from tests.scenarios.worker import ADA, PATIENCE, Worker


def refuse_chapter_1(model: FakeModel) -> None:
    """Have chapter 1 refused when it is first asked."""
    model.reply = lambda asked: (
        Reply(status=401, error="no such key") if (asked.prompt, asked.number) == ("chapter 1.", 1) else FINE
    )


async def failed_while_away(store: UnreachableStore, opened: Open, model: FakeModel) -> tuple[Worker, JsonObject]:
    """Have an execution fail at chapter 1 while the store is away; gives its worker and its status."""
    worker = await opened(store=store, providers=model.providers)
    refuse_chapter_1(model)
    held = model.hold("chapter 0.")
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 0.") == 1)
    store.go_away()
    held.set()
    return worker, await worker.until_status(execution_id, "failed")


async def test_failure_while_it_is_away_keeps_its_own_error_and_is_saved_once_it_is_back(
    opened: Open, model: FakeModel
) -> None:
    store = UnreachableStore()
    worker, failed = await failed_while_away(store, opened, model)
    execution_id = failed["execution_id"]
    assert (failed["error"]["type"], failed["error"]["node_id"], failed["error"]["item"]) == (
        "invalid_key",
        "chapters",
        1,
    )
    assert failed["checkpoint"] == {"saved": False, "failed_at_node": "chapters", "completed_nodes": ["outline"]}
    await asyncio.to_thread(store.refused.wait, PATIENCE)
    store.come_back()
    saved = await worker.rest(execution_id)
    assert saved["checkpoint"]["saved"] is True
    assert saved["error"] == failed["error"]
    assert (await worker.checkpoint(execution_id))["failed_node"] == "chapters"


async def test_checkpoint_that_cannot_be_stored_yet_is_shown_from_memory_as_it_will_be(
    opened: Open, model: FakeModel
) -> None:
    store = UnreachableStore()
    worker, failed = await failed_while_away(store, opened, model)
    execution_id = failed["execution_id"]
    async with asyncio.timeout(PATIENCE):
        shown = await worker.checkpoint(execution_id)
    assert (shown["saved"], shown["status"], shown["failed_node"]) == (False, "failed", "chapters")
    assert shown["execution_user"] == ADA
    assert shown["node_outputs"] == {"outline": "a fine text"}
    assert shown["item_outputs"] == {"chapters": {"0": "a fine text"}}
    store.come_back()
    await worker.rest(execution_id)
    stored = await worker.checkpoint(execution_id)
    assert stored == {**shown, "saved": True, "state": stored["state"]}
    assert stored["state"]["nodes"] == shown["state"]["nodes"]


async def test_completion_while_it_is_away_is_shown_and_stored_once_it_is_back(
    opened: Open, model: FakeModel
) -> None:
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers, retain_seconds=0.0)
    held = model.hold("chapter 2.")
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 2.") == 1)
    store.go_away()
    held.set()
    completed = await worker.until_status(execution_id, "completed")
    # It stays in memory for as long as it is nowhere else.
    assert (completed["source"], completed["result"]) == ("memory", "a fine text / a fine text / a fine text")
    await asyncio.to_thread(store.refused.wait, PATIENCE)
    store.come_back()
    stored = await worker.evicted(execution_id)
    assert (stored["status"], stored["result"]) == ("completed", completed["result"])
    assert store.transactions()[1] == 2


async def test_start_while_it_is_away_is_refused_and_starts_nothing(opened: Open, model: FakeModel) -> None:
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    store.go_away()
    refused = await worker.call("POST", "/executions", {"workflow": book(), "user": ADA})
    assert (refused.status, refused.body["type"]) == (503, "/problems/storage-unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert model.asked == []
    store.come_back()
    assert (await worker.rest(await worker.start(book())))["status"] == "completed"
    assert [row["status"] for row in (await worker.call("GET", "/executions")).body["executions"]] == ["completed"]


async def test_start_that_was_stored_and_refused_all_the_same_is_taken_back_before_it_spends_anything(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    """The database stored it, and went away before it said so: nobody knew, and its sender heard 503."""
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    store.go_away_after_the_next()
    body = {"workflow": book(), "user": ADA}
    refused = await worker.call("POST", "/executions", body, Idempotency_Key="monday")
    assert (refused.status, refused.body["type"]) == (503, "/problems/storage-unavailable")
    assert len(store.list_executions(ExecutionFilter(), before=None, limit=9)) == 1
    again = await worker.call("POST", "/executions", body, Idempotency_Key="monday")
    assert again.status == 503
    store.come_back()
    accepted = await worker.call("POST", "/executions", body, Idempotency_Key="monday")
    assert accepted.status == 202
    execution_id = accepted.body["execution_id"]
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert [row.execution_id for row in store.list_executions(ExecutionFilter(), before=None, limit=9)] == [
        execution_id
    ]
    # Nothing of the other is left that a later process would go on with.
    await closed(worker)
    later = await opened(store=store, providers=model.providers)
    await later.engine.service.recovered()
    assert set(model.counts.values()) == {1}


async def test_worker_that_starts_while_it_is_away_goes_on_once_it_is_back(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    store = UnreachableStore()
    first = await opened(store=store, providers=model.providers)
    held = model.hold("chapter 1.")
    execution_id = await first.start(book())
    await model.until(lambda: model.count("chapter 1.") == 1)
    await closed(first)
    store.reads_too = True
    store.go_away()
    async with store_comes_back_after_a_refusal(store):
        second = await opened(store=store, providers=model.providers)
        # Answered once it can be: the question waits for the recovery, which waits for the database.
        seen = await second.status(execution_id)
    held.set()
    assert (seen["epoch"], seen["node_results"]["outline"]["status"]) == (2, "completed")
    assert (await second.rest(execution_id))["status"] == "completed"
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}


@asynccontextmanager
async def store_comes_back_after_a_refusal(store: UnreachableStore) -> AsyncIterator[None]:
    """Have a store come back once it has refused somebody."""

    async def come_back() -> None:
        assert await asyncio.to_thread(store.refused.wait, PATIENCE)
        store.come_back()

    coming = asyncio.create_task(come_back())
    yield
    await coming


async def test_resume_while_it_is_away_is_refused_and_can_be_asked_for_again(opened: Open, model: FakeModel) -> None:
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    refuse_chapter_1(model)
    execution_id = await worker.start(book())
    failed = await worker.rest(execution_id)
    store.go_away()
    refused = await worker.command(execution_id, "resume")
    assert (refused.status, refused.body["type"]) == (503, "/problems/storage-unavailable")
    still = await worker.status(execution_id)
    assert (still["status"], still["error"]) == ("failed", failed["error"])
    assert (await worker.figures())["live_calls"] == 0
    store.come_back()
    # Whether the claim had been stored is not known for sure: an epoch of its own says that it has failed.
    assert (await worker.rest(execution_id))["checkpoint"]["saved"] is True
    assert await worker.resume(execution_id) > still["epoch"]
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert model.counts["chapter 1."] == 2


async def test_resume_of_what_could_not_be_saved_goes_on_from_memory(opened: Open, model: FakeModel) -> None:
    store = UnreachableStore()
    worker, failed = await failed_while_away(store, opened, model)
    execution_id = failed["execution_id"]
    await asyncio.to_thread(store.refused.wait, PATIENCE)
    store.come_back()
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["epoch"]) == ("completed", 2)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}


FROM_THE_JOURNAL = "the next start goes on from the journal"
FROM_THE_CHECKPOINT = "the next start goes on from the last checkpoint, or begins again: there is no journal of these"


@pytest.mark.parametrize(
    ("durabilities", "goes_on"),
    [
        (("async", "sync"), [(FROM_THE_JOURNAL, 2)]),
        (("exit", "async", "exit"), [(FROM_THE_JOURNAL, 1), (FROM_THE_CHECKPOINT, 2)]),
        (("exit",), [(FROM_THE_CHECKPOINT, 1)]),
    ],
)
async def test_worker_that_cannot_store_what_is_live_is_given_that_time_once_and_says_how_each_goes_on(
    opened: Open,
    closed: Close,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    durabilities: tuple[str, ...],
    goes_on: list[tuple[str, int]],
) -> None:
    monkeypatch.setattr("offbook.engine.DRAIN_SECONDS", 0.2)
    store = UnreachableStore()
    worker = await opened(store=store, journal=MemoryJournal(), providers=model.providers)
    assert (await worker.rest(await worker.start(book())))["status"] == "completed"
    model.hold("chapter 1.")
    for durability in durabilities:
        await worker.start(book(), durability=durability)
    await model.until(lambda: model.count("chapter 1.") == 1 + len(durabilities))
    store.go_away()
    said: list[tuple[str, int]] = []
    sink = logger.add(
        lambda line: said.append((line.record["message"], line.record["extra"].get("executions", 0))), level="ERROR"
    )
    worker.engine.request_stop(0.0)
    await worker.engine.drain()
    await closed(worker)
    logger.remove(sink)
    assert [line for line in said if line[0].startswith(("drain", "the next start"))] == [
        ("drain took too long: not everything is stored", 0),
        *goes_on,
    ]
    assert store.refused.is_set()


async def test_readiness_says_that_it_is_away_and_health_does_not_care(opened: Open) -> None:
    store = UnreachableStore()
    worker = await opened(store=store)
    assert (await worker.call("GET", "/readyz")).status == 200
    store.go_away()
    ready = await worker.call("GET", "/readyz")
    assert (ready.status, ready.body["database"]) == (503, "the disk has been pulled out")
    assert (await worker.call("GET", "/healthz")).status == 200
