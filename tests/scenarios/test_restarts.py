"""Restart and resume without being asked: crashed actors by their intensity, failed executions by their policy."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from offbook.actors.restart_intensity import FIRST_DELAY
from offbook.engine import Engine
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import JsonObject, parse_time
from tests.scenarios.conftest import Open
from tests.scenarios.documents import approval, book, llm, python, template, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.worker import PATIENCE, Unheard, Worker, of_the_run


@pytest.fixture
def begun(functions: FunctionRegistry) -> list[int]:
    """Attempts at the node `hold`, in order; each holds until it is cancelled or `let_go` is set."""
    attempts: list[int] = []

    @functions.node
    def hold(ctx: NodeContext) -> str:
        attempts.append(ctx.attempt)
        ctx.progress(0.5)
        ctx.cancelled.wait(PATIENCE)
        return "never mind"

    return attempts


def holding(**restart: object) -> JsonObject:
    return workflow(template("kept", "done"), python("hold", "hold", needs=["kept"]), restart=restart)


async def crash(worker: Worker, execution_id: str, *, epoch: int) -> None:
    """Crash an execution's actor once its node runs in this epoch, and has said so once."""

    def running(payload: JsonObject) -> bool:
        hold: JsonObject = payload["node_results"]["hold"]
        return bool(payload["epoch"] == epoch and hold["status"] == "running" and hold.get("fraction") == 0.5)

    await worker.until(execution_id, running)
    worker.crash(execution_id)


async def line_of(worker: Worker, execution_id: str) -> JsonObject:
    """Return what the list of actors says of an execution."""
    actors: list[JsonObject] = (await worker.call("GET", "/actors")).body["actors"]
    return next(actor for actor in actors if actor["execution_id"] == execution_id)


async def test_crashed_actor_is_restarted_with_what_it_knew(worker: Worker, begun: list[int]) -> None:
    execution_id = await worker.start(holding())
    await crash(worker, execution_id, epoch=1)
    payload = await worker.until(
        execution_id, lambda payload: payload["epoch"] == 2 and payload["progress"]["current"] == ["hold"]
    )
    assert (payload["status"], payload["node_results"]["kept"]["output"]) == ("running", "done")
    # The call that was lost is made again under its number: nobody had an answer to it.
    assert payload["node_results"]["hold"]["attempt"] == 1
    line = await line_of(worker, execution_id)
    assert (line["restarts"], line["poisoned"], "Unheard" in line["last_reason"]) == (1, False, True)
    await worker.command(execution_id, "cancel")
    assert (await worker.rest(execution_id))["db_ops"] == {"reads": 0, "writes": 2}


async def test_actor_that_crashes_again_and_again_fails_with_its_checkpoint_kept(
    worker: Worker, begun: list[int]
) -> None:
    execution_id = await worker.start(holding(max_restarts=2, within=3600))
    for epoch in (1, 2, 3):
        await crash(worker, execution_id, epoch=epoch)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["error"]["type"]) == ("failed", "crash")
    assert "3 times" in payload["error"]["message"]
    assert payload["checkpoint"] == {"saved": True, "failed_at_node": None, "completed_nodes": ["kept"]}
    assert (await worker.checkpoint(execution_id))["node_outputs"] == {"kept": "done"}
    assert (await line_of(worker, execution_id))["poisoned"] is True


async def test_crashes_that_lie_further_apart_than_the_period_are_each_the_first() -> None:
    ahead = 0.0

    def clock() -> float:
        return time.time() + ahead

    asks = workflow(approval("ok"), restart={"max_restarts": 1, "within": 60})
    async with Engine(store=MemoryStore(), registry=NodeRegistry.with_builtins(clock=clock), clock=clock) as engine:
        execution_id = await engine.start(asks, user="ada")
        for epoch in (1, 2, 3, 4):
            await _waits_in(engine, execution_id, epoch)
            entry = engine.service._directory.find(execution_id)
            assert entry is not None
            assert entry.ref is not None
            assert entry.restarts == epoch - 1
            if epoch < 4:
                entry.ref.tell(Unheard())
            ahead += 61.0
        await engine.service.cancel(execution_id, caller=OPERATOR)


async def test_execution_that_crashes_again_is_left_longer_each_time() -> None:
    async with Engine(store=MemoryStore()) as engine:
        execution_id = await engine.start(workflow(approval("ok"), restart={"max_restarts": 9}), user="ada")
        for epoch in (1, 2, 3):
            await _waits_in(engine, execution_id, epoch)
            entry = engine.service._directory.find(execution_id)
            assert entry is not None
            assert entry.ref is not None
            crashed = time.monotonic()
            entry.ref.tell(Unheard())
            await _waits_in(engine, execution_id, epoch + 1)
            assert time.monotonic() - crashed >= 0.9 * FIRST_DELAY * 2 ** (epoch - 1)
        await engine.service.cancel(execution_id, caller=OPERATOR)


async def _waits_in(engine: Engine, execution_id: str, epoch: int) -> None:
    """Wait until an execution waits for a person in this epoch; it must not fail before."""
    async with asyncio.timeout(PATIENCE):
        while (status := await engine.status(execution_id))["epoch"] < epoch or status["status"] != "waiting":
            assert status["error"] is None
            since = status["revision"]
            await engine.service.status(execution_id, caller=OPERATOR, since=since, wait=PATIENCE)


async def test_execution_that_crashed_for_good_is_resumed_by_hand(worker: Worker, begun: list[int]) -> None:
    execution_id = await worker.start(holding(max_restarts=0))
    await crash(worker, execution_id, epoch=1)
    failed = await worker.rest(execution_id)
    assert (failed["status"], failed["error"]["type"]) == ("failed", "crash")
    await worker.resume(execution_id)
    payload = await worker.until(execution_id, lambda payload: payload["progress"]["current"] == ["hold"])
    assert payload["epoch"] > failed["epoch"]
    assert payload["node_results"]["kept"] == failed["node_results"]["kept"]
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_crash_of_one_execution_is_not_noticed_by_another(worker: Worker, begun: list[int]) -> None:
    first, second = await worker.start(holding()), await worker.start(holding())
    await crash(worker, first, epoch=1)
    await worker.until(first, lambda payload: payload["epoch"] == 2)
    untouched = await worker.status(second)
    assert (untouched["status"], untouched["epoch"]) == ("running", 1)
    for execution_id in (first, second):
        await worker.command(execution_id, "cancel")
        await worker.rest(execution_id)


async def test_command_that_comes_while_the_actor_is_restarted_is_carried_out(
    worker: Worker, begun: list[int]
) -> None:
    execution_id = await worker.start(holding())
    await crash(worker, execution_id, epoch=1)
    assert (await worker.engine.status(execution_id))["status"] == "recovering"
    assert (await worker.command(execution_id, "cancel")).status == 202
    assert (await worker.rest(execution_id))["status"] == "cancelled"


async def test_execution_at_rest_survives_the_crash_of_its_actor(worker: Worker, functions: FunctionRegistry) -> None:
    @functions.node
    async def nothing(ctx: NodeContext) -> None:
        raise ValueError("nothing")

    execution_id = await worker.start(workflow(template("a", "done"), python("b", "nothing", needs=["a"])))
    before = await worker.rest(execution_id)
    assert (before["status"], before["checkpoint"]["saved"]) == ("failed", True)
    worker.crash(execution_id)
    meanwhile = await worker.engine.status(execution_id)
    assert {**meanwhile, "journal": before["journal"]} == before
    await worker.until_restarted(execution_id)
    assert of_the_run(await worker.status(execution_id)) == of_the_run(before)
    assert (await line_of(worker, execution_id))["restarts"] == 1


async def test_late_report_of_a_crashed_actors_node_is_refused(worker: Worker, functions: FunctionRegistry) -> None:
    gates = [threading.Event(), threading.Event()]
    began: list[int] = []

    @functions.node
    def hold(ctx: NodeContext) -> str:
        number = len(began)
        began.append(number)
        ctx.progress(0.5)
        gates[number].wait(PATIENCE)
        return f"call {number}"

    execution_id = await worker.start(holding())
    await crash(worker, execution_id, epoch=1)
    await worker.until(execution_id, lambda payload: payload["epoch"] == 2 and len(began) == 2)
    gates[0].set()
    gates[1].set()
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["node_results"]["hold"]["output"]) == ("completed", "call 1")


async def test_failed_execution_is_resumed_by_its_policy_until_it_succeeds(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt == "chapter 1." and asked.number <= 2 else FINE
    execution_id = await worker.start({**book(), "restart": {"auto_resume": 2, "delay": 0.05}})
    payload = await worker.until_status(execution_id, "completed")
    assert payload["epoch"] == 3
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 3, "chapter 2.": 1}
    assert (await worker.rest(execution_id))["db_ops"] == {"reads": 0, "writes": 6}


async def test_automatic_resumes_back_off_and_end_at_their_limit(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, retain_seconds=0.0)
    model.reply = lambda asked: Reply(status=401)
    document = workflow(llm("a", "go", model="fake/writer"), restart={"auto_resume": 2, "delay": 0.1})
    execution_id = await worker.start(document)
    # It leaves memory only when nothing more is to happen.
    payload = await worker.evicted(execution_id)
    assert (payload["status"], payload["epoch"], len(model.asked)) == ("failed", 3, 3)
    assert payload["checkpoint"]["saved"] is True
    at: dict[str, list[float]] = {kind: [] for kind in ("failed", "resumed")}
    for step in payload["processing_steps"]:
        if step["node_id"] is None:
            at[step["kind"]].append(parse_time(step["at"]))
    pauses = [resumed - failed for failed, resumed in zip(at["failed"], at["resumed"], strict=False)]
    assert len(pauses) == 2
    assert pauses[0] >= 0.099
    assert pauses[1] >= 0.199


async def test_what_somebody_cancelled_is_not_resumed_by_policy(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, retain_seconds=0.0)
    model.reply = lambda asked: Reply(hangs=True)
    execution_id = await worker.start({**book(), "restart": {"auto_resume": 5, "delay": 0.0}})
    await model.until(lambda: model.under_way == 1)
    await worker.command(execution_id, "cancel")
    payload = await worker.evicted(execution_id)
    assert (payload["status"], payload["epoch"], len(model.asked)) == ("cancelled", 1, 1)
