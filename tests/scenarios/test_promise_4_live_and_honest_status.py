"""Promise 4: the status comes from the execution's own actor while its nodes run, and says where it comes from."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable

import pytest

from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, foreach, line, llm, python, template, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.held import HeldJournal
from tests.scenarios.worker import PATIENCE, Worker

ANSWER_SECONDS = PATIENCE / 4
"""Far above what an answer takes, and far below what one takes that waits for a node."""


class Gate:
    """Lets a plain function go on; opened when the story ends at the latest."""

    def __init__(self) -> None:
        self.passed = threading.Event()
        self.reached = threading.Event()


@pytest.fixture
def gate(functions: FunctionRegistry) -> Gate:
    """Functions that burn the processor, block their thread, or report and then block, until the gate is open."""
    made = Gate()

    @functions.node
    def burn(ctx: NodeContext) -> int:
        rounds = 0
        while not (made.passed.is_set() or ctx.cancelled.is_set()):
            rounds += sum(range(1000))
        return rounds

    @functions.node
    def block(ctx: NodeContext) -> str:
        made.passed.wait(PATIENCE)
        return "blocked"

    @functions.node
    def report(ctx: NodeContext) -> str:
        ctx.progress(0.5, "half of it")
        ctx.think("what comes next?")
        ctx.text("once upon a time")
        made.reached.set()
        made.passed.wait(PATIENCE)
        return "reported"

    return made


async def test_status_is_answered_while_nodes_burn_the_processor_and_block(worker: Worker, gate: Gate) -> None:
    document = workflow(*(python(f"{kind}{n}", kind) for kind in ("burn", "block") for n in range(3)))
    execution_id = await worker.start(document)
    await worker.until(execution_id, lambda payload: len(payload["progress"]["current"]) == 6)
    clock = asyncio.get_running_loop().time
    for _ in range(50):
        asked = clock()
        payload = await worker.status(execution_id)
        assert clock() - asked < ANSWER_SECONDS
        assert (payload["source"], len(payload["progress"]["current"])) == ("memory", 6)
    gate.passed.set()
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_lag_of_the_journal_is_not_shown_when_it_has_caught_up(opened: Open) -> None:
    journal = HeldJournal()
    worker = await opened(store=MemoryStore(), journal=journal)
    journal.hold.close()
    execution_id = await worker.start(workflow(approval("gate")))
    behind = await worker.until_status(execution_id, "waiting")
    assert behind["journal"]["lag_ms"] > 0
    journal.hold.open()
    async with asyncio.timeout(PATIENCE):
        # It is no news of the execution, so nobody is told.
        while (caught_up := await worker.status(execution_id))["journal"]["lag_ms"]:
            pass
    assert caught_up["revision"] == behind["revision"]
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_progress_thoughts_and_text_are_seen_while_the_node_runs(worker: Worker, gate: Gate) -> None:
    execution_id = await worker.start(workflow(python("first", "report"), template("last", "x", needs=["first"])))

    def reported(payload: JsonObject) -> bool:
        return {"progress", "thinking", "text"} <= {step["kind"] for step in payload["processing_steps"]}

    payload = await worker.until(execution_id, reported)
    assert payload["status"] == "running"
    assert payload["progress"]["percent"] == 25.0
    assert payload["node_results"]["first"]["fraction"] == 0.5
    said = {step["kind"]: step["text"] for step in payload["processing_steps"]}
    assert said["progress"] == "half of it"
    assert said["thinking"] == "what comes next?"
    assert said["text"] == "once upon a time"
    gate.passed.set()
    assert (await worker.rest(execution_id))["progress"]["percent"] == 100.0


async def test_tokens_are_counted_while_they_stream(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(words=("word ",) * 100, hangs=True)
    execution_id = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    payload = await worker.until(execution_id, lambda payload: payload["usage"]["output_tokens"] > 50)
    assert (payload["status"], payload["usage"]["estimated"]) == ("running", True)
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def follow(worker: Worker, execution_id: str, ended: Callable[[JsonObject], bool]) -> list[JsonObject]:
    """Poll as fast as answers come until one of them is the last; return them all."""
    seen: list[JsonObject] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or not ended(seen[-1]):
            seen.append(await worker.status(execution_id))
    return seen


async def test_progress_and_revision_never_go_back_within_an_epoch(opened: Open, model: FakeModel) -> None:
    def reply(asked: Asked) -> Reply:
        if "chapter" in asked.prompt and asked.number == 1:
            return Reply(status=503)
        return Reply(status=401) if asked.prompt == "chapter 4." and asked.number == 2 else FINE

    model.reply = reply
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(chapters=8, concurrency=3, retry={"attempts": 3, "delay": 0.02}))
    following = asyncio.create_task(follow(worker, execution_id, lambda payload: payload["status"] == "completed"))
    assert (await worker.rest(execution_id))["status"] == "failed"
    await worker.resume(execution_id)
    await worker.rest(execution_id)
    seen = await following
    assert {payload["epoch"] for payload in seen} == {1, 2}
    for before, after in itertools.pairwise(seen):
        assert after["revision"] >= before["revision"]
        assert after["epoch"] >= before["epoch"]
        if after["epoch"] == before["epoch"]:
            assert after["progress"]["percent"] >= before["progress"]["percent"]
    assert seen[-1]["progress"]["percent"] == 100.0


async def test_progress_that_a_node_takes_back_is_not_shown_as_taken_back(
    worker: Worker, functions: FunctionRegistry
) -> None:
    told: list[threading.Event] = [threading.Event(), threading.Event()]

    @functions.node
    def fickle(ctx: NodeContext) -> None:
        ctx.progress((0.8, 0.2)[ctx.attempt - 1], f"attempt {ctx.attempt}")
        told[ctx.attempt - 1].wait(PATIENCE)
        if ctx.attempt == 1:
            raise NodeFailure.of("timeout", "again, please", retryable=True)

    retry = {"attempts": 2, "delay": 0.01}
    execution_id = await worker.start(workflow(python("a", "fickle", retry=retry)))
    for attempt in (1, 2):

        def reported(payload: JsonObject, text: str = f"attempt {attempt}") -> bool:
            return any(step["text"] == text for step in payload["processing_steps"])

        payload = await worker.until(execution_id, reported)
        assert payload["progress"]["percent"] == 80.0
        told[attempt - 1].set()
    assert (await worker.rest(execution_id))["progress"]["percent"] == 100.0


async def test_news_since_a_revision_add_up_to_the_whole(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503) if asked.number == 1 else FINE
    execution_id = await worker.start(book(chapters=4, concurrency=2, retry={"attempts": 2, "delay": 0.02}))
    shown = await worker.status(execution_id)
    async with asyncio.timeout(PATIENCE):
        while shown["status"] not in ("completed", "failed"):
            news = await worker.status(execution_id, f"?since={shown['revision']}&wait=10")
            assert news["partial"] is True
            nodes = {**shown["node_results"], **news["node_results"]}
            steps = {step["seq"]: step for step in [*shown["processing_steps"], *news["processing_steps"]]}
            shown = {**news, "node_results": nodes, "processing_steps": [steps[seq] for seq in sorted(steps)]}
    await worker.rest(execution_id)
    whole = await worker.status(execution_id)
    assert shown["node_results"] == whole["node_results"]
    assert shown["processing_steps"] == whole["processing_steps"]
    assert shown["progress"] == whole["progress"]


async def test_wait_is_answered_by_the_news_and_without_news_when_it_is_over(worker: Worker, gate: Gate) -> None:
    execution_id = await worker.start(workflow(python("first", "block")))
    before = await worker.until(execution_id, lambda payload: payload["progress"]["current"] == ["first"])
    nothing_new = await worker.status(execution_id, f"?since={before['revision']}&wait=0.05")
    assert (nothing_new["revision"], nothing_new["node_results"]) == (before["revision"], {})
    waiting = asyncio.create_task(worker.status(execution_id, f"?since={before['revision']}&wait=60"))
    assert (await worker.status(execution_id))["revision"] == before["revision"]
    assert not waiting.done()
    gate.passed.set()
    news = await waiting
    assert news["revision"] > before["revision"]
    assert list(news["node_results"]) == ["first"]


async def test_unchanged_status_is_304_and_a_changed_one_is_not(worker: Worker, gate: Gate) -> None:
    execution_id = await worker.start(workflow(python("first", "block")))
    await worker.until(execution_id, lambda payload: payload["progress"]["current"] == ["first"])
    path = f"/status/{execution_id}"
    first = await worker.call("GET", path)
    etag = first.headers["ETag"]
    unchanged = await worker.call("GET", path, If_None_Match=etag)
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, None, etag)
    waiting = asyncio.create_task(worker.call("GET", f"{path}?wait=60", If_None_Match=etag))
    gate.passed.set()
    changed = await waiting
    assert changed.status == 200
    assert changed.headers["ETag"] == f'"{changed.body["revision"]}"' != etag


Stop = Callable[[Worker, FakeModel], Awaitable[str]]


async def completed(worker: Worker, model: FakeModel) -> str:
    return await worker.start(book(), labels={"shelf": "3"})


async def failed(worker: Worker, model: FakeModel) -> str:
    model.reply = lambda asked: Reply(status=401, error="no") if asked.prompt == "chapter 1." else FINE
    return await worker.start(book())


async def cancelled(worker: Worker, model: FakeModel) -> str:
    model.reply = lambda asked: Reply(hangs=asked.prompt == "chapter 1.")
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 1.") == 1)
    await worker.command(execution_id, "cancel")
    return execution_id


async def failed_again(worker: Worker, model: FakeModel) -> str:
    execution_id = await failed(worker, model)
    await worker.rest(execution_id)
    await worker.resume(execution_id, guidance="shorter, please")
    return execution_id


@pytest.mark.parametrize("stop", [completed, failed, failed_again, cancelled])
async def test_payload_from_the_database_is_that_from_memory(opened: Open, model: FakeModel, stop: Stop) -> None:
    worker = await opened(providers=model.providers, retain_seconds=0.0)
    execution_id = await stop(worker, model)
    in_memory = await worker.rest(execution_id)
    stored = await worker.evicted(execution_id)
    assert (in_memory["source"], stored["source"]) == ("memory", "database")
    assert {**stored, "source": "memory"} == in_memory


async def test_actor_that_is_restarted_is_shown_as_recovering_from_its_last_state(worker: Worker, gate: Gate) -> None:
    execution_id = await worker.start(workflow(template("done", "kept"), python("first", "block", needs=["done"])))
    before = await worker.until(execution_id, lambda payload: payload["progress"]["current"] == ["first"])
    worker.crash(execution_id)
    meanwhile = await worker.engine.status(execution_id)
    assert (meanwhile["status"], meanwhile["source"]) == ("recovering", "memory")
    assert meanwhile["node_results"]["done"] == before["node_results"]["done"]
    after = await worker.until_status(execution_id, "running")
    assert after["revision"] > before["revision"]
    gate.passed.set()
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_execution_that_waits_for_a_place_is_shown_as_queued(opened: Open, gate: Gate) -> None:
    worker = await opened(max_live=1)
    running = await worker.start(workflow(python("first", "block")))
    queued = await worker.start(line(1))
    payload = await worker.status(queued)
    assert (payload["status"], payload["source"], payload["started_at"]) == ("queued", "memory", None)
    gate.passed.set()
    assert (await worker.rest(queued))["status"] == "completed"
    await worker.rest(running)


async def test_items_are_shown_as_they_finish(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    gate = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=gate if asked.prompt == "item 2" else None)
    do = llm("each", "item {{ index }}", model="fake/writer")
    execution_id = await worker.start(workflow(foreach("all", do, count=4)))
    await model.until(lambda: model.count("item 2") == 1)
    payload = await worker.status(execution_id)
    assert payload["node_results"]["all"]["items"] == {"completed": 2, "failed": 0, "total": 4}
    assert payload["progress"]["percent"] == 50.0
    gate.set()
    await worker.rest(execution_id)


async def test_stored_status_of_a_closed_worker_does_not_go_back(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    first = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt == "chapter 1." else FINE
    execution_id = await first.start(book())
    in_memory = await first.rest(execution_id)
    await closed(first)
    second = await opened(providers=model.providers)
    stored = await second.status(execution_id)
    assert stored["revision"] >= in_memory["revision"]
    assert stored["progress"] == in_memory["progress"]
