"""Whose key a call is made with: each user's own, fresh after a change, named when it is missing, never another's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from offbook.persistence.key_vault import new_master_key
from offbook.web.app import create_app
from offbook.workflows.values import ExecutionUser, JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, foreach, llm, output, template, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import ADA, NOBODY, Worker

MASTER = new_master_key()
EVE = {"id": "eve", "role": "user", "tier": ""}
MISSING = 422


@pytest.fixture
async def worker(opened: Open, model: FakeModel) -> Worker:
    """A worker that stores keys, with a provider that wants one."""
    return await opened(providers=model.locked, master_key=MASTER)


async def put(worker: Worker, user: str, key: str) -> None:
    """Store a key as its user does."""
    answer = await worker.call("PUT", f"/users/{user}/keys/fake", {"key": key}, user=user)
    assert answer.status == 204, answer.body


def of(word: str) -> JsonObject:
    """A book whose every prompt begins with a word."""
    return workflow(
        llm("outline", f"{word} outline", model="fake/writer"),
        foreach(
            "chapters",
            llm("chapter", f"{word} chapter {{{{ index }}}}", model="fake/writer"),
            needs=["outline"],
            count=4,
            concurrency=2,
        ),
        output("book", "{{ nodes.chapters.output | join(' ') }}", needs=["chapters"]),
    )


async def test_pain_38_two_users_at_once_never_use_each_others_keys(worker: Worker, model: FakeModel) -> None:
    for user in ("ada", "eve"):
        await put(worker, user, f"sk-of-{user}")
    # Both are under way at once, and each is told its own words.
    everybody = asyncio.Event()
    model.reply = lambda asked: Reply((f"for {asked.prompt}",), waits_for=everybody)
    users = {"ada": ADA, "eve": EVE}
    started = {user: [await worker.start(of(user), user=named) for _ in range(3)] for user, named in users.items()}
    await model.until(lambda: model.under_way == 6)
    everybody.set()
    for user, execution_ids in started.items():
        for execution_id in execution_ids:
            payload = await worker.rest(execution_id)
            assert (payload["status"], payload["user_id"]) == ("completed", user)
            assert payload["result"].count(f"for {user} chapter") == 4
    assert len(model.asked) == 30
    for asked in model.asked:
        assert asked.authorization == f"Bearer sk-of-{asked.prompt.split()[0]}"


async def test_pain_39_nobody_reads_steers_or_resumes_what_is_anothers(
    worker: Worker, model: FakeModel, closed: Close
) -> None:
    """Every route that there is: to another user an execution is as one that does not exist, and so are keys."""
    await put(worker, "ada", "sk-of-ada")
    model.reply = lambda asked: Reply((), hangs=True) if "chapter" in asked.prompt else FINE
    live = await worker.start(of("ada"))
    await model.until(lambda: model.under_way == 2)
    model.reply = lambda asked: Reply(status=401, error="no")
    ended = await worker.start(of("sad"))
    await worker.rest(ended)
    before = {execution_id: await worker.status(execution_id) for execution_id in (live, ended)}
    tried = 0
    for method, path in _routes(worker):
        if "{execution_id}" not in path and not path.startswith("/users/"):
            continue
        for execution_id in (live, ended):
            theirs = await _try(worker, method, path, execution_id)
            if theirs.status == 403:
                # For operators only: not for Ada either.
                assert (await _try(worker, method, path, execution_id, user="ada")).status == 403, (method, path)
                continue
            assert (theirs.status, theirs.body["type"]) == (404, "/problems/not-found"), (method, path, theirs.body)
            nobodys = await _try(worker, method, path, NOBODY)
            assert nobodys.status == theirs.status, (method, path)
            tried += 1
    assert tried >= 28
    assert (await worker.call("GET", "/executions", user="eve")).body["executions"] == []
    await worker.rest(await worker.start(workflow(template("a", "hers")), user={"id": "eve"}))
    assert (await worker.call("GET", "/executions?user=ada", user="eve")).body["executions"] == []
    assert len((await worker.call("GET", "/executions?user=eve", user="eve")).body["executions"]) == 1
    for path in ("/actors", "/drain", "/keys/rotate"):
        method = "GET" if path == "/actors" else "POST"
        assert (await worker.call(method, path, user="eve")).status == 403
    for execution_id, payload in before.items():
        after = await worker.status(execution_id)
        told = ("status", "epoch", "user_id", "node_results", "receipt", "error", "checkpoint", "cost")
        assert {word: after[word] for word in told} == {word: payload[word] for word in told}
    assert (await worker.call("GET", "/users/ada/keys", user="ada")).body["keys"] != []
    await worker.command(live, "cancel", user="ada")
    await worker.rest(live)


def _routes(worker: Worker) -> Iterator[tuple[str, str]]:
    for route in create_app(worker.engine.service).router.routes():
        if route.resource is not None and route.method not in ("*", "HEAD"):
            yield route.method, route.resource.canonical


async def _try(worker: Worker, method: str, path: str, execution_id: str, user: str = "eve") -> Any:
    """Ask for what is Ada's, as Eve."""
    known: dict[str, str] = defaultdict(lambda: "total", execution_id=execution_id, node_id="outline", user_id="ada")
    filled = path.format_map(known)
    bodies = {"PUT": {"key": "sk-of-eve"}, "POST": {}}
    return await worker.call(method, filled, bodies.get(method), user=user)


async def test_key_rotated_between_failure_and_resume_is_used_fresh(worker: Worker, model: FakeModel) -> None:
    await put(worker, "ada", "sk-old")

    def reply(asked: Asked) -> Reply:
        revoked = asked.authorization == "Bearer sk-old" and "chapter" in asked.prompt
        return Reply(status=401, error="revoked") if revoked else FINE

    model.reply = reply
    execution_id = await worker.start(of("ada"))
    failed = await worker.rest(execution_id)
    assert (failed["error"]["type"], "PUT /users/ada/keys/fake" in failed["error"]["hint"]) == ("invalid_key", True)
    await put(worker, "ada", "sk-new")
    asked = len(model.asked)
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["receipt"]["kept_nodes"]) == ("completed", 1)
    assert {each.authorization for each in model.asked[asked:]} == {"Bearer sk-new"}


async def test_key_changed_by_another_process_is_found_once_the_old_one_is_refused(
    worker: Worker, model: FakeModel
) -> None:
    await put(worker, "ada", "sk-old")
    model.reply = lambda asked: FINE if asked.authorization == "Bearer sk-new" else Reply(status=401, error="revoked")
    execution_id = await worker.start(of("ada"))
    assert (await worker.rest(execution_id))["status"] == "failed"
    # As another worker of the same database does it: nobody tells this one's cache.
    operations = worker.engine.service.keys
    cache, operations._keys = operations._keys, _Deaf()  # type: ignore[assignment]
    await put(worker, "ada", "sk-new")
    operations._keys = cache
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["status"] == "completed"


class _Deaf:
    """The cache of somebody else."""

    def forget(self, user_id: str, provider: str) -> None:
        """Keep what is known here."""


async def test_reads_of_keys_are_the_workers_and_in_no_executions_transactions(
    worker: Worker, model: FakeModel
) -> None:
    await put(worker, "ada", "sk-of-ada")
    before = await worker.figures()
    payloads = [await worker.rest(await worker.start(of("ada"))) for _ in range(3)]
    after = await worker.figures()
    assert [each["db_ops"] for each in payloads] == [{"reads": 0, "writes": 2}] * 3
    read = after["transactions"]["reads"] - before["transactions"]["reads"]
    assert read == after["keys"]["reads"] - before["keys"]["reads"] == 1


async def test_missing_key_is_named_for_each_node_before_anything_is_stored_or_spent(
    worker: Worker, model: FakeModel
) -> None:
    before = (await worker.transactions())[1]
    for query in ("", "", "?plan=true"):
        refused = await worker.call("POST", f"/executions{query}", {"workflow": of("ada"), "user": ADA})
        assert (refused.status, refused.body["type"]) == (MISSING, "/problems/validation-failed")
        errors = refused.body["errors"]
        assert [(each["code"], each["node_id"], each["path"]) for each in errors] == [
            ("missing-key", "outline", "nodes[0].config.model"),
            ("missing-key", "chapters", "nodes[1].config.do.config.model"),
        ]
        assert all("ada" in each["message"] and "PUT /users/ada/keys/fake" in each["hint"] for each in errors)
    assert (await worker.transactions())[1] == before
    assert model.asked == []
    await put(worker, "ada", "sk-of-ada")
    assert (await worker.rest(await worker.start(of("ada"))))["status"] == "completed"


async def test_key_is_not_missing_where_its_node_may_be_skipped_or_fail(worker: Worker, model: FakeModel) -> None:
    document = workflow(
        template("text", "a text"),
        llm("cover", "a cover", model="fake/painter", when="inputs.cover", needs=["text"]),
        llm("after", "after the cover", model="fake/painter", needs=["cover"]),
        llm("extra", "an extra", model="fake/painter", continue_on_error=True),
        llm("chosen", "some", model="{{ inputs.model }}", when=False),
        output("book", "{{ nodes.text.output }}", needs=["text", "extra"]),
        inputs={"cover": {"type": "boolean", "default": False}, "model": {"type": "text", "default": "fake/x"}},
    )
    payload = await worker.rest(await worker.start(document))
    assert (payload["status"], payload["result"]) == ("completed", "a text")
    error = payload["node_results"]["extra"]["error"]
    assert (error["type"], "PUT /users/ada/keys/fake" in error["hint"]) == ("invalid_key", True)
    assert model.asked == []
    payload = await worker.rest(await worker.start(document, {"cover": True}))
    assert (payload["status"], payload["error"]["node_id"]) == ("failed", "cover")


async def test_key_of_everybody_is_for_those_without_one_unless_it_is_not_shared(
    opened: Open, closed: Close, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFBOOK_KEY_FAKE", "sk-of-everybody")
    worker = await opened(providers=model.locked, master_key=MASTER)
    await put(worker, "eve", "sk-of-eve")
    for user in (ADA, EVE):
        await worker.rest(await worker.start(of(str(user["id"])), user=user))
    used = {each.prompt.split()[0]: each.authorization for each in model.asked}
    assert used == {"ada": "Bearer sk-of-everybody", "eve": "Bearer sk-of-eve"}
    await closed(worker)
    worker = await opened(providers=model.locked, master_key=MASTER, shared_keys=False)
    refused = await worker.call("POST", "/executions", {"workflow": of("ada"), "user": ADA})
    assert refused.status == MISSING
    assert "OFFBOOK_KEY_FAKE" not in str(refused.body)


async def test_stored_key_without_its_master_key_is_an_error_of_the_node(
    opened: Open, closed: Close, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFBOOK_KEY_FAKE", "sk-of-everybody")
    worker = await opened(providers=model.locked, master_key=MASTER)
    await put(worker, "ada", "sk-of-ada")
    for master in (None, new_master_key()):
        await closed(worker)
        worker = await opened(providers=model.locked, master_key=master)
        payload = await worker.rest(await worker.start(of("ada")))
        assert (payload["status"], payload["error"]["type"]) == ("failed", "invalid_key")
        assert "master key" in payload["error"]["message"]
        listed = await worker.call("GET", "/users/ada/keys")
        assert [each["provider"] for each in listed.body["keys"]] == ["fake"]
    assert model.asked == []
    await put(worker, "ada", "sk-stored-again")
    await worker.resume(payload["execution_id"])
    assert (await worker.rest(payload["execution_id"]))["status"] == "completed"


async def test_worker_without_a_master_key_stores_none_and_says_what_to_do(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.locked)
    refused = await worker.call("PUT", "/users/ada/keys/fake", {"key": "sk-of-ada"})
    assert (refused.status, refused.body["type"]) == (503, "/problems/no-master-key")
    assert "offbook keys master" in refused.body["detail"]


async def test_what_is_no_key_of_a_provider_is_refused(worker: Worker) -> None:
    for path, key, code in [
        ("/users/ada/keys/fakr", "sk-of-ada", "unknown-provider"),
        ("/users/ada/keys/scripted", "sk-of-ada", "unknown-provider"),
        ("/users/ada/keys/fake", "two\nlines", "bad-key"),
        ("/users/ada/keys/fake", " ", "bad-key"),
        ("/users/ada/keys/fake", "k" * 5000, "bad-key"),
        (f"/users/{'a' * 201}/keys/fake", "sk-of-ada", "bad-user"),
    ]:
        refused = await worker.call("PUT", path, {"key": key})
        assert (refused.status, refused.body["errors"][0]["code"]) == (MISSING, code), path
        assert key.strip() in ("", "sk-of-ada") or key not in str(refused.body)


async def test_all_keys_are_sealed_anew_while_calls_are_made(opened: Open, closed: Close, model: FakeModel) -> None:
    new = new_master_key()
    worker = await opened(providers=model.locked, master_key=MASTER)
    users = [f"user-{number}" for number in range(120)]
    await asyncio.gather(*(put(worker, user, f"sk-of-{user}") for user in users))
    await closed(worker)
    worker = await opened(providers=model.locked, master_key=f"{new},{MASTER}")
    done, _ = await asyncio.gather(worker.call("POST", "/keys/rotate"), put(worker, "user-7", "sk-changed"))
    assert done.status == 200
    assert 119 <= done.body["resealed"] <= 120
    assert done.body["unreadable"] == []
    await closed(worker)
    worker = await opened(providers=model.locked, master_key=new)
    for user, key in (("user-7", "sk-changed"), ("user-119", "sk-of-user-119")):
        await worker.rest(await worker.start(workflow(llm("a", user, model="fake/writer")), user={"id": user}))
        assert model.asked[-1].authorization == f"Bearer {key}"


class Vault:
    """An application's own keys."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str]] = []

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        assert user is not None
        self.asked.append((user.to_json(), provider))
        return f"sk-of-the-application-for-{user.id}"


async def test_application_may_find_the_keys_itself(opened: Open, model: FakeModel) -> None:
    keys = Vault()
    worker = await opened(providers=model.locked, keys=keys, master_key=MASTER)
    payload = await worker.rest(await worker.start(book()))
    assert payload["status"] == "completed"
    assert keys.asked == [(ADA, "fake")] * 4
    assert {each.authorization for each in model.asked} == {"Bearer sk-of-the-application-for-ada"}
    refused = await worker.call("PUT", "/users/ada/keys/fake", {"key": "sk-of-ada"})
    assert (refused.status, refused.body["type"]) == (403, "/problems/forbidden")


async def test_missing_user_is_told_with_the_nodes_that_need_one(worker: Worker) -> None:
    refused = await worker.call("POST", "/executions", {"workflow": of("ada")})
    assert (refused.status, refused.body["type"]) == (MISSING, "/problems/execution-user-missing")
    assert "needed by outline, chapters" in refused.body["detail"]
    assert "X-Offbook-User" in refused.body["detail"]


async def test_validation_names_the_nodes_that_need_a_user_and_a_key(worker: Worker) -> None:
    answer = await worker.call("POST", "/workflows/validate", of("ada"))
    assert answer.body == {
        "valid": True,
        "errors": [],
        "needs": {"user": ["outline", "chapters"], "keys": {"fake": ["outline", "chapters"]}},
    }


async def test_fork_needs_no_key_for_what_it_keeps(worker: Worker, model: FakeModel) -> None:
    await put(worker, "ada", "sk-of-ada")
    execution_id = await worker.start(of("ada"))
    await worker.rest(execution_id)
    assert (await worker.call("DELETE", "/users/ada/keys/fake")).status == 204
    asked = len(model.asked)
    kept = await worker.call("POST", f"/executions/{execution_id}/fork", {})
    assert kept.status == 202, kept.body
    assert (await worker.rest(kept.body["execution_id"]))["status"] == "completed"
    changed = of("ada")
    changed["nodes"][0]["config"]["prompt"] = "another outline"
    refused = await worker.call("POST", f"/executions/{execution_id}/fork", {"workflow": changed})
    assert refused.status == MISSING
    assert {each["node_id"] for each in refused.body["errors"]} >= {"outline"}
    assert len(model.asked) == asked
