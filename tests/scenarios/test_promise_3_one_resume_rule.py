"""Promise 3: whatever stopped an execution, it goes on at what did not finish and repeats nothing that did.

The model's server counts what it is asked: what is asked twice would be billed twice.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, llm, output, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import Worker

CHAPTERS = 5
KEPT = ("outline", "chapter 0.", "chapter 1.")
"""Prompts that are answered before a story's accident."""
LATER = ("chapter 2.", "chapter 3.", "chapter 4.")

concurrencies = pytest.mark.parametrize("concurrency", [1, 3])


async def start_and_hang(worker: Worker, model: FakeModel, concurrency: int, **fields: Any) -> str:
    """Start a book that has two chapters, and as many calls in flight as there may be: they hang when first asked."""

    def reply(asked: Asked) -> Reply:
        return Reply(words=("half ", "of it"), hangs=asked.prompt in LATER[:concurrency] and asked.number == 1)

    model.reply = reply
    execution_id = await worker.start(book(chapters=CHAPTERS, concurrency=concurrency), **fields)
    await model.until(lambda: model.count("chapter") == 2 + concurrency)
    return execution_id


def billed(concurrency: int) -> dict[str, int]:
    """What the server was asked in all, when what was in flight had to be asked for again."""
    again = LATER[:concurrency]
    return {**dict.fromkeys(KEPT, 1), **{prompt: 2 if prompt in again else 1 for prompt in LATER}}


def check_finished(payload: JsonObject) -> None:
    assert payload["status"] == "completed", payload["error"]
    assert payload["result"].count(" / ") == CHAPTERS - 1
    assert payload["node_results"]["chapters"]["items"] == {"completed": CHAPTERS, "failed": 0, "total": CHAPTERS}
    assert payload["node_results"]["outline"]["attempt"] == 1


@concurrencies
async def test_after_a_failure_the_failed_item_is_asked_again_and_no_other(
    opened: Open, model: FakeModel, concurrency: int
) -> None:
    worker = await opened(providers=model.providers)
    all_in_flight, failure_seen = asyncio.Event(), asyncio.Event()

    def reply(asked: Asked) -> Reply:
        if asked.prompt == "chapter 2." and asked.number == 1:
            return Reply(status=401, error="no such key", waits_for=all_in_flight)
        return Reply(waits_for=failure_seen) if asked.prompt in LATER else FINE

    model.reply = reply
    execution_id = await worker.start(book(chapters=CHAPTERS, concurrency=concurrency))
    await model.until(lambda: model.count("chapter") == 2 + concurrency)
    all_in_flight.set()
    await worker.until(execution_id, lambda payload: payload["node_results"]["chapters"]["items"]["failed"] == 1)
    failure_seen.set()
    failed = await worker.rest(execution_id)
    assert (failed["status"], failed["error"]["node_id"], failed["error"]["item"]) == ("failed", "chapters", 2)
    # What was in flight beside the failure is paid for and kept; nothing new was begun.
    assert failed["node_results"]["chapters"]["items"]["completed"] == 1 + concurrency
    assert model.count("chapter") == 2 + concurrency
    await worker.resume(execution_id)
    check_finished(await worker.rest(execution_id))
    assert model.counts == {**dict.fromkeys((*KEPT, *LATER), 1), "chapter 2.": 2}


@concurrencies
async def test_after_a_cancel_what_was_in_flight_is_asked_again_and_nothing_else(
    opened: Open, model: FakeModel, concurrency: int
) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await start_and_hang(worker, model, concurrency)
    assert (await worker.command(execution_id, "cancel")).status == 202
    assert (await worker.rest(execution_id))["status"] == "cancelled"
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    check_finished(payload)
    assert model.counts == billed(concurrency)
    assert (payload["receipt"]["kept_nodes"], payload["receipt"]["kept_items"]) == (1, 2)


@concurrencies
async def test_after_a_pause_nothing_at_all_is_asked_again(opened: Open, model: FakeModel, concurrency: int) -> None:
    worker = await opened(providers=model.providers)
    paused = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=paused) if asked.prompt in LATER else FINE
    execution_id = await worker.start(book(chapters=CHAPTERS, concurrency=concurrency))
    await model.until(lambda: model.count("chapter") == 2 + concurrency)
    assert (await worker.command(execution_id, "pause")).status == 202
    paused.set()
    rested = await worker.rest(execution_id)
    assert (rested["status"], rested["checkpoint"]["saved"]) == ("paused", True)
    assert rested["node_results"]["chapters"]["items"]["completed"] == 2 + concurrency
    await worker.resume(execution_id)
    check_finished(await worker.rest(execution_id))
    assert model.counts == dict.fromkeys((*KEPT, *LATER), 1)


@concurrencies
@pytest.mark.parametrize("goes_on", [True, False])
async def test_after_a_shutdown_a_new_worker_asks_again_only_what_was_in_flight(
    opened: Open, closed: Close, model: FakeModel, concurrency: int, goes_on: bool
) -> None:
    first = await opened(providers=model.providers)
    execution_id = await start_and_hang(first, model, concurrency)
    await closed(first)
    second = await opened(providers=model.providers, goes_on=goes_on)
    if not goes_on:
        stored = await second.status(execution_id)
        assert (stored["status"], stored["source"], stored["checkpoint"]["saved"]) == (
            "interrupted",
            "database",
            True,
        )
        await second.resume(execution_id)
    payload = await second.rest(execution_id)
    check_finished(payload)
    assert model.counts == billed(concurrency)
    # A repeat is no new attempt, and is owned up to.
    assert payload["node_results"]["chapters"]["attempt"] == 1
    assert payload["receipt"]["repeated_calls"] == concurrency


@concurrencies
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_after_a_crash_of_its_actor_it_asks_again_only_what_was_in_flight(
    opened: Open, model: FakeModel, concurrency: int, durability: str
) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await start_and_hang(worker, model, concurrency, durability=durability)
    worker.crash(execution_id)
    payload = await worker.rest(execution_id)
    check_finished(payload)
    assert (payload["epoch"], payload["receipt"]["repeated_calls"]) == (2, concurrency)
    assert model.counts == billed(concurrency)
    assert model.hung_up == concurrency


async def test_from_memory_and_from_the_database_it_goes_on_at_the_same_place(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    asked: list[dict[str, int]] = []
    for new_worker in (False, True):
        model.asked.clear()
        model.reply = lambda each: Reply(status=401) if each.prompt == "chapter 2." and each.number == 1 else FINE
        worker = await opened(providers=model.providers)
        execution_id = await worker.start(book(chapters=CHAPTERS))
        assert (await worker.rest(execution_id))["status"] == "failed"
        if new_worker:
            await closed(worker)
            worker = await opened(providers=model.providers)
        await worker.resume(execution_id)
        check_finished(await worker.rest(execution_id))
        await closed(worker)
        asked.append(model.counts)
    assert asked[0] == asked[1] == {**dict.fromkeys((*KEPT, *LATER), 1), "chapter 2.": 2}


async def test_branches_beside_the_failed_node_are_kept(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    failure_seen = asyncio.Event()

    def reply(asked: Asked) -> Reply:
        if asked.prompt == "plot" and asked.number == 1:
            return Reply(status=403)
        return Reply(waits_for=failure_seen) if asked.prompt == "world" else FINE

    model.reply = reply
    execution_id = await worker.start(
        workflow(
            llm("world", "world", model="fake/writer"),
            llm("plot", "plot", model="fake/writer"),
            llm("people", "people", model="fake/writer", needs=["world"]),
            output("all", "{{ nodes.people.output }}", needs=["plot", "people"]),
        )
    )
    await worker.until(execution_id, lambda payload: payload["node_results"]["plot"]["status"] == "failed")
    failure_seen.set()
    failed = await worker.rest(execution_id)
    assert failed["checkpoint"]["completed_nodes"] == ["world"]
    assert model.count("people") == 0
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert model.counts == {"world": 1, "plot": 2, "people": 1}
