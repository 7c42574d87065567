"""Many at once: a worker that goes away stores them together, and the next takes up no more than it may run."""

from __future__ import annotations

import asyncio

from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.records import ExecutionFilter
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, llm, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply

MANY = 8
PLACES = 2


async def test_next_worker_answers_for_all_at_once_and_runs_no_more_than_it_may(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    held = {number: model.hold(f"go {number}") for number in range(MANY)}
    first = await opened(max_live=MANY, drain_grace=0.0, providers=model.providers)
    ids = [await first.start(workflow(llm("a", f"go {number}", model="fake/writer"))) for number in held]
    await model.until(lambda: model.under_way == MANY)
    await closed(first)
    await model.until(lambda: model.under_way == 0)
    second = await opened(max_live=PLACES, max_queued=0, providers=model.providers)
    seen = await asyncio.gather(*(second.status(execution_id) for execution_id in ids))
    await model.until(lambda: model.under_way == PLACES)
    most = 0

    def watch(asked: Asked) -> Reply:
        nonlocal most
        most = max(most, model.under_way)
        return FINE

    model.reply = watch
    for event in held.values():
        event.set()
    ended = [await second.rest(execution_id) for execution_id in ids]
    assert {status["status"] for status in seen} <= {"recovering", "running"}
    assert {status["epoch"] for status in seen} == {2}
    assert {status["status"] for status in ended} == {"completed"}
    assert most == PLACES
    assert set(model.counts.values()) == {2}


async def test_worker_that_goes_away_stores_all_that_is_live_in_few_transactions(opened: Open, closed: Close) -> None:
    store = MemoryStore()
    worker = await opened(store=store)
    ids = [await worker.start(workflow(approval("yes"))) for _ in range(50)]
    for execution_id in ids:
        await worker.until_status(execution_id, "waiting")
    before = store.transactions()[1]
    await closed(worker)
    rows = store.list_executions(ExecutionFilter(), before=None, limit=100)
    assert [row.status for row in rows] == ["interrupted"] * 50
    assert store.transactions()[1] - before <= 3
