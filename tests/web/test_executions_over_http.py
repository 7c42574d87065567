"""Stories of real executions, told by real actors over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.workflows.values import JsonObject
from tests.web.conftest import Client
from tests.web.novella import ADA, ALWAYS_FAILS, FAILS_ONCE, SLOW, novella

WAIT = 20
AT_REST = {"completed", "failed", "cancelled", "paused", "interrupted"}
Open = Callable[..., Awaitable[Client]]


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Open]:
    """Give `await worker(max_live=..., ...)`: a client of a new engine over the same data folder."""
    opened: list[tuple[Engine, Client]] = []

    async def close() -> None:
        while opened:
            engine, client = opened.pop()
            await client.close()
            await engine.__aexit__(None, None, None)

    async def open_worker(**settings: object) -> Client:
        await close()
        engine = Engine(EngineSettings(data_dir=tmp_path / "data", **settings))  # type: ignore[arg-type]
        await engine.__aenter__()
        client: Client = TestClient(TestServer(create_app(engine.service)))
        await client.start_server()
        opened.append((engine, client))
        return client

    yield open_worker
    await close()


@pytest.fixture
async def web(worker: Open) -> Client:
    return await worker()


async def start(web: Client, document: object, **fields: object) -> str:
    body = {"workflow": document, "inputs": {"premise": "rain"}, "user": ADA, **fields}
    response = await web.post("/executions", json=body)
    assert response.status == 202, await response.text()
    return str((await response.json())["execution_id"])


async def status(web: Client, execution_id: str) -> JsonObject:
    response = await web.get(f"/status/{execution_id}")
    assert response.status == 200, await response.text()
    payload: JsonObject = await response.json()
    return payload


async def until(web: Client, execution_id: str, reached: Callable[[JsonObject], bool]) -> JsonObject:
    """Poll for news until a status is as it should be; return it whole."""
    async with asyncio.timeout(WAIT):
        while not reached(payload := await status(web, execution_id)):
            await web.get(f"/status/{execution_id}?since={payload['revision']}&wait=10")
    return payload


async def at_rest(web: Client, execution_id: str) -> JsonObject:
    """Wait for an execution to rest, and to be stored unless it completed: of that its status says nothing."""
    return await until(
        web,
        execution_id,
        lambda payload: (
            payload["status"] in AT_REST and (payload["status"] == "completed" or payload["checkpoint"]["saved"])
        ),
    )


def writing(payload: JsonObject) -> bool:
    """Whether a chapter is streaming text."""
    return any(step["kind"] == "text" and step["item"] is not None for step in payload["processing_steps"])


async def test_book_is_written_with_two_transactions_however_often_it_is_polled(web: Client) -> None:
    execution_id = await start(web, novella(), labels={"team": "x"})
    for _ in range(20):
        await status(web, execution_id)
    payload = await at_rest(web, execution_id)
    assert payload["status"] == "completed"
    assert payload["result"] == "a chapter / a chapter / a chapter"
    assert payload["db_ops"] == {"reads": 0, "writes": 2}
    assert payload["progress"] == {"percent": 100.0, "completed": 3, "total": 3, "current": []}
    assert (payload["source"], payload["user_id"], payload["labels"]) == ("memory", "ada", {"team": "x"})


async def test_failed_book_keeps_its_chapters_and_goes_on_where_it_stopped(web: Client) -> None:
    execution_id = await start(web, novella(FAILS_ONCE))
    failed = await at_rest(web, execution_id)
    assert failed["status"] == "failed"
    assert (failed["error"]["type"], failed["error"]["node_id"], failed["error"]["item"]) == (
        "invalid_key",
        "chapters",
        1,
    )
    assert failed["db_ops"] == {"reads": 0, "writes": 2}
    checkpoint = await (await web.get(f"/executions/{execution_id}/checkpoint")).json()
    assert checkpoint["completed_nodes"] == ["outline"]
    assert checkpoint["execution_user"]["id"] == "ada"
    assert checkpoint["item_outputs"]["chapters"] == {"0": "a chapter"}

    resumed = await web.post(f"/executions/{execution_id}/resume", json={"user": ADA})
    assert (resumed.status, (await resumed.json())["epoch"]) == (202, 2)
    payload = await at_rest(web, execution_id)
    assert payload["status"] == "completed"
    assert payload["result"] == "a chapter / a chapter / a chapter"
    assert (payload["receipt"]["kept_nodes"], payload["receipt"]["kept_items"]) == (1, 1)
    assert payload["db_ops"]["writes"] == 4
    assert payload["db_ops"]["reads"] <= 1
    assert (await web.get(f"/executions/{execution_id}/checkpoint")).status == 404


async def test_resume_in_a_new_process_goes_on_from_the_database(worker: Open) -> None:
    web = await worker()
    execution_id = await start(web, novella(FAILS_ONCE))
    await at_rest(web, execution_id)
    web = await worker()
    stored = await status(web, execution_id)
    assert (stored["status"], stored["source"]) == ("failed", "database")
    await web.post(f"/executions/{execution_id}/resume")
    payload = await at_rest(web, execution_id)
    assert (payload["status"], payload["db_ops"]) == ("completed", {"reads": 1, "writes": 4})
    assert payload["node_results"]["outline"]["attempt"] == 1


async def test_double_click_on_resume_starts_one_epoch(web: Client) -> None:
    # Slow enough that it has not completed when the last of them comes.
    execution_id = await start(web, novella({**FAILS_ONCE, "delay": 0.5}))
    await at_rest(web, execution_id)
    url = f"/executions/{execution_id}/resume"
    answers = await asyncio.gather(web.post(url), web.post(url), web.post(url))
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert {(await answer.json())["epoch"] for answer in answers} == {2}
    payload = await at_rest(web, execution_id)
    assert (payload["epoch"], payload["db_ops"]["writes"]) == (2, 4)


async def test_resume_is_refused_for_another_user_and_after_completion(web: Client) -> None:
    execution_id = await start(web, novella(ALWAYS_FAILS))
    await at_rest(web, execution_id)
    url = f"/executions/{execution_id}/resume"
    refused = await web.post(url, json={"user": {"id": "eve"}})
    assert (refused.status, (await refused.json())["type"]) == (403, "/problems/forbidden")
    assert (await status(web, execution_id))["status"] == "failed"
    done = await start(web, novella())
    await at_rest(web, done)
    refused = await web.post(f"/executions/{done}/resume")
    assert (refused.status, (await refused.json())["type"]) == (409, "/problems/not-resumable")


async def test_news_arrive_with_the_long_poll_and_hold_only_what_changed(web: Client) -> None:
    execution_id = await start(web, novella(SLOW))
    before = await until(web, execution_id, writing)
    response = await web.get(f"/status/{execution_id}?since={before['revision']}&wait=30")
    news = await response.json()
    assert news["partial"] is True
    assert news["revision"] > before["revision"]
    assert list(news["node_results"]) == ["chapters"]
    assert (await web.post(f"/executions/{execution_id}/cancel")).status == 202


async def test_cancel_keeps_the_partial_text(web: Client) -> None:
    execution_id = await start(web, novella(SLOW))
    await until(web, execution_id, writing)
    assert (await web.post(f"/executions/{execution_id}/cancel")).status == 202
    payload = await at_rest(web, execution_id)
    assert payload["status"] == "cancelled"
    assert payload["checkpoint"]["saved"] is True
    assert payload["node_results"]["outline"]["status"] == "completed"
    assert payload["progress"]["current"] == []


async def test_unchanged_status_is_304_until_something_happens(web: Client) -> None:
    # One that failed says when it is stored, which is the last thing that happens.
    execution_id = await start(web, novella(ALWAYS_FAILS))
    await at_rest(web, execution_id)
    first = await web.get(f"/status/{execution_id}")
    etag = first.headers["ETag"]
    assert etag == f'"{(await first.json())["revision"]}"'
    assert (await web.get(f"/status/{execution_id}", headers={"If-None-Match": etag})).status == 304


async def test_status_from_the_database_is_the_same_payload(worker: Open) -> None:
    web = await worker()
    execution_id = await start(web, novella())
    live = await at_rest(web, execution_id)
    web = await worker()
    stored = await status(web, execution_id)
    assert stored["source"] == "database"
    assert stored["revision"] >= live["revision"]
    assert stored["journal"]["records"] == 0
    # What is known of the worker's journal and of the row's revision is of its moment; all else is the same.
    assert {**stored, **{name: live[name] for name in ("source", "revision", "journal")}} == live


async def test_executions_of_others_do_not_exist(web: Client) -> None:
    as_ada, as_eve = {"X-Offbook-User": "ada"}, {"X-Offbook-User": "eve"}
    body = {"workflow": novella(ALWAYS_FAILS), "inputs": {"premise": "rain"}}
    response = await web.post("/executions", json=body, headers=as_ada)
    execution_id = (await response.json())["execution_id"]
    await at_rest(web, execution_id)
    for method, path in [
        ("GET", "/status/{}"),
        ("GET", "/executions/{}"),
        ("GET", "/executions/{}/checkpoint"),
        ("GET", "/executions/{}/nodes/outline/output"),
        ("POST", "/executions/{}/resume"),
        ("POST", "/executions/{}/cancel"),
        ("POST", "/executions/{}/pause"),
        ("POST", "/executions/{}/signals/go"),
        ("DELETE", "/executions/{}"),
    ]:
        response = await web.request(method, path.format(execution_id), headers=as_eve)
        assert response.status == 404, (method, path)
    assert (await (await web.get("/executions", headers=as_eve)).json())["executions"] == []
    mine = await (await web.get("/executions", headers=as_ada)).json()
    assert [row["execution_id"] for row in mine["executions"]] == [execution_id]
    assert (await web.get(f"/status/{execution_id}", headers=as_ada)).status == 200


async def test_user_starts_nothing_for_somebody_else(web: Client) -> None:
    body = {"workflow": novella(), "inputs": {"premise": "rain"}, "user": ADA}
    response = await web.post("/executions", json=body, headers={"X-Offbook-User": "eve"})
    assert response.status == 403


async def test_pain_01_start_without_a_user_is_refused_before_anything_is_spent(web: Client) -> None:
    response = await web.post("/executions", json={"workflow": novella(), "inputs": {"premise": "rain"}})
    assert (response.status, (await response.json())["type"]) == (422, "/problems/execution-user-missing")
    assert (await (await web.get("/executions")).json())["executions"] == []


async def test_bad_workflow_is_refused_whole_with_every_error(web: Client) -> None:
    document = novella()
    document["nodes"][0]["type"] = "novelist"
    document["nodes"][2]["needs"] = ["chapterz"]
    response = await web.post("/executions", json={"workflow": document, "user": ADA})
    problem = await response.json()
    assert (response.status, problem["type"]) == (422, "/problems/validation-failed")
    assert {error["node_id"] for error in problem["errors"]} >= {"outline", "book"}
    checked = await (await web.post("/workflows/validate", json=document)).json()
    assert (checked["valid"], len(checked["errors"])) == (False, len(problem["errors"]))


async def test_yaml_is_validated_with_lines(web: Client) -> None:
    text = "name: x\nnodes:\n  - id: a\n    type: output\n    config: {value: 1}\n  - id: b\n    type: novelist\n"
    response = await web.post("/workflows/validate", data=text.encode(), headers={"Content-Type": "text/yaml"})
    errors = (await response.json())["errors"]
    assert [error["node_id"] for error in errors] == ["b"]
    assert errors[0]["line"] in (6, 7)


async def test_bad_inputs_are_named(web: Client) -> None:
    response = await web.post("/executions", json={"workflow": novella(), "inputs": {"promise": 1}, "user": ADA})
    problem = await response.json()
    assert (response.status, problem["type"]) == (422, "/problems/validation-failed")
    assert "inputs.premise" in {error["path"] for error in problem["errors"]}


async def test_registered_workflow_is_started_by_name_and_fingerprint(web: Client) -> None:
    kept = await (await web.post("/workflows", json=novella())).json()
    for reference in (kept["name"], kept["fingerprint"]):
        payload = await at_rest(web, await start(web, reference))
        assert (payload["status"], payload["workflow"]) == ("completed", kept)
    shown = await (await web.get(f"/workflows/{kept['fingerprint']}")).json()
    assert shown["document"]["nodes"][0]["id"] == "outline"
    assert (await web.post("/executions", json={"workflow": "nothing", "user": ADA})).status == 404


async def test_repeated_key_is_the_same_execution(web: Client) -> None:
    async def send(premise: str) -> tuple[int, JsonObject]:
        body = {"workflow": novella(), "inputs": {"premise": premise}, "user": ADA}
        response = await web.post("/executions", json=body, headers={"Idempotency-Key": "monday"})
        return response.status, await response.json()

    first = await send("rain")
    assert first[0] == 202
    assert await send("rain") == first
    conflict = await send("snow")
    assert (conflict[0], conflict[1]["type"]) == (409, "/problems/idempotency-conflict")


async def test_list_is_newest_first_in_pages(worker: Open) -> None:
    web = await worker()
    ids = [await start(web, novella(), labels={"n": str(number)}) for number in range(3)]
    for execution_id in ids:
        await at_rest(web, execution_id)
    web = await worker()
    ids.append(await start(web, novella(FAILS_ONCE)))
    await at_rest(web, ids[-1])
    first = await (await web.get("/executions?limit=3")).json()
    rest = await (await web.get("/executions", params={"limit": "3", "cursor": first["next_cursor"]})).json()
    rows = first["executions"] + rest["executions"]
    assert [row["execution_id"] for row in rows] == ids[::-1]
    assert [row["source"] for row in rows] == ["memory", "database", "database", "database"]
    assert rest["next_cursor"] is None
    for query, expected in (("status=failed", [ids[3]]), ("label=n%3D1", [ids[1]]), ("user=eve", [])):
        page = await (await web.get(f"/executions?{query}")).json()
        assert [row["execution_id"] for row in page["executions"]] == expected
    assert (await web.get("/executions?cursor=nonsense")).status == 422


async def test_workflows_are_listed_newest_first_in_pages(worker: Open) -> None:
    web = await worker()
    for number in range(3):
        for name in ("story", "report"):
            assert (await web.post("/workflows", json={**novella(), "name": name, "description": str(number)})).ok
    names: list[str] = []
    query = {"limit": "4"}
    while True:
        page = await (await web.get("/workflows", params=query)).json()
        names += [each["name"] for each in page["workflows"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert names == ["report", "story"] * 3
    versions = await (await web.get("/workflows?name=story&limit=2")).json()
    assert [each["name"] for each in versions["workflows"]] == ["story", "story"]
    assert versions["next_cursor"] is not None
    assert (await web.get("/workflows?cursor=nonsense")).status == 422


async def test_deleted_execution_is_gone(web: Client) -> None:
    execution_id = await start(web, novella(ALWAYS_FAILS))
    await at_rest(web, execution_id)
    assert (await web.delete(f"/executions/{execution_id}")).status == 204
    assert (await web.get(f"/status/{execution_id}")).status == 404
    assert (await web.delete(f"/executions/{execution_id}")).status == 404


async def test_running_execution_is_not_deleted(web: Client) -> None:
    execution_id = await start(web, novella(SLOW))
    refused = await web.delete(f"/executions/{execution_id}")
    assert (refused.status, (await refused.json())["type"]) == (409, "/problems/command-refused")
    await web.post(f"/executions/{execution_id}/cancel")


async def test_pain_48_worker_queues_what_it_can_and_says_when_it_cannot(worker: Open) -> None:
    web = await worker(max_live=1, max_queued=1)
    running = await start(web, novella(SLOW))
    queued = await start(web, novella())
    body = {"workflow": novella(), "inputs": {"premise": "rain"}, "user": ADA}
    refused = await web.post("/executions", json=body)
    assert (refused.status, (await refused.json())["type"]) == (429, "/problems/over-capacity")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await status(web, queued))["status"] == "queued"
    await web.post(f"/executions/{running}/cancel")
    assert (await at_rest(web, queued))["status"] == "completed"


async def test_transcript_of_200_kb_reaches_the_node_whole(web: Client) -> None:
    transcript = "".join(f"{number:07d} " for number in range(25_000))
    document = {
        "name": "echo",
        "inputs": {"transcript": {"type": "text"}},
        "nodes": [{"id": "echo", "type": "output", "config": {"value": "{{ inputs.transcript }}"}}],
    }
    execution_id = await start(web, document, inputs={"transcript": transcript})
    payload = await at_rest(web, execution_id)
    reference = payload["node_results"]["echo"]["output_ref"]
    assert reference["bytes"] > 200_000
    assert await (await web.get(reference["url"])).json() == transcript


async def test_outputs_of_items(web: Client) -> None:
    execution_id = await start(web, novella())
    await at_rest(web, execution_id)
    url = f"/executions/{execution_id}/nodes/chapters/output"
    assert await (await web.get(url)).json() == ["a chapter"] * 3
    assert await (await web.get(f"{url}?item=2")).json() == "a chapter"
    assert (await web.get(f"{url}?item=3")).status == 404
    assert (await web.get(url.replace("chapters", "cover"))).status == 404


async def test_every_actor_is_listed(web: Client) -> None:
    execution_id = await start(web, novella(SLOW))
    await until(web, execution_id, writing)
    listing = await (await web.get("/actors")).json()
    classes = [actor["class"] for actor in listing["actors"]]
    assert classes == ["Supervisor", "PersistenceActor", "JournalActor", "ExecutionActor"]
    actor = listing["actors"][3]
    assert (actor["execution_id"], actor["state"], actor["current_nodes"]) == (execution_id, "running", ["chapters"])
    assert actor["mailbox"]["high_water"] >= 1
    assert actor["messages_handled"] > 3
    await web.post(f"/executions/{execution_id}/cancel")


async def test_actors_are_searched_and_those_that_matter_most_listed(web: Client) -> None:
    ended = [await start(web, novella()) for _ in range(3)]
    for execution_id in ended:
        await at_rest(web, execution_id)
    running = await start(web, novella(SLOW))
    await until(web, running, writing)
    whole = await (await web.get("/actors")).json()
    assert (len(whole["actors"]), whole["left_out"]) == (7, 0)
    one = await (await web.get("/actors?limit=1")).json()
    assert [actor["execution_id"] for actor in one["actors"]] == [None, None, None, running]
    assert one["left_out"] == 3
    found = await (await web.get(f"/actors?search={ended[1][:12].upper()}&limit=9")).json()
    assert [actor["execution_id"] for actor in found["actors"][3:]] == [ended[1]]
    assert found["left_out"] == 0
    named = await (await web.get("/actors?search=NOVELLA&limit=0")).json()
    assert (len(named["actors"]), named["left_out"]) == (3, 4)
    assert (await web.get("/actors?limit=few")).status == 422
    assert (await web.get("/actors?serach=x")).status == 422
    await web.post(f"/executions/{running}/cancel")


async def test_worker_is_healthy_and_ready(web: Client) -> None:
    assert (await web.get("/healthz")).status == 200
    ready = await web.get("/readyz")
    assert (ready.status, (await ready.json())["database"]) == (200, "ok")
