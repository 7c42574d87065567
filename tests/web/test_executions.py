"""Routes of executions in front of a dummy service: what is asked of it, and how its answers are told."""

from __future__ import annotations

import asyncio

import pytest

from tests.web.conftest import Client
from tests.web.dummy_service import EPOCH, DummyService

DOCUMENT = {"name": "dummy", "nodes": [{"id": "a", "type": "output"}]}
ADA = {"id": "ada", "role": "user", "tier": ""}
UNKNOWN = "e" * 32


async def start(client: Client, **fields: object) -> str:
    response = await client.post("/executions", json={"workflow": DOCUMENT, "user": ADA, **fields})
    assert response.status == 202, await response.text()
    return str((await response.json())["execution_id"])


async def test_start_is_accepted_with_id_and_status_url(client: Client, service: DummyService) -> None:
    response = await client.post(
        "/executions",
        json={
            "workflow": DOCUMENT,
            "inputs": {"premise": "rain"},
            "labels": {"team": "novels"},
            "user": {"id": "ada", "role": "editor", "tier": "gold"},
            "durability": "sync",
        },
    )
    body = await response.json()
    assert response.status == 202
    assert body == {"execution_id": body["execution_id"], "status_url": f"/status/{body['execution_id']}"}
    assert response.headers["Location"] == body["status_url"]
    execution = service.executions[body["execution_id"]]
    assert (execution.user.id, execution.user.role, execution.user.tier) == ("ada", "editor", "gold")
    assert execution.workflow == DOCUMENT
    assert execution.inputs == {"premise": "rain"}
    assert execution.labels == {"team": "novels"}
    assert execution.durability == "sync"


async def test_caller_is_the_execution_user(client: Client, service: DummyService) -> None:
    headers = {"X-Offbook-User": "ada", "X-Offbook-Role": "editor", "X-Offbook-Tier": "gold"}
    response = await client.post("/executions", json={"workflow": DOCUMENT}, headers=headers)
    execution = service.executions[(await response.json())["execution_id"]]
    assert (execution.user.id, execution.user.role, execution.user.tier) == ("ada", "editor", "gold")


async def test_start_without_a_user_is_a_problem(client: Client) -> None:
    response = await client.post("/executions", json={"workflow": DOCUMENT})
    assert response.status == 422
    assert (await response.json())["type"] == "/problems/execution-user-missing"


async def test_start_names_every_bad_field_at_once(client: Client) -> None:
    response = await client.post(
        "/executions",
        json={"workflow": 7, "inputs": [], "labels": {"a": 1}, "user": {"role": 3}, "imputs": {}, "durability": True},
    )
    body = await response.json()
    assert response.status == 422
    assert body["type"] == "/problems/validation-failed"
    assert {error["path"] for error in body["errors"]} == {
        "workflow",
        "inputs",
        "labels.a",
        "user.id",
        "user.role",
        "imputs",
        "durability",
    }


@pytest.mark.parametrize("user", [{"id": "a" * 201}, {"id": "a\nb"}, {"id": "ada", "tier": "t" * 201}])
async def test_user_in_a_body_is_bounded_like_one_in_a_header(
    client: Client, service: DummyService, user: dict[str, str]
) -> None:
    response = await client.post("/executions", json={"workflow": {}, "user": user})
    assert response.status == 422
    assert [error["path"] for error in (await response.json())["errors"]] == [f"user.{list(user)[-1]}"]
    assert not service.executions


async def test_start_of_an_unknown_workflow_is_not_found(client: Client) -> None:
    response = await client.post("/executions", json={"workflow": "nobody", "user": ADA})
    assert response.status == 404


async def test_repeated_idempotency_key_starts_nothing(client: Client, service: DummyService) -> None:
    async def send(inputs: dict[str, int]) -> tuple[int, dict[str, str]]:
        body = {"workflow": DOCUMENT, "user": ADA, "inputs": inputs}
        response = await client.post("/executions", json=body, headers={"Idempotency-Key": "monday"})
        return response.status, await response.json()

    first = await send({"n": 1})
    assert await send({"n": 1}) == first
    assert len(service.executions) == 1
    status, problem = await send({"n": 2})
    assert status == 409
    assert problem["type"] == "/problems/idempotency-conflict"


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_bad_idempotency_key_is_refused(client: Client, key: str) -> None:
    response = await client.post(
        "/executions", json={"workflow": DOCUMENT, "user": ADA}, headers={"Idempotency-Key": key}
    )
    assert response.status == 422
    assert (await response.json())["errors"][0]["path"] == "Idempotency-Key"


@pytest.mark.parametrize("path", ["/status/{}", "/executions/{}"])
async def test_status_is_the_payload_with_its_revision_as_etag(
    client: Client, service: DummyService, path: str
) -> None:
    execution = service.add()
    response = await client.get(path.format(execution.execution_id))
    assert response.status == 200
    assert response.content_type == "application/json"
    assert response.headers["ETag"] == f'"{execution.revision}"'
    assert await response.json() == execution.payload(None)


async def test_status_that_has_not_changed_is_304(client: Client, service: DummyService) -> None:
    execution = service.add()
    url = f"/status/{execution.execution_id}"
    etag = (await client.get(url)).headers["ETag"]
    response = await client.get(url, headers={"If-None-Match": etag})
    assert (response.status, await response.read()) == (304, b"")
    execution.change(status="completed")
    assert (await client.get(url, headers={"If-None-Match": etag})).status == 200


@pytest.mark.parametrize("path", ["/status/{}", "/executions"])
async def test_answers_are_not_for_caches_that_other_callers_share(
    client: Client, service: DummyService, path: str
) -> None:
    url = path.format(service.add().execution_id)
    response = await client.get(url)
    assert response.headers["Cache-Control"] == "private, no-cache"
    unchanged = await client.get(url, headers={"If-None-Match": response.headers.get("ETag", "")})
    assert unchanged.headers["Cache-Control"] == "private, no-cache"


async def test_since_and_wait_reach_the_service(client: Client, service: DummyService) -> None:
    execution = service.add()
    await client.get(f"/status/{execution.execution_id}?since={EPOCH}&wait=1.5")
    assert service.calls[-1] == ("status", {"since": EPOCH, "wait": 1.5})


async def test_wait_ends_with_the_next_change(client: Client, service: DummyService) -> None:
    execution = service.add()
    poll = asyncio.create_task(client.get(f"/status/{execution.execution_id}?since={execution.revision}&wait=60"))
    await service.asked.wait()
    execution.change(status="failed")
    response = await poll
    assert (await response.json())["status"] == "failed"


async def test_wait_with_an_etag_waits_past_it(client: Client, service: DummyService) -> None:
    execution = service.add()
    etag = f'"{execution.revision}"'
    url = f"/status/{execution.execution_id}?wait=60"
    poll = asyncio.create_task(client.get(url, headers={"If-None-Match": etag}))
    await service.asked.wait()
    execution.change(status="failed")
    response = await poll
    body = await response.json()
    assert (response.status, body["status"], body["partial"]) == (200, "failed", False)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("since=abc", "since"),
        ("since=-1", "since"),
        ("since=1.5", "since"),
        ("since=²", "since"),
        ("since=99999999999999999999999", "since"),
        ("wait=soon", "wait"),
        ("wait=nan", "wait"),
        ("wait=-1", "wait"),
        ("wait=61", "wait"),
        ("sinse=1", "sinse"),
    ],
)
async def test_bad_status_parameter_is_named(
    client: Client, service: DummyService, query: str, parameter: str
) -> None:
    response = await client.get(f"/status/{service.add().execution_id}?{query}")
    body = await response.json()
    assert response.status == 422
    assert [error["path"] for error in body["errors"]] == [parameter]


@pytest.mark.parametrize("execution_id", [UNKNOWN, "short", "E" * 32, "%00" * 32])
async def test_unknown_execution_is_a_not_found_problem(
    client: Client, service: DummyService, execution_id: str
) -> None:
    for method, path in [
        ("GET", "/status/{}"),
        ("GET", "/executions/{}"),
        ("GET", "/executions/{}/checkpoint"),
        ("GET", "/executions/{}/nodes/a/output"),
        ("POST", "/executions/{}/resume"),
        ("POST", "/executions/{}/cancel"),
        ("POST", "/executions/{}/pause"),
        ("POST", "/executions/{}/signals/go"),
        ("DELETE", "/executions/{}"),
    ]:
        response = await client.request(method, path.format(execution_id))
        assert response.status == 404, (method, path)
        assert response.content_type == "application/problem+json"
        assert (await response.json())["type"] == "/problems/not-found"
    # What cannot be an id is not looked for.
    assert set(service.looked_up) == ({UNKNOWN} if execution_id == UNKNOWN else set())


async def test_executions_of_others_do_not_exist(client: Client, service: DummyService) -> None:
    execution = service.add("ada")
    as_eve = {"X-Offbook-User": "eve"}
    for method, path in [
        ("GET", "/status/{}"),
        ("GET", "/executions/{}/checkpoint"),
        ("GET", "/executions/{}/nodes/chapters/output"),
        ("POST", "/executions/{}/resume"),
        ("POST", "/executions/{}/cancel"),
        ("POST", "/executions/{}/pause"),
        ("POST", "/executions/{}/signals/go"),
        ("DELETE", "/executions/{}"),
    ]:
        response = await client.request(method, path.format(execution.execution_id), headers=as_eve)
        assert response.status == 404, (method, path)
    page = await (await client.get("/executions", headers=as_eve)).json()
    assert page["executions"] == []
    assert execution.status == "running"
    assert execution.signals == []


async def test_resume_passes_guidance_on(client: Client, service: DummyService) -> None:
    execution = service.add(status="failed")
    response = await client.post(
        f"/executions/{execution.execution_id}/resume", json={"guidance": "shorter", "user": ADA}
    )
    assert response.status == 202
    assert await response.json() == {
        "execution_id": execution.execution_id,
        "epoch": 2,
        "status_url": f"/status/{execution.execution_id}",
    }
    assert execution.guidance == "shorter"


async def test_resume_for_another_user_is_forbidden(client: Client, service: DummyService) -> None:
    execution = service.add("ada", status="failed")
    response = await client.post(f"/executions/{execution.execution_id}/resume", json={"user": {"id": "eve"}})
    assert response.status == 403
    assert (await response.json())["type"] == "/problems/forbidden"


async def test_resume_of_a_completed_execution_is_a_conflict(client: Client, service: DummyService) -> None:
    execution = service.add(status="completed")
    response = await client.post(f"/executions/{execution.execution_id}/resume")
    assert response.status == 409
    assert (await response.json())["type"] == "/problems/not-resumable"


@pytest.mark.parametrize(("command", "status"), [("cancel", "cancelled"), ("pause", "paused")])
async def test_command_without_a_body_is_accepted(
    client: Client, service: DummyService, command: str, status: str
) -> None:
    execution = service.add()
    response = await client.post(f"/executions/{execution.execution_id}/{command}")
    assert response.status == 202
    assert execution.status == status


async def test_signal_payload_is_the_whole_body(client: Client, service: DummyService) -> None:
    execution = service.add()
    url = f"/executions/{execution.execution_id}/signals/approve"
    assert (await client.post(url, json={"approved": True})).status == 202
    assert (await client.post(url, json=[1])).status == 202
    assert (await client.post(url)).status == 202
    assert execution.signals == [("approve", {"approved": True}), ("approve", [1]), ("approve", {})]


async def test_outputs_are_the_bare_value(client: Client, service: DummyService) -> None:
    url = f"/executions/{service.add().execution_id}/nodes/chapters/output"
    assert await (await client.get(url)).json() == ["one", "two"]
    assert await (await client.get(f"{url}?item=1")).json() == "two"
    assert (await client.get(f"{url}?item=x")).status == 422
    assert (await client.get(url.replace("chapters", "cover"))).status == 404


async def test_checkpoint_is_there_after_a_failure_only(client: Client, service: DummyService) -> None:
    execution = service.add()
    url = f"/executions/{execution.execution_id}/checkpoint"
    assert (await client.get(url)).status == 404
    execution.change(status="failed")
    assert (await (await client.get(url)).json())["completed_nodes"] == ["outline"]


async def test_delete_answers_with_nothing(client: Client, service: DummyService) -> None:
    execution = service.add(status="completed")
    response = await client.delete(f"/executions/{execution.execution_id}")
    assert (response.status, await response.read()) == (204, b"")
    assert service.executions == {}


async def test_list_passes_filters_on(client: Client, service: DummyService) -> None:
    for status in ("failed", "running", "paused"):
        service.add(status=status)
    response = await client.get(
        "/executions?status=failed,running&status=paused&workflow=novella&user=ada&label=team=a=b&parent=p&cursor=x&limit=2"
    )
    assert service.calls[-1] == (
        "list",
        {
            "statuses": ("failed", "running", "paused"),
            "workflow": "novella",
            "user": "ada",
            "labels": {"team": "a=b"},
            "parent": "p",
            "cursor": "x",
            "limit": 2,
        },
    )
    page = await response.json()
    assert (len(page["executions"]), page["next_cursor"]) == (2, "more")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=done", "status"),
        ("label=team", "label"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("stat=x", "stat"),
    ],
)
async def test_bad_list_parameter_is_named(client: Client, query: str, parameter: str) -> None:
    response = await client.get(f"/executions?{query}")
    assert response.status == 422
    assert (await response.json())["errors"][0]["path"] == parameter


async def test_long_news_are_compressed_for_who_can_read_them_and_the_plain_status_never_is(
    client: Client, service: DummyService
) -> None:
    execution_id = await start(client)
    service.executions[execution_id].change(nodes={"text": {"output": "again " * 2000}})
    path = f"/status/{execution_id}"
    for query, encoding, told in (
        ("", "gzip", None),
        ("?since=0", "identity", None),
        ("?since=0", "gzip", "gzip"),
    ):
        response = await client.get(path + query, headers={"Accept-Encoding": encoding})
        assert response.headers.get("Content-Encoding") == told
        assert (await response.json())["node_results"]["text"]["output"].startswith("again again")
        assert response.headers["ETag"]
