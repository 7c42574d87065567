"""Promise 7: the user is checked, kept and checked again; a key is nowhere but on its way to the provider."""

from __future__ import annotations

from pathlib import Path

import pytest
from loguru import logger

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, llm, python, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import ADA, Worker, of_the_run

KEY = "sk-a-key-that-must-not-be-seen"


@pytest.fixture
def seen_users(functions: FunctionRegistry) -> list[object]:
    """Whom the function `who` saw; it fails the first time."""
    seen: list[object] = []

    @functions.node
    def who(ctx: NodeContext) -> str:
        assert ctx.user is not None
        seen.append(ctx.user.to_json())
        if len(seen) == 1:
            raise ValueError("not now")
        return ctx.user.id

    return seen


async def test_execution_without_a_user_is_refused_before_it_is_stored(worker: Worker) -> None:
    before = await worker.transactions()
    for user in ({}, {"user": None}):
        answer = await worker.call("POST", "/executions", {"workflow": book(model="scripted/x"), **user})
        assert (answer.status, answer.body["type"]) == (422, "/problems/execution-user-missing")
    assert await worker.transactions() == before


async def test_caller_is_the_execution_user(worker: Worker, seen_users: list[object]) -> None:
    body = {"workflow": workflow(python("a", "who"))}
    answer = await worker.call(
        "POST", "/executions", body, user="eve", X_Offbook_Role="editor", X_Offbook_Tier="silver"
    )
    assert answer.status == 202
    payload = await worker.rest(answer.body["execution_id"])
    assert (payload["user_id"], seen_users) == ("eve", [{"id": "eve", "role": "editor", "tier": "silver"}])
    for_another = await worker.call("POST", "/executions", {**body, "user": ADA}, user="eve")
    assert (for_another.status, for_another.body["type"]) == (403, "/problems/forbidden")


@pytest.mark.parametrize("new_worker", [False, True])
async def test_user_is_kept_in_the_checkpoint_and_travels_into_the_resume(
    opened: Open, closed: Close, seen_users: list[object], new_worker: bool
) -> None:
    worker = await opened()
    execution_id = await worker.start(workflow(python("a", "who")))
    await worker.rest(execution_id)
    assert (await worker.checkpoint(execution_id))["execution_user"] == ADA
    if new_worker:
        await closed(worker)
        worker = await opened()
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["user_id"], payload["result"]) == ("completed", "ada", None)
    assert seen_users == [ADA, ADA]


@pytest.mark.parametrize("new_worker", [False, True])
async def test_only_its_own_user_resumes_it(opened: Open, closed: Close, model: FakeModel, new_worker: bool) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.number == 1 else FINE
    execution_id = await worker.start(book())
    failed = await worker.rest(execution_id)
    if new_worker:
        await closed(worker)
        worker = await opened(providers=model.providers)
    by_another = await worker.command(execution_id, "resume", user="eve")
    assert (by_another.status, by_another.body["type"]) == (404, "/problems/not-found")
    as_another = await worker.command(execution_id, "resume", {"user": {"id": "eve"}})
    assert (as_another.status, as_another.body["type"]) == (403, "/problems/forbidden")
    assert (await worker.status(execution_id))["revision"] == failed["revision"]
    assert len(model.asked) == 1
    by_its_own = await worker.command(execution_id, "resume", {"user": ADA}, user="ada")
    assert by_its_own.status == 202
    assert (await worker.rest(execution_id))["status"] == "failed"


async def test_users_see_and_steer_only_what_is_theirs(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(hangs=True)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    before = await worker.status(execution_id)
    one = f"/executions/{execution_id}"
    for method, path in [
        ("GET", f"/status/{execution_id}"),
        ("GET", f"{one}/checkpoint"),
        ("GET", f"{one}/nodes/outline/output"),
        ("POST", f"{one}/cancel"),
        ("POST", f"{one}/pause"),
        ("POST", f"{one}/resume"),
        ("POST", f"{one}/signals/go"),
        ("DELETE", one),
    ]:
        assert (await worker.call(method, path, user="eve")).status == 404, (method, path)
    assert of_the_run(await worker.status(execution_id)) == of_the_run(before)
    assert (await worker.call("POST", f"{one}/cancel", user="ada")).status == 202
    await worker.rest(execution_id)


async def test_key_is_in_no_status_checkpoint_error_log_or_file(
    opened: Open, closed: Close, model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFBOOK_KEY_FAKE", KEY)
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", diagnose=False)

    def reply(asked: Asked) -> Reply:
        # A server that repeats what it was sent.
        return Reply(status=401, error=f"the key {KEY} is not valid") if "chapter" in asked.prompt else FINE

    model.reply = reply
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(), durability="sync")
    failed = await worker.rest(execution_id)
    assert model.asked[-1].authorization == f"Bearer {KEY}"
    assert failed["error"]["type"] == "invalid_key"
    shown = [
        failed,
        await worker.checkpoint(execution_id),
        (await worker.call("GET", "/actors")).body,
        (await worker.call("GET", "/executions")).body,
    ]
    await closed(worker)
    logger.remove(sink)
    assert KEY not in str(shown)
    assert lines
    assert KEY not in "".join(lines)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(files) >= 2
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


async def test_prompt_is_not_logged(opened: Open, model: FakeModel) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", diagnose=False)
    model.reply = lambda asked: Reply(status=400, error=f"cannot answer {asked.prompt}")
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(workflow(llm("a", "a secret plot", model="fake/writer")))
    assert (await worker.rest(execution_id))["status"] == "failed"
    logger.remove(sink)
    assert lines
    assert "a secret plot" not in "".join(lines)
