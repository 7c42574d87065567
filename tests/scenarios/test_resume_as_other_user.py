"""An operator lets an execution go on as another user: whose it is then, with whose key, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from loguru import logger

from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.key_vault import new_master_key
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.worker import ADA, Worker

EVE = {"id": "eve", "role": "editor", "tier": "silver"}
AS_EVE = {"user": EVE, "as_other_user": True}
MASTER = new_master_key()


@pytest.fixture
async def failing(model: FakeModel) -> FakeModel:
    """A model that refuses chapter 1 the first time."""
    model.reply = lambda asked: (
        Reply(status=401, error="no") if asked.prompt == "chapter 1." and asked.number == 1 else FINE
    )
    return model


async def owners(worker: Worker, execution_id: str) -> dict[str, bool]:
    """Who sees it, by status and by list."""
    seen = {}
    for user in ("ada", "eve"):
        status = (await worker.call("GET", f"/status/{execution_id}", user=user)).status
        listed = (await worker.call("GET", "/executions", user=user)).body["executions"]
        assert (status == 200) == (execution_id in [each["execution_id"] for each in listed])
        seen[user] = status == 200
    return seen


@pytest.mark.parametrize("new_worker", [False, True])
async def test_it_is_the_other_users_from_then_on(
    opened: Open, closed: Close, failing: FakeModel, new_worker: bool
) -> None:
    settings: dict[str, Any] = {"providers": failing.providers, "master_key": MASTER}
    worker = await opened(**settings)
    for user in ("ada", "eve"):
        put = await worker.call("PUT", f"/users/{user}/keys/fake", {"key": f"sk-of-{user}"})
        assert put.status == 204
    execution_id = await worker.start(book())
    assert (await worker.rest(execution_id))["status"] == "failed"
    assert {each.authorization for each in failing.asked} == {"Bearer sk-of-ada"}
    if new_worker:
        await closed(worker)
        worker = await opened(**settings)
    asked = len(failing.asked)
    lines: list[Any] = []
    sink = logger.add(lines.append, filter=lambda record: record["extra"].get("audit", False))
    await worker.resume(execution_id, **AS_EVE)
    payload = await worker.rest(execution_id)
    logger.remove(sink)
    assert (payload["status"], payload["user_id"], payload["receipt"]["kept_items"]) == ("completed", "eve", 1)
    assert {each.authorization for each in failing.asked[asked:]} == {"Bearer sk-of-eve"}
    steps = [each["text"] for each in payload["processing_steps"] if each["kind"] == "resumed"]
    assert steps == ["on behalf of eve in place of ada", ""]
    assert await owners(worker, execution_id) == {"ada": False, "eve": True}
    (line,) = lines
    told = line.record["extra"]
    assert (told["execution_id"], told["was"], told["user"]) == (execution_id, "ada", "eve")
    # Also once it has left memory, and after that.
    await closed(worker)
    worker = await opened(**settings)
    assert await owners(worker, execution_id) == {"ada": False, "eve": True}


async def test_it_stays_the_other_users_through_failure_restart_and_the_next_resume(
    opened: Open, closed: Close, functions: FunctionRegistry
) -> None:
    seen: list[Any] = []

    @functions.node
    def who(ctx: Any) -> str:
        seen.append(ctx.user.to_json())
        if len(seen) < 4:
            raise ValueError("not now")
        return str(ctx.user.id)

    worker = await opened()
    greeting = template("greeting", "{{ user.id }}, {{ user.role }}, {{ user.tier }}", needs=["a"])
    last = output("book", "{{ nodes.greeting.output }}", needs=["greeting"])
    execution_id = await worker.start(workflow(python("a", "who"), greeting, last))
    await worker.rest(execution_id)
    await worker.resume(execution_id, **AS_EVE)
    await worker.rest(execution_id)
    assert (await worker.checkpoint(execution_id))["execution_user"] == EVE
    await closed(worker)
    worker = await opened()
    by_ada = await worker.command(execution_id, "resume", user="ada")
    as_ada = await worker.command(execution_id, "resume", {"user": ADA})
    assert (by_ada.status, as_ada.status) == (404, 403)
    # Her own role and tier do not change by what a resume says of her.
    by_eve = await worker.command(execution_id, "resume", {"user": {"id": "eve"}}, user="eve")
    assert by_eve.status == 202
    await worker.rest(execution_id)
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["result"]) == ("completed", "eve, editor, silver")
    assert seen == [ADA, EVE, EVE, EVE]


async def test_crash_after_it_changed_hands_changes_nothing(opened: Open, functions: FunctionRegistry) -> None:
    seen: list[Any] = []
    going = asyncio.Event()
    loop = asyncio.get_running_loop()

    @functions.node
    async def who(ctx: Any) -> None:
        seen.append(ctx.user.id)
        if len(seen) == 1:
            raise ValueError("not now")
        if len(seen) == 2:
            loop.call_soon_threadsafe(going.set)
            await asyncio.Event().wait()

    worker = await opened()
    execution_id = await worker.start(workflow(python("a", "who")))
    await worker.rest(execution_id)
    await worker.resume(execution_id, **AS_EVE)
    await asyncio.wait_for(going.wait(), 60)
    worker.crash(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["user_id"], seen) == ("completed", "eve", ["ada", "eve", "eve"])


async def test_only_an_operator_may_and_only_if_it_is_meant(opened: Open, failing: FakeModel) -> None:
    worker = await opened(providers=failing.providers)
    execution_id = await worker.start(book())
    before = await worker.rest(execution_id)
    for body, caller, status in [
        ({"user": EVE}, None, 403),
        ({"user": EVE, "as_other_user": False}, None, 403),
        (AS_EVE, "ada", 403),
        (AS_EVE, "eve", 403),
        ({"as_other_user": True}, None, 422),
        ({"user": EVE, "as_other_user": "yes"}, None, 422),
    ]:
        answer = await worker.command(execution_id, "resume", body, user=caller)
        assert answer.status == status, (body, caller, answer.body)
    assert (await worker.status(execution_id))["revision"] == before["revision"]
    assert await owners(worker, execution_id) == {"ada": True, "eve": False}


async def test_what_goes_on_does_not_change_hands(opened: Open, model: FakeModel) -> None:
    model.reply = lambda asked: Reply(hangs=True)
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    refused = await worker.command(execution_id, "resume", AS_EVE)
    assert (refused.status, refused.body["type"]) == (409, "/problems/not-resumable")
    assert "pause or cancel" in refused.body["detail"]
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)
    model.reply = lambda asked: FINE
    twice = await asyncio.gather(*(worker.resume(execution_id, **AS_EVE) for _ in range(3)))
    assert set(twice) == {2}
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["user_id"]) == ("completed", "eve")


async def test_user_travels_with_role_and_tier_through_retry_items_and_restart(
    opened: Open, closed: Close, functions: FunctionRegistry
) -> None:
    """The whole way of one user: accepted, retried, fanned out, checkpointed, started again, resumed."""
    seen: list[Any] = []

    @functions.node
    def who(ctx: Any, fails: bool = False) -> str:
        from offbook.nodes.context import NodeFailure

        seen.append(ctx.user.to_json())
        if ctx.attempt == 1:
            raise NodeFailure.of("dropped", "again", retryable=True)
        if fails and ctx.attempt == 2:
            raise ValueError("for good")
        return f"{ctx.user.id}/{ctx.user.role}/{ctx.user.tier}"

    retry = {"attempts": 2, "delay": 0.01}
    document = workflow(
        python("a", "who", retry=retry),
        foreach("items", python("each", "who", retry=retry, args={"fails": True}), needs=["a"], count=2),
        llm("said", "for {{ user.id }}/{{ user.role }}/{{ user.tier }}", needs=["items"], script={"text": "x"}),
        output("all", "{{ nodes['items'].output | join(' ') }} {{ user.tier }}", needs=["said"]),
    )
    worker = await opened()
    execution_id = await worker.start(document)
    assert (await worker.rest(execution_id))["status"] == "failed"
    assert (await worker.checkpoint(execution_id))["execution_user"] == ADA
    while (await worker.status(execution_id))["status"] != "completed":
        await closed(worker)
        worker = await opened()
        await worker.resume(execution_id)
        payload = await worker.rest(execution_id)
    assert payload["result"] == "ada/author/gold ada/author/gold gold"
    assert len(seen) >= 7
    assert all(user == ADA for user in seen)
