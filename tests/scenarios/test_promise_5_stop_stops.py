"""Promise 5: cancel closes the connection and keeps the partial text; what cannot be stopped is abandoned."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, foreach, llm, python, template, wait, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.worker import PATIENCE, Worker, of_the_run

HALF = Reply(words=("half ", "of ", "a ", "sentence"), hangs=True)


def step_text(payload: JsonObject) -> str:
    return "".join(step["text"] for step in payload["processing_steps"] if step["kind"] == "text")


async def test_cancel_closes_the_connection_and_keeps_the_partial_text(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    await worker.until(execution_id, lambda payload: step_text(payload) == "half of a sentence")
    assert (model.under_way, model.hung_up) == (1, 0)
    assert (await worker.command(execution_id, "cancel")).status == 202
    await model.until(lambda: model.hung_up == 1)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["node_results"]["a"]["status"]) == ("cancelled", "cancelled")
    assert payload["node_results"]["a"]["partial_output"] == "half of a sentence"
    assert payload["usage"]["output_tokens"] > 0
    await closed(worker)
    stored = await (await opened(providers=model.providers)).status(execution_id)
    assert stored["node_results"]["a"]["partial_output"] == "half of a sentence"
    assert len(model.asked) == 1


async def test_cancel_closes_every_connection_of_a_fan_out(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(
        workflow(foreach("all", llm("each", "item {{ index }}", model="fake/writer"), count=20, concurrency=8))
    )
    await model.until(lambda: model.under_way == 8)
    await worker.until(execution_id, lambda payload: step_text(payload).count("sentence") == 8)
    await worker.command(execution_id, "cancel")
    await model.until(lambda: model.hung_up == 8)
    assert (await worker.rest(execution_id))["status"] == "cancelled"
    assert len(model.asked) == 8
    items = (await worker.checkpoint(execution_id))["state"]["nodes"]["all"]["items"]
    assert [item.get("partial") for item in items] == ["half of a sentence"] * 8 + [None] * 12


async def test_shutdown_closes_the_connection_too(opened: Open, closed: Close, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    await worker.start(workflow(llm("a", "go", model="fake/writer")))
    await model.until(lambda: model.under_way == 1)
    await closed(worker)
    await model.until(lambda: model.hung_up == 1)
    assert model.under_way == 0


@pytest.fixture
def released(functions: FunctionRegistry) -> threading.Event:
    """Functions that take no notice of a cancel, until this is set."""
    event = threading.Event()

    @functions.node
    def deaf(ctx: NodeContext) -> str:
        ctx.text("in vain")
        event.wait(PATIENCE)
        return "too late"

    @functions.node
    async def stubborn(ctx: NodeContext) -> str:
        ctx.progress(0.1)
        while not event.is_set():
            try:
                await asyncio.to_thread(event.wait, PATIENCE)
            except asyncio.CancelledError:
                continue
        return "too late"

    return event


async def test_plain_function_is_abandoned_counted_and_its_late_result_refused(
    worker: Worker, released: threading.Event
) -> None:
    execution_id = await worker.start(workflow(python("a", "deaf"), template("b", "x", needs=["a"])))
    await worker.until(execution_id, lambda payload: step_text(payload) == "in vain")
    await worker.command(execution_id, "cancel")
    cancelled = await worker.rest(execution_id)
    assert (cancelled["status"], (await worker.figures())["abandoned"]) == ("cancelled", 1)
    assert cancelled["node_results"]["a"]["partial_output"] == "in vain"
    released.set()
    await worker.until_figures(abandoned=0)
    assert of_the_run(await worker.status(execution_id)) == of_the_run(cancelled)


async def test_coroutine_that_does_not_let_itself_be_cancelled_is_abandoned(
    worker: Worker, released: threading.Event
) -> None:
    execution_id = await worker.start(workflow(python("a", "stubborn")))
    await worker.until(execution_id, lambda payload: payload["progress"]["percent"] > 0)
    await worker.command(execution_id, "cancel")
    cancelled = await worker.rest(execution_id)
    assert (cancelled["status"], (await worker.figures())["abandoned"]) == ("cancelled", 1)
    released.set()
    await worker.until_figures(abandoned=0)
    assert of_the_run(await worker.status(execution_id)) == of_the_run(cancelled)


async def test_coroutine_that_takes_its_cancel_for_an_end_has_given_partial_text_and_is_asked_again(
    worker: Worker, functions: FunctionRegistry
) -> None:
    @functions.node
    async def write(ctx: NodeContext) -> str:
        ctx.progress(0.5)
        if ctx.attempt == 1:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return "half a chap"
        return "a chapter"

    execution_id = await worker.start(workflow(python("a", "write"), template("b", "{{ last_output }}", needs=["a"])))
    await worker.until(execution_id, lambda payload: payload["progress"]["percent"] > 0)
    await worker.command(execution_id, "cancel")
    cancelled = await worker.rest(execution_id)
    node = cancelled["node_results"]["a"]
    assert (cancelled["status"], node["status"], node["partial_output"]) == ("cancelled", "cancelled", "half a chap")
    assert "output" not in node
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["node_results"]["b"]["output"] == "a chapter"


async def test_late_result_of_an_abandoned_attempt_is_not_taken_for_that_of_the_next(
    worker: Worker, functions: FunctionRegistry
) -> None:
    first_may_end, second_may_end = threading.Event(), threading.Event()

    @functions.node
    def say(ctx: NodeContext) -> str:
        ctx.progress(0.5)
        (first_may_end if ctx.attempt == 1 else second_may_end).wait(PATIENCE)
        return f"attempt {ctx.attempt}"

    execution_id = await worker.start(workflow(python("a", "say")))
    await worker.until(execution_id, lambda payload: payload["progress"]["percent"] > 0)
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)
    assert await worker.resume(execution_id) == 2
    await worker.until(execution_id, lambda payload: payload["progress"]["percent"] > 0)
    first_may_end.set()
    await worker.until_figures(abandoned=0)
    assert (await worker.status(execution_id))["status"] == "running"
    second_may_end.set()
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["node_results"]["a"]["output"]) == ("completed", "attempt 2")


@pytest.mark.parametrize(
    "document",
    [workflow(wait("a", 3600)), workflow(approval("a")), workflow(foreach("a", approval("each"), count=3))],
    ids=["timer", "approval", "items"],
)
async def test_what_waits_is_cancelled_at_once(worker: Worker, document: JsonObject) -> None:
    execution_id = await worker.start(document)
    await worker.until_status(execution_id, "waiting")
    await worker.command(execution_id, "cancel")
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["node_results"]["a"]["status"]) == ("cancelled", "cancelled")


async def test_what_waits_for_its_next_attempt_is_cancelled_at_once(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503)
    execution_id = await worker.start(
        workflow(llm("a", "go", model="fake/writer", retry={"attempts": 5, "delay": 3600, "max_delay": 3600}))
    )
    await worker.until_status(execution_id, "waiting")
    await worker.command(execution_id, "cancel")
    assert (await worker.rest(execution_id))["status"] == "cancelled"
    assert len(model.asked) == 1


async def test_queued_execution_is_cancelled_before_it_has_asked_anything(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_live=1)
    model.reply = lambda asked: HALF
    running = await worker.start(book())
    queued = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    await worker.command(queued, "cancel")
    assert (await worker.rest(queued))["status"] == "cancelled"
    await worker.command(running, "cancel")
    await worker.rest(running)
    assert len(model.asked) == 1


async def test_cancel_again_is_the_same_and_after_the_end_it_is_refused(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    answers = await asyncio.gather(*(worker.command(execution_id, "cancel") for _ in range(3)))
    assert {answer.status for answer in answers} == {202}
    cancelled = await worker.rest(execution_id)
    assert cancelled["db_ops"]["writes"] == 2
    assert (await worker.command(execution_id, "cancel")).status == 202
    assert of_the_run(await worker.status(execution_id)) == of_the_run(cancelled)
    done = await worker.start(workflow(template("a", "x")))
    await worker.rest(done)
    refused = await worker.command(done, "cancel")
    assert (refused.status, refused.body["type"]) == (409, "/problems/command-refused")
