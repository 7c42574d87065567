"""Promise 1: what an execution costs the database, as its status says and as the store counts."""

from __future__ import annotations

import asyncio

import pytest

from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, line, llm, python, workflow
from tests.scenarios.fake_model import Asked, FakeModel, Reply
from tests.scenarios.worker import Worker

FAILS_ONCE = {"text": "a chapter", "fail": [{"item": 1, "attempt": 1, "error": "invalid_key"}]}
ALWAYS_FAILS = {"fail": [{"attempt": "all", "error": "invalid_key"}]}


class Meter:
    """Counts a store's transactions from now on."""

    def __init__(self, worker: Worker, before: tuple[int, int]) -> None:
        self._worker = worker
        self._before = before

    @classmethod
    async def of(cls, worker: Worker) -> Meter:
        return cls(worker, await worker.transactions())

    async def spent(self) -> JsonObject:
        reads, writes = await self._worker.transactions()
        return {"reads": reads - self._before[0], "writes": writes - self._before[1]}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("length", [1, 12, 150])
async def test_success_costs_two_writes_and_no_read_whatever_its_length(
    worker: Worker, length: int, durability: str
) -> None:
    meter = await Meter.of(worker)
    execution_id = await worker.start(line(length), durability=durability)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["progress"]["completed"]) == ("completed", length)
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 2}


async def test_success_costs_two_writes_and_no_read_however_often_it_is_polled(
    worker: Worker, functions: FunctionRegistry
) -> None:
    polled = asyncio.Event()
    loop = asyncio.get_running_loop()

    @functions.node
    async def wait_for_polls(ctx: object) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(polled.wait(), loop))

    meter = await Meter.of(worker)
    execution_id = await worker.start(workflow(python("slow", "wait_for_polls")))
    seen = [await worker.status(execution_id) for _ in range(200)]
    news = [worker.status(execution_id, f"?since={payload['revision']}&wait=0.1") for payload in seen[:20]]
    await asyncio.gather(*news)
    polled.set()
    payload = await worker.rest(execution_id)
    assert {each["db_ops"]["writes"] for each in seen} == {1}
    assert payload["status"] == "completed"
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 2}


async def test_failure_costs_two_writes_and_no_read(worker: Worker) -> None:
    meter = await Meter.of(worker)
    payload = await worker.rest(await worker.start(workflow(llm("a", "x", script=ALWAYS_FAILS))))
    assert (payload["status"], payload["checkpoint"]["saved"]) == ("failed", True)
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 2}


async def test_fail_resume_complete_costs_four_writes_and_no_read_while_it_is_in_memory(worker: Worker) -> None:
    meter = await Meter.of(worker)
    execution_id = await worker.start(book(model="scripted/writer", script=FAILS_ONCE))
    assert (await worker.rest(execution_id))["status"] == "failed"
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 4}


@pytest.mark.parametrize("user", [None, "ada"])
async def test_fail_resume_complete_costs_four_writes_and_one_read_in_a_new_worker(
    opened: Open, closed: Close, user: str | None
) -> None:
    first = await opened()
    meter = await Meter.of(first)
    execution_id = await first.start(book(model="scripted/writer", script=FAILS_ONCE))
    await first.rest(execution_id)
    assert await meter.spent() == {"reads": 0, "writes": 2}
    await closed(first)
    second = await opened()
    meter = await Meter.of(second)
    assert (await second.command(execution_id, "resume", user=user)).status == 202
    payload = await second.rest(execution_id)
    assert (payload["status"], payload["db_ops"]) == ("completed", {"reads": 1, "writes": 4})
    assert await meter.spent() == {"reads": 1, "writes": 2}


async def test_failing_again_costs_two_writes_more(worker: Worker) -> None:
    meter = await Meter.of(worker)
    execution_id = await worker.start(workflow(llm("a", "x", script=ALWAYS_FAILS)))
    for failures in (1, 2, 3):
        payload = await worker.rest(execution_id)
        assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 2 * failures}
        await worker.resume(execution_id)
    await worker.rest(execution_id)


async def test_pause_resume_complete_costs_four_writes(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    gate = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=gate)
    meter = await Meter.of(worker)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    assert (await worker.command(execution_id, "pause")).status == 202
    gate.set()
    assert (await worker.rest(execution_id))["status"] == "paused"
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 4}


async def test_cancel_costs_two_writes_and_its_resume_two_more(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(hangs=asked.number == 1)
    meter = await Meter.of(worker)
    execution_id = await worker.start(workflow(llm("a", "x", model="fake/writer")))
    await model.until(lambda: model.under_way == 1)
    assert (await worker.command(execution_id, "cancel")).status == 202
    payload = await worker.rest(execution_id)
    assert payload["status"] == "cancelled"
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 2}
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert payload["db_ops"] == await meter.spent() == {"reads": 0, "writes": 4}


@pytest.mark.parametrize("goes_on", [True, False])
async def test_shutdown_costs_one_write_and_going_on_one_read(
    opened: Open, closed: Close, model: FakeModel, goes_on: bool
) -> None:
    def reply(asked: Asked) -> Reply:
        return Reply(hangs=asked.prompt == "chapter 1." and asked.number == 1)

    model.reply = reply
    first = await opened(providers=model.providers)
    execution_id = await first.start(book())
    await model.until(lambda: model.count("chapter 1.") == 1)
    await closed(first)
    second = await opened(providers=model.providers, goes_on=goes_on)
    if not goes_on:
        stored = await second.status(execution_id)
        assert (stored["status"], stored["db_ops"]) == ("interrupted", {"reads": 0, "writes": 2})
        await second.resume(execution_id)
    payload = await second.rest(execution_id)
    assert payload["status"] == "completed"
    # One that goes on by itself needs no claim.
    assert payload["db_ops"] == {"reads": 1, "writes": 3 if goes_on else 4}


async def test_repeated_start_is_one_transaction_and_no_second_execution(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    meter = await Meter.of(worker)
    body = {"workflow": book(), "user": {"id": "ada"}}
    answers = [await worker.call("POST", "/executions", body, Idempotency_Key="monday") for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].body == answers[1].body
    payload = await worker.rest(answers[0].body["execution_id"])
    assert (payload["status"], payload["db_ops"]) == ("completed", {"reads": 0, "writes": 2})
    assert await meter.spent() == {"reads": 0, "writes": 3}
    assert len(model.asked) == 4


async def test_executions_that_are_stored_together_share_transactions(worker: Worker) -> None:
    meter = await Meter.of(worker)
    ids = await asyncio.gather(*(worker.start(line(3)) for _ in range(100)))
    payloads = [await worker.rest(execution_id) for execution_id in ids]
    assert {each["status"] for each in payloads} == {"completed"}
    assert {each["db_ops"]["writes"] for each in payloads} == {2}
    spent = await meter.spent()
    assert spent["reads"] == 0
    assert spent["writes"] < 100
