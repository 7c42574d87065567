"""Who watches an execution hears everything, once, in order, and as it happens."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

import aiohttp
import pytest

from offbook.actors import event_ring, publisher
from offbook.actors.event_ring import END, Position, read_event_id
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.server_events import ServerEvent
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.listening import Listener, have_written, known, listen, listening, shown
from tests.scenarios.worker import PATIENCE, Worker


def positions(listener: Listener) -> list[Position]:
    found = [read_event_id(event.id) for event in listener.events if event.name != "gap"]
    assert None not in found
    return [each for each in found if each is not None]


async def test_text_comes_while_it_is_written_and_is_the_output(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    may_end = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=may_end)
    execution_id = await worker.start(workflow(llm("book", "A book.", model="fake/writer")))
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for event in events:
            if event.name == "text":
                assert (await worker.status(execution_id))["status"] == "running"
                may_end.set()
                break
        async for _ in events:
            pass
    payload = await worker.status(execution_id)
    answer = await worker.call("GET", f"/executions/{execution_id}/nodes/book/output")
    assert listener.text == answer.body
    assert known(listener) == shown(payload)
    assert listener.names[0] == "snapshot"
    assert listener.names[-1] == "end"
    assert {"text", "step", "node", "progress", "usage", "status"} <= set(listener.names)
    assert all(before < after for before, after in pairwise(positions(listener)))
    assert positions(listener)[-1] == (payload["revision"], END)


async def test_text_is_told_at_most_twenty_times_a_second(worker: Worker) -> None:
    script = {"words": 1000, "tokens_per_second": 1000}
    began = time.monotonic()
    listener = await listen(worker, await worker.start(workflow(llm("book", "A book.", script=script))))
    # A second of words, or more on a busy machine, and the last of them when the node ends.
    assert listener.names.count("text") <= 20 * (time.monotonic() - began) + 2


async def test_all_nodes_and_items_of_a_branching_workflow_are_told(worker: Worker) -> None:
    document = workflow(
        approval("go"),
        template("outline", "Three chapters.", needs=["go"]),
        llm("picture", "A picture.", needs=["outline"], when="inputs.cover"),
        foreach(
            "chapters", llm("c", "{{ index }}", script={"words": 20}), needs=["outline"], count="3", concurrency=3
        ),
        output("book", "{{ nodes.chapters.output | join(' ') }}", needs=["chapters", "picture"]),
        inputs={"cover": {"type": "boolean", "default": False}},
    )
    execution_id = await worker.start(document)
    await worker.until_status(execution_id, "waiting")
    listener = Listener()
    async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener) as events:
        async for _ in events:
            if listener.names == ["snapshot"]:
                await worker.command(execution_id, "signals/go", {})
    assert known(listener) == shown(await worker.status(execution_id))
    last = {item["item"]: item["status"] for item in listener.said("item") if item["node_id"] == "chapters"}
    assert last == dict.fromkeys(range(3), "completed")


async def test_ended_execution_gives_snapshot_and_end(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("book", "done")))
    await worker.rest(execution_id)
    listener = await listen(worker, execution_id)
    assert listener.names == ["snapshot", "end"]
    assert listener.state.payload["result"] is None
    assert listener.said("end") == [{"execution_id": execution_id, "status": "completed"}]


async def test_who_has_heard_the_end_need_not_come_back(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("book", "done")))
    listener = await listen(worker, execution_id)
    path = f"/executions/{execution_id}/events"
    assert (await worker.call("GET", path, Last_Event_ID=listener.last_id)).status == 204


async def test_execution_that_left_memory_gives_snapshot_and_end(opened: Open) -> None:
    worker = await opened(retain_seconds=0.0)
    execution_id = await worker.start(workflow(template("book", "done")))
    await worker.evicted(execution_id)
    listener = await listen(worker, execution_id)
    assert listener.names == ["snapshot", "end"]
    assert listener.state.payload["source"] == "database"
    path = f"/executions/{execution_id}/events"
    assert (await worker.call("GET", path, Last_Event_ID=listener.last_id)).status == 204
    again = Listener()
    again.events = listener.events[:1]
    await listen(worker, execution_id, again)
    assert again.names == ["snapshot", "gap", "snapshot", "end"]


async def test_fifty_reconnects_lose_nothing_and_repeat_nothing(
    worker: Worker, functions: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine one of them may take longer than what is kept lasts.
    monkeypatch.setattr(event_ring, "RING_BYTES", 2**20)
    enough = have_written(functions, every=0.002)
    execution_id = await worker.start(workflow(python("book", "write")))
    listener = Listener()
    for _ in range(50):
        async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener) as events:
            async for event in events:
                if event.name == "text":
                    break
    enough.set()
    await listen(worker, execution_id, listener)
    assert "gap" not in listener.names
    assert listener.text == (await worker.call("GET", f"/executions/{execution_id}/nodes/book/output")).body
    assert all(before < after for before, after in pairwise(positions(listener)))
    assert known(listener) == shown(await worker.status(execution_id))


async def test_who_comes_back_too_late_is_told_so_and_gets_a_fresh_snapshot(worker: Worker) -> None:
    execution_id = await worker.start(workflow(llm("book", "A book.", script={"words": 20_000})))
    await worker.rest(execution_id)
    listener = Listener()
    listener.events.append(ServerEvent("text", '{"kind": "text", "text": "long ago"}', str(2**32 + 2)))
    await listen(worker, execution_id, listener)
    assert listener.names[1:] == ["gap", "snapshot", "end"]
    assert listener.said("gap")[0]["since"] == str(2**32 + 2)
    assert known(listener) == shown(await worker.status(execution_id))


async def test_more_steps_at_once_than_are_kept_are_a_gap_and_a_fresh_snapshot(
    worker: Worker, functions: FunctionRegistry
) -> None:
    may_flood = asyncio.Event()
    loop = asyncio.get_running_loop()

    @functions.node
    async def flood(ctx: NodeContext) -> str:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(may_flood.wait(), loop))
        for _ in range(450):
            ctx.think("hm")
            ctx.text("oh")
        return "done"

    execution_id = await worker.start(workflow(python("flood", "flood")))
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for _ in events:
            may_flood.set()
    assert listener.names[0] == "snapshot"
    assert listener.names[listener.names.index("gap") + 1] == "snapshot"
    payload = await worker.status(execution_id)
    assert known(listener) == shown(payload)
    assert [each["seq"] for each in payload["processing_steps"]] == sorted(listener.state.steps)[-200:]


async def test_text_that_comes_too_fast_to_be_shown_is_no_silent_hole(
    worker: Worker, functions: FunctionRegistry
) -> None:
    heard = threading.Event()

    @functions.node
    def flood(ctx: NodeContext) -> str:
        # A snapshot that comes later has only the last steps.
        heard.wait(PATIENCE)
        ctx.text("a" * 150_000)
        return "done"

    listener = Listener()
    execution_id = await worker.start(workflow(python("flood", "flood")))
    async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener) as events:
        async for _ in events:
            heard.set()
    assert any("[50000 characters came faster" in step["text"] for step in listener.said("step"))


async def test_crash_of_the_actor_is_a_gap_and_the_stream_goes_on(
    worker: Worker, functions: FunctionRegistry
) -> None:
    goes_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    @functions.node
    async def work(ctx: NodeContext) -> str:
        ctx.text("half ")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(goes_on.wait(), loop))
        return "done"

    execution_id = await worker.start(workflow(python("work", "work")))
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for event in events:
            if event.name == "text":
                worker.crash(execution_id)
            if event.name == "snapshot" and listener.state.status == "running" and listener.state.epoch == 2:
                goes_on.set()
    assert "gap" in listener.names
    assert listener.names[-1] == "end"
    assert known(listener) == shown(await worker.status(execution_id))


async def test_paused_execution_is_watched_on_and_its_resume_heard(
    opened: object, functions: FunctionRegistry
) -> None:
    worker = await opened(retain_seconds=0.0)  # type: ignore[operator]
    execution_id = await worker.start(workflow(approval("yes"), template("book", "done", needs=["yes"])))
    await worker.until_status(execution_id, "waiting")
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for _ in events:
            if listener.state.status == "waiting" and listener.state.epoch == 1:
                await worker.command(execution_id, "pause")
            elif listener.state.settled:
                break
        other = await worker.start(workflow(template("book", "done")))
        await worker.evicted(other)
        # It rests, and would have left memory by now.
        before = await worker.transactions()
        await worker.resume(execution_id)
        await worker.until_status(execution_id, "waiting")
        assert (await worker.transactions())[0] == before[0]
        await worker.command(execution_id, "signals/yes", {})
        async for _ in events:
            pass
    assert "gap" not in listener.names
    assert known(listener) == shown(await worker.status(execution_id))


async def test_watching_costs_no_transaction(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("yes"), template("book", "done", needs=["yes"])))
    await worker.until_status(execution_id, "waiting")
    before = await worker.transactions()
    for _ in range(5):
        async with listening(worker, execution_id, Listener()) as events:
            async for _ in events:
                break
    assert await worker.transactions() == before
    listening_on = [asyncio.create_task(listen(worker, execution_id)) for _ in range(3)]
    await worker.command(execution_id, "signals/yes", {})
    await asyncio.gather(*listening_on)
    assert (await worker.status(execution_id))["db_ops"] == {"reads": 0, "writes": 2}
    assert await worker.transactions() == (before[0], before[1] + 1)


async def test_executions_of_others_are_not_found(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("book", "done")))
    path = f"/executions/{execution_id}/events"
    assert (await worker.call("GET", path, user="mallory")).status == 404
    assert (await worker.call("GET", f"/executions/{'0' * 32}/events")).status == 404
    assert await listen(worker, execution_id, None, **{"X-Offbook-User": "ada"})


async def test_what_is_no_event_id_is_refused(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("book", "done")))
    answer = await worker.call("GET", f"/executions/{execution_id}/events", Last_Event_ID="the last one")
    assert answer.status == 422
    assert "Last-Event-ID" in answer.body["errors"][0]["message"]


async def test_nothing_is_kept_for_who_has_gone(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "LINGER_SECONDS", 0.0)
    execution_id = await worker.start(workflow(approval("yes")))
    await worker.until_status(execution_id, "waiting")
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for _ in events:
            break
    actor = worker.actor(execution_id).actor_inbox.actor  # type: ignore[attr-defined]
    async with asyncio.timeout(PATIENCE):
        while actor._publisher is not None:
            await worker.status(execution_id)


async def test_server_stops_although_somebody_listens(opened: Open, closed: Close) -> None:
    worker = await opened()
    execution_id = await worker.start(workflow(approval("yes")))
    await worker.until_status(execution_id, "waiting")
    async with aiohttp.ClientSession() as session:
        response = await session.get(f"{worker.url}/executions/{execution_id}/events")
        await response.content.readline()
        async with asyncio.timeout(PATIENCE):
            await closed(worker)
        assert b"the server stops" in await response.read()
