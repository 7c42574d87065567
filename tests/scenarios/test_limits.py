"""Limits over HTTP: who waits for what, as status and figures tell it, and how each way of stopping ends it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from offbook.actors.limit_settings import LimitsRefused
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, foreach, llm, output, template, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.worker import PATIENCE, Worker

ONE_CALL: JsonObject = {"provider": {"fake": {"concurrency": 1}}}
BOB = {"id": "bob", "role": "author", "tier": "free"}


async def limited(opened: Open, model: FakeModel, limits: JsonObject, **more: object) -> Worker:
    return await opened(providers=model.providers, limits=limits, **more)


def one_call(prompt: str = "outline", **more: object) -> JsonObject:
    return workflow(llm("outline", prompt, model="fake/writer", **more))  # type: ignore[arg-type]


async def limits_of(worker: Worker) -> list[JsonObject]:
    listed: list[JsonObject] = (await worker.call("GET", "/actors")).body["limits"]
    return listed


async def test_execution_waits_for_its_provider_and_goes_on_by_itself(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, ONE_CALL)
    may_end = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=may_end)
    first = await worker.start(one_call())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(one_call())
    payload = await worker.until_status(second, "waiting")
    waiting = payload["waiting"]
    assert (waiting["kind"], waiting["name"], waiting["until"]) == ("provider", "fake", None)
    assert waiting["limit"] == {"kind": "provider", "why": "concurrency"}
    assert payload["node_results"]["outline"]["status"] == "waiting"
    (limit,) = await limits_of(worker)
    assert (limit["kind"], limit["name"], limit["in_use"], limit["waiting"]) == ("provider", "fake", 1, 1)
    may_end.set()
    for execution_id in (first, second):
        ended = await worker.rest(execution_id)
        assert (ended["status"], ended["db_ops"]) == ("completed", {"reads": 0, "writes": 2})
    assert len(model.asked) == 2


async def test_one_call_of_another_user_does_not_wait_for_five_hundred(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, ONE_CALL)
    doors = {number: asyncio.Event() for number in range(3)}
    model.reply = lambda asked: Reply(waits_for=doors.get(len(model.asked) - 1, doors[2]))
    ada = await worker.start(
        workflow(foreach("items", llm("item", "item {{ index }}", model="fake/writer"), count=500, concurrency=500))
    )
    await model.until(lambda: model.under_way == 1)
    await worker.until(ada, lambda payload: payload["node_results"]["items"]["items"]["total"] == 500)
    await _until_waiting(worker, "fake", 499)
    bob = await worker.start(one_call("of bob"), user=BOB)
    await _until_waiting(worker, "fake", 500)
    doors[0].set()
    doors[1].set()
    await model.until(lambda: model.count("of bob") == 1)
    assert len(model.asked) <= 3
    await worker.command(ada, "cancel")
    doors[2].set()
    assert (await worker.rest(bob))["status"] == "completed"
    assert (await worker.rest(ada))["status"] == "cancelled"
    assert [(each["in_use"], each["waiting"]) for each in await limits_of(worker)] == [(0, 0)]


async def test_retry_after_holds_all_calls_of_the_key_and_is_shown(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, {})
    model.reply = lambda asked: Reply(status=429, error="slow down", headers={"Retry-After": "60"})
    first = await worker.start(one_call(retry={"attempts": 3, "delay": 0}))
    payload = await worker.until_status(first, "waiting")
    assert (payload["waiting"]["kind"], payload["waiting"]["name"]) == ("provider", "fake")
    assert payload["waiting"]["limit"]["why"] == "retry_after"
    second = await worker.start(one_call())
    waiting = (await worker.until_status(second, "waiting"))["waiting"]
    assert (waiting["kind"], waiting["name"]) == ("provider", "fake")
    assert waiting["limit"] == {"kind": "provider", "why": "retry_after"}
    until = datetime.fromisoformat(waiting["until"]) - datetime.fromisoformat(payload["created_at"])
    assert 50 < until.total_seconds() < 60 + PATIENCE
    assert len(model.asked) == 1
    for each in (first, second):
        await worker.command(each, "cancel")
        await worker.rest(each)


@pytest.mark.parametrize("command", ["cancel", "pause"])
async def test_stop_ends_the_wait_at_once_and_resume_calls_for_the_first_time(
    opened: Open, model: FakeModel, command: str
) -> None:
    worker = await limited(opened, model, ONE_CALL)
    model.reply = lambda asked: Reply(hangs=True) if asked.prompt == "in the way" else FINE
    busy = await worker.start(one_call("in the way"))
    await model.until(lambda: model.under_way == 1)
    execution_id = await worker.start(book(chapters=1))
    await worker.until_status(execution_id, "waiting")
    await worker.command(execution_id, command)
    payload = await worker.rest(execution_id)
    assert payload["status"] == {"cancel": "cancelled", "pause": "paused"}[command]
    assert [(each["in_use"], each["waiting"]) for each in await limits_of(worker)] == [(1, 0)]
    await worker.command(busy, "cancel")
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["receipt"]["repeated_calls"]) == ("completed", 0)
    assert model.count("outline") == 1


async def test_failure_beside_a_wait_waits_for_nothing(opened: Open, model: FakeModel) -> None:
    providers = {**model.providers, "other": model.providers["fake"]}
    worker = await opened(providers=providers, limits=ONE_CALL)
    may_fail = asyncio.Event()
    model.reply = lambda asked: Reply(status=401, waits_for=may_fail if asked.prompt == "first" else asyncio.Event())
    busy = await worker.start(one_call())
    await model.until(lambda: model.under_way == 1)
    execution_id = await worker.start(
        workflow(llm("a", "first", model="other/writer"), llm("b", "second", model="fake/writer"))
    )
    await _until_waiting(worker, "fake", 1)
    await model.until(lambda: model.count("first") == 1)
    may_fail.set()
    payload = await worker.rest(execution_id)
    assert payload["status"] == "failed"
    assert [entry["status"] for entry in payload["node_results"].values()] == ["failed", "pending"]
    assert model.count("second") == 0
    await worker.command(busy, "cancel")
    await worker.rest(busy)


async def test_drain_does_not_wait_for_limits_and_the_next_worker_goes_on(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    worker = await limited(opened, model, {"provider": {"fake": {"per_minute": 1}}}, drain_grace=600)
    execution_id = await worker.start(book(chapters=1))
    waiting = (await worker.until_status(execution_id, "waiting"))["waiting"]
    assert (waiting["node_id"], waiting["item"]) == ("chapters", 0)
    assert waiting["limit"]["why"] == "per_minute"
    assert waiting["until"] is not None
    worker.engine.request_stop(600)
    async with asyncio.timeout(PATIENCE):
        await worker.engine.drain()
    await closed(worker)
    after = await opened(providers=model.providers)
    payload = await after.rest(execution_id)
    assert payload["status"] == "completed"
    assert payload["receipt"]["repeated_calls"] == 0
    assert [asked.prompt for asked in model.asked] == ["outline", "chapter 0."]


async def test_crash_of_an_execution_that_waits_leaves_no_turn_behind(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, ONE_CALL)
    may_end = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=may_end)
    first = await worker.start(one_call())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(one_call())
    await worker.until_status(second, "waiting")
    worker.crash(second)
    await worker.until(second, lambda payload: payload["epoch"] == 2 and payload["status"] == "waiting")
    assert [(each["in_use"], each["waiting"]) for each in await limits_of(worker)] == [(1, 1)]
    may_end.set()
    assert (await worker.rest(second))["status"] == "completed"
    assert (await worker.rest(first))["status"] == "completed"


async def test_key_that_changed_during_the_wait_is_used_fresh(
    opened: Open, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await limited(opened, model, ONE_CALL)
    monkeypatch.setenv("OFFBOOK_KEY_FAKE", "old-key")
    may_end = asyncio.Event()
    model.reply = lambda asked: Reply(waits_for=may_end)
    first = await worker.start(one_call())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(one_call())
    await worker.until_status(second, "waiting")
    monkeypatch.setenv("OFFBOOK_KEY_FAKE", "new-key")
    may_end.set()
    await worker.rest(first)
    await worker.rest(second)
    assert [asked.authorization for asked in model.asked] == ["Bearer old-key", "Bearer new-key"]


async def test_tokens_of_a_minute_are_those_that_the_provider_counted(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, {"provider": {"fake": {"tokens_per_minute": 1500}}})
    for _ in range(2):
        # Each is expected to take a thousand, and takes a few.
        execution_id = await worker.start(one_call())
        assert (await worker.rest(execution_id))["status"] == "completed"
    (limit,) = await limits_of(worker)
    assert 0 < limit["last_minute"]["tokens"] < 200


async def test_template_waits_for_no_limit_of_its_user(opened: Open, model: FakeModel) -> None:
    worker = await limited(opened, model, {"user": {"concurrency": 1}})
    model.reply = lambda asked: Reply(hangs=True)
    busy = await worker.start(one_call())
    await model.until(lambda: model.under_way == 1)
    quick = await worker.start(workflow(template("a", "text"), output("b", "{{ nodes.a.output }}", needs=["a"])))
    assert (await worker.rest(quick))["status"] == "completed"
    second = await worker.start(one_call())
    waiting = (await worker.until_status(second, "waiting"))["waiting"]
    assert (waiting["kind"], waiting["name"], waiting["limit"]["kind"]) == ("provider", "ada", "user")
    for each in (busy, second):
        await worker.command(each, "cancel")
        await worker.rest(each)


async def test_engine_with_wrong_limits_does_not_start(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[node_type.lm]\nconcurrency = 0\n")
    with pytest.raises(
        LimitsRefused, match=r"line 1, node_type\.lm.*line 2, node_type\.lm\.concurrency|line 2.*line 1"
    ):
        await opened(limits=path)


async def _until_waiting(worker: Worker, name: str, count: int) -> None:
    """Nobody is told of figures, so this asks; not without a pause, which would hold up what it waits for."""

    async def waits() -> bool:
        return any(each["name"] == name and each["waiting"] == count for each in await limits_of(worker))

    async with asyncio.timeout(PATIENCE):
        while not await waits():  # noqa: ASYNC110 - nobody is told of figures
            await asyncio.sleep(0.02)
