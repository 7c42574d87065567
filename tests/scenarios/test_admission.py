"""Admission: so many executions at once, a queue in order behind them, and a clear answer past that."""

from __future__ import annotations

import asyncio

from tests.scenarios.conftest import Open
from tests.scenarios.documents import book, llm, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.worker import ADA


def asking(prompt: str) -> dict[str, object]:
    return workflow(llm("a", prompt, model="fake/writer"))


async def test_queue_is_taken_in_order_as_places_become_free(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=2, max_queued=3)
    model.reply = lambda asked: Reply(hangs=asked.prompt in ("first", "second"))
    ids = {prompt: await worker.start(asking(prompt)) for prompt in ("first", "second", "third", "fourth", "fifth")}
    await model.until(lambda: model.under_way == 2)
    assert [each.prompt for each in model.asked] == ["first", "second"]
    for prompt in ("third", "fourth", "fifth"):
        assert (await worker.status(ids[prompt]))["status"] == "queued"
    figures = await worker.figures()
    assert (figures["executions"]["queued"], figures["executions"]["running"]) == (3, 2)
    await worker.command(ids["first"], "cancel")
    for prompt in ("third", "fourth", "fifth"):
        assert (await worker.rest(ids[prompt]))["status"] == "completed"
    assert [each.prompt for each in model.asked] == ["first", "second", "third", "fourth", "fifth"]
    await worker.command(ids["second"], "cancel")
    await worker.rest(ids["second"])


async def test_past_the_queue_is_over_capacity_and_nothing_is_stored(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=1, max_queued=0)
    model.reply = lambda asked: Reply(hangs=asked.prompt == "first")
    first = await worker.start(asking("first"))
    before = await worker.transactions()
    refused = await worker.call("POST", "/executions", {"workflow": asking("second"), "user": ADA})
    assert (refused.status, refused.body["type"]) == (429, "/problems/over-capacity")
    assert int(refused.headers["Retry-After"]) >= 1
    assert await worker.transactions() == before
    await worker.command(first, "cancel")
    await worker.rest(first)
    assert (await worker.rest(await worker.start(asking("second"))))["status"] == "completed"


async def test_place_in_the_queue_is_given_back_by_a_cancel(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=1, max_queued=1)
    model.reply = lambda asked: Reply(hangs=asked.prompt == "first")
    first, second = await worker.start(asking("first")), await worker.start(asking("second"))
    await worker.command(second, "cancel")
    await worker.rest(second)
    third = await worker.start(asking("third"))
    await worker.command(first, "cancel")
    assert (await worker.rest(third))["status"] == "completed"
    assert model.count("second") == 0


async def test_resume_is_not_turned_away_by_a_full_worker(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=1, max_queued=0)
    model.reply = lambda asked: Reply(status=401) if (asked.prompt, asked.number) == ("chapter 1.", 1) else FINE
    failed = await worker.start(book())
    await worker.rest(failed)
    before, model.reply = model.reply, lambda asked: Reply(hangs=asked.prompt == "first")
    running = await worker.start(asking("first"))
    model.reply = before
    await worker.resume(failed)
    assert (await worker.rest(failed))["status"] == "completed"
    await worker.command(running, "cancel")
    await worker.rest(running)


async def test_crashed_execution_keeps_its_place(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=1, max_queued=1)
    model.reply = lambda asked: Reply(hangs=asked.prompt == "first")
    first, second = await worker.start(asking("first")), await worker.start(asking("second"))
    await model.until(lambda: model.under_way == 1)
    worker.crash(first)
    await model.until(lambda: model.count("first") == 2)
    assert (await worker.status(second))["status"] == "queued"
    await worker.command(first, "cancel")
    assert (await worker.rest(second))["status"] == "completed"


async def test_calls_at_once_are_bounded_over_all_executions(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_calls=3)
    model.reply = lambda asked: Reply(hangs=True)
    ids = [await worker.start(book()) for _ in range(8)]
    await worker.until_figures(live_calls=3, queued_calls=5)
    await model.until(lambda: model.under_way == 3)
    assert len(model.asked) == 3
    await asyncio.gather(*(worker.command(execution_id, "cancel") for execution_id in ids))
    for execution_id in ids:
        assert (await worker.rest(execution_id))["status"] == "cancelled"
    await worker.until_figures(live_calls=0, queued_calls=0)
