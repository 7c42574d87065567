"""Bad days of the system before this one, which do not come back: what a stop of any kind leaves behind."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from functools import partial

import pytest

from offbook.engine import Engine
from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.memory_store import MemoryStore
from offbook.settings import EngineSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, line, output, python, template, workflow
from tests.scenarios.fake_model import Asked, FakeModel, Reply
from tests.scenarios.test_processes import (
    BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT,
    Serve,
    serve,
    start_book,
)
from tests.scenarios.unreachable_store import UnreachableStore
from tests.scenarios.worker import PATIENCE, Worker

__all__ = ["serve"]

DONE = "a fine text / a fine text / a fine text"


def fails_once_in_chapter_1(asked: Asked) -> Reply:
    return Reply(status=401, error="no") if (asked.prompt, asked.number) == ("chapter 1.", 1) else Reply()


async def test_pain_03_checkpoint_is_there_after_a_restart(opened: Open, closed: Close, model: FakeModel) -> None:
    """Checkpoints were in memory only, and gone after a restart."""
    model.reply = fails_once_in_chapter_1
    first = await opened(providers=model.providers)
    execution_id = await first.start(book())
    await first.rest(execution_id)
    await closed(first)
    second = await opened(providers=model.providers)
    assert (await second.checkpoint(execution_id))["item_outputs"] == {"chapters": {"0": "a fine text"}}
    await second.resume(execution_id)
    assert (await second.rest(execution_id))["result"] == DONE


async def test_pain_08_resumed_execution_ends_as_any_other(opened: Open, model: FakeModel) -> None:
    """A successful resume never became completed, and was never billed: it had an ending of its own."""
    model.reply = fails_once_in_chapter_1
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    failed = await worker.rest(execution_id)
    await worker.resume(execution_id)
    completed = await worker.rest(execution_id)
    assert (completed["status"], completed["result"], completed["finished_at"] is None) == ("completed", DONE, False)
    assert completed["usage"]["output_tokens"] > failed["usage"]["output_tokens"] > 0
    assert (await worker.call("GET", f"/executions/{execution_id}/checkpoint")).status == 404


async def test_pain_09_execution_of_ten_hours_is_fine() -> None:
    """Long, queued or resumed runs failed after 15 minutes: a sweep took age for death."""
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    asks = workflow(approval("ok"), output("result", "{{ nodes.ok.output }}", needs=["ok"]))
    settings = EngineSettings(max_live=1, retain_seconds=3600.0)
    registry = NodeRegistry.with_builtins(clock=clock)
    async with Engine(settings, store=MemoryStore(), registry=registry, clock=clock) as engine:
        ended = await engine.start(line(3), user="ada")
        await engine.wait(ended, PATIENCE)
        asking, queued = [await engine.start(asks, user="ada") for _ in range(2)]
        await followed(engine, asking, "status", "waiting")
        ahead = 36_000.0
        # The supervisor has done its rounds once what has ended, and was kept for an hour, has left memory.
        await followed(engine, ended, "source", "database")
        for execution_id, expected in ((asking, "waiting"), (queued, "queued")):
            status = await engine.status(execution_id)
            assert (status["status"], status["epoch"], status["error"]) == (expected, 1, None)
        for execution_id in (asking, queued):
            await followed(engine, execution_id, "status", "waiting")
            await engine.service.signal(execution_id, "ok", "yes", caller=OPERATOR)
            assert (await engine.wait(execution_id, PATIENCE))["result"] == "yes"


async def followed(engine: Engine, execution_id: str, name: str, value: str) -> None:
    """Follow an execution until a field of its status has this value; it must not fail before."""
    async with asyncio.timeout(PATIENCE):
        while (status := await engine.status(execution_id))[name] != value:
            assert status["error"] is None
            await engine.service.status(execution_id, caller=OPERATOR, since=status["revision"], wait=PATIENCE)


async def test_pain_10_failed_execution_gives_its_place_to_the_next(opened: Open, model: FakeModel) -> None:
    """A failed run waited for ever and held its slot; resume started a second loop on it."""
    model.reply = fails_once_in_chapter_1
    worker = await opened(providers=model.providers, max_live=1)
    failing = await worker.start(book())
    behind = await worker.start(line(3))
    assert (await worker.rest(failing))["status"] == "failed"
    assert (await worker.rest(behind))["status"] == "completed"
    await worker.resume(failing)
    assert (await worker.rest(failing))["status"] == "completed"
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}


async def test_pain_11_resumes_leak_no_place(opened: Open, model: FakeModel) -> None:
    """ "Worker at maximum capacity" with nothing running: slots leaked after each resume."""
    worker = await opened(providers=model.providers, max_live=1, max_queued=0)

    def refuses_every_other_outline(asked: Asked) -> Reply:
        return Reply(status=401, error="no") if asked.prompt == "outline" and asked.number % 2 else Reply()

    model.reply = refuses_every_other_outline
    for _ in range(3):
        execution_id = await worker.start(book())
        assert (await worker.rest(execution_id))["status"] == "failed"
        await worker.resume(execution_id)
        assert (await worker.rest(execution_id))["status"] == "completed"


async def test_pain_12_nothing_writes_over_a_checkpoint(opened: Open, model: FakeModel) -> None:
    """A saved checkpoint was overwritten at once by the next progress write: two writers, one column."""
    model.reply = fails_once_in_chapter_1
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    before = await worker.checkpoint(execution_id)
    writes = (await worker.transactions())[1]
    for _ in range(20):
        await worker.status(execution_id)
    assert await worker.checkpoint(execution_id) == before
    assert (await worker.transactions())[1] == writes


async def test_pain_15_resume_is_answered_at_once_and_says_that_it_goes_on(opened: Open, model: FakeModel) -> None:
    """Resume said "failed" while it went on: its request was held open until the run's end, or a proxy's limit."""
    model.reply = lambda asked: (
        Reply(status=401, error="no") if (asked.prompt, asked.number) == ("chapter 1.", 1) else Reply()
    )
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    held = model.hold("chapter 1.")
    answer = await worker.command(execution_id, "resume")
    assert (answer.status, answer.body["epoch"]) == (202, 2)
    assert (await worker.status(execution_id))["status"] == "running"
    held.set()
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_pain_16_double_click_on_resume_is_one_run_and_one_bill(opened: Open, model: FakeModel) -> None:
    """Two clicks were two runs and two bills: nobody owned the run."""
    model.reply = fails_once_in_chapter_1
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    held = model.hold("chapter 1.")
    answers = await asyncio.gather(*(worker.command(execution_id, "resume") for _ in range(5)))
    assert {(answer.status, answer.body["epoch"]) for answer in answers} == {(202, 2)}
    held.set()
    await worker.rest(execution_id)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}


async def test_pain_20_progress_never_goes_back(worker: Worker, functions: FunctionRegistry) -> None:
    """Progress jumped backwards: the percent of a node and of the run were in one field."""
    told = [threading.Event(), threading.Event()]

    @functions.node
    def slow(ctx: NodeContext) -> None:
        ctx.progress((0.8, 0.2)[ctx.attempt - 1], f"attempt {ctx.attempt}")
        told[ctx.attempt - 1].wait(PATIENCE)
        if ctx.attempt == 1:
            raise NodeFailure.of("timeout", "again, please", retryable=True)

    retry = {"attempts": 2, "delay": 0.01}
    document = workflow(template("first", "done"), python("slow", "slow", needs=["first"], retry=retry))
    execution_id = await worker.start(document)
    seen: list[float] = []

    def has_said(text: str, payload: JsonObject) -> bool:
        seen.append(payload["progress"]["percent"])
        return any(step["text"] == text for step in payload["processing_steps"])

    for attempt in (1, 2):
        await worker.until(execution_id, partial(has_said, f"attempt {attempt}"))
        told[attempt - 1].set()
    seen.append((await worker.rest(execution_id))["progress"]["percent"])
    assert seen == sorted(seen)
    # One node of two, and four fifths of the other, whatever it says when it is tried again.
    assert [seen[-2], seen[-1]] == [90.0, 100.0]


async def test_pain_22_queued_execution_is_found(opened: Open, model: FakeModel) -> None:
    """Status was "not found" in queue mode: the request reached a process that was not the owner."""
    worker = await opened(providers=model.providers, max_live=1)
    held = model.hold("outline")
    first = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(line(2))
    queued = await worker.status(second)
    assert (queued["status"], queued["source"]) == ("queued", "memory")
    held.set()
    assert (await worker.rest(first))["status"] == "completed"
    assert (await worker.rest(second))["status"] == "completed"


async def test_pain_23_finished_book_is_there_while_it_cannot_be_stored(opened: Open, model: FakeModel) -> None:
    """A finished book was gone: the run left memory before its final write had succeeded."""
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers, retain_seconds=0.0, retain_count=0)
    held = model.hold("chapter 2.")
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 2.") == 1)
    store.go_away()
    held.set()
    completed = await worker.until_status(execution_id, "completed")
    assert await asyncio.to_thread(store.refused.wait, PATIENCE)
    assert (completed["source"], completed["result"]) == ("memory", DONE)
    store.come_back()
    assert (await worker.evicted(execution_id))["result"] == DONE


async def test_pain_27_ended_executions_leave_memory(opened: Open) -> None:
    """Memory grew until the process was killed: state and checkpoints were never freed."""
    worker = await opened(retain_seconds=60.0, retain_count=5)
    ids = [await worker.start(line(2)) for _ in range(20)]
    await worker.evicted(ids[0])
    in_memory = [(await worker.status(execution_id))["source"] for execution_id in ids].count("memory")
    assert in_memory <= 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_pain_28_deployment_costs_no_execution(serve: Serve, model: FakeModel, number: signal.Signals) -> None:
    """A deployment killed all live runs, whose rows stayed "running"."""
    first = await serve()
    execution_id = await start_book(first, model, "async")
    await first.end(number)
    second = await serve()
    assert (await second.until_status(execution_id, "completed"))["epoch"] == 2


async def test_pain_33_stop_is_a_message_and_no_read(opened: Open, model: FakeModel) -> None:
    """Each node read the database to learn about a stop."""
    worker = await opened(providers=model.providers)
    reads = (await worker.transactions())[0]
    model.hold("chapter 1.")
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 1.") == 1)
    assert (await worker.command(execution_id, "cancel")).status == 202
    assert (await worker.rest(execution_id))["status"] == "cancelled"
    assert (await worker.transactions())[0] == reads


async def test_pain_37_what_goes_on_does_not_begin_again(serve: Serve, model: FakeModel) -> None:
    """A queue's retry, or a stalled job, ran everything again from node 1."""
    first = await serve()
    execution_id = await start_book(first, model, "sync")
    await first.end(signal.SIGKILL)
    second = await serve()
    await second.until_status(execution_id, "completed")
    assert model.counts == BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT
