"""Who gets in: token, host, origin, load, bodies; and how what goes wrong is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from offbook.web.errors import NAMES, PROBLEMS
from offbook.web.settings import BindRefused, check_bind
from offbook.workflows import errors
from offbook.workflows.errors import (
    ConfigurationRefused,
    Draining,
    OffbookError,
    OverCapacity,
    StatusUnavailable,
    StorageUnavailable,
)
from tests.web.conftest import Client, Connect
from tests.web.dummy_service import DummyService

DOCUMENT = {"name": "dummy", "nodes": [{"id": "a", "type": "output"}]}
START = {"workflow": DOCUMENT, "user": {"id": "ada"}}


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="ERROR", format="{message} {exception}")
    yield lines
    logger.remove(sink)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-Internal-Auth": "wrong"}, 401),
        ({"X-Internal-Auth": "geheimé"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic sesame"}, 401),
        ({"X-Internal-Auth": "sesame"}, 200),
        ({"Authorization": "Bearer sesame"}, 200),
        ({"Authorization": "bearer sesame"}, 200),
        ({"X-Internal-Auth": "wrong", "Authorization": "Bearer sesame"}, 401),
    ],
)
async def test_every_request_carries_the_token(connect: Connect, headers: dict[str, str], status: int) -> None:
    client = await connect(internal_token="sesame")
    for path in ("/", "/healthz", "/readyz", "/executions", "/actors", "/workflows", "/problems/forbidden"):
        response = await client.get(path, headers=headers)
        assert response.status == status, path
        if status == 401:
            assert (await response.json())["type"] == "/problems/unauthorized"
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_routes_that_do_not_exist_are_not_told_without_the_token(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    assert (await client.get("/nothing")).status == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "example.com", ""])
def test_server_without_token_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(BindRefused, match="OFFBOOK_INTERNAL_TOKEN"):
        check_bind(host, None)
    with pytest.raises(BindRefused):
        check_bind(host, "")
    check_bind(host, "sesame")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(host: str) -> None:
    check_bind(host, None)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:9", 200),
        ("LOCALHOST", 200),
        ("[::1]:80", 200),
        ("books.example.com:8000", 200),
        ("evil.example.com", 421),
        ("localhost.evil.example.com", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("", 421),
    ],
)
async def test_host_header_must_be_one_of_ours(connect: Connect, host: str, status: int) -> None:
    client = await connect(allowed_hosts=("books.example.com",))
    response = await client.get("/healthz", headers={"Host": host})
    assert response.status == status


@pytest.mark.parametrize("value", ["", "u" * 201, "a\tb"])
async def test_caller_that_is_not_a_name_never_becomes_an_operator(
    client: Client, service: DummyService, value: str
) -> None:
    execution = service.add()
    response = await client.get(f"/status/{execution.execution_id}", headers={"X-Offbook-User": value})
    assert response.status == 401


async def test_two_callers_in_one_request_are_refused(client: Client, service: DummyService) -> None:
    execution = service.add("ada")
    headers = [("X-Offbook-User", "ada"), ("X-Offbook-User", "eve")]
    response = await client.get(f"/status/{execution.execution_id}", headers=headers)
    assert response.status == 401


async def test_actors_are_for_operators(client: Client) -> None:
    assert (await client.get("/actors")).status == 200
    assert (await client.get("/actors", headers={"X-Offbook-User": "ada"})).status == 403


async def test_bodies_have_the_json_type(client: Client, service: DummyService) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        response = await client.post("/executions", data=b'{"workflow": {}}', headers=headers)
        assert response.status == 415
        assert (await response.json())["type"] == "/problems/unsupported-media-type"
    assert service.executions == {}


async def test_json_type_may_have_a_charset(client: Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = await client.post(
        "/executions", data=b'{"workflow": {"nodes": []}, "user": {"id": "a"}}', headers=headers
    )
    assert response.status == 202


@pytest.mark.parametrize("body", [b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b""])
async def test_body_that_is_not_json_is_a_problem(client: Client, body: bytes) -> None:
    response = await client.post("/executions", data=body, headers={"Content-Type": "application/json"})
    assert response.status in (400, 422)
    assert (await response.json())["type"] in ("/problems/malformed-body", "/problems/validation-failed")


async def test_body_that_is_no_object_is_a_problem(client: Client) -> None:
    response = await client.post("/executions", json=[1])
    assert response.status == 422


async def test_transcript_of_200_kb_passes(client: Client, service: DummyService) -> None:
    text = "word " * 40_000
    response = await client.post("/executions", json={**START, "inputs": {"transcript": text}})
    assert response.status == 202
    assert next(iter(service.executions.values())).inputs == {"transcript": text}


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_past_the_limit_is_told_the_limit(connect: Connect, chunked: bool) -> None:
    client = await connect(max_body_bytes=10_000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    response = await client.post("/executions", data=pieces() if chunked else b" " * 20_000, headers=headers)
    problem = await response.json()
    assert response.status == 413
    assert problem["type"] == "/problems/body-too-large"
    assert "10000 bytes" in problem["detail"]


async def test_requests_past_the_limit_are_told_to_come_back(connect: Connect, service: DummyService) -> None:
    client = await connect(max_concurrent_requests=2)
    service.hold = asyncio.Event()
    held = [asyncio.create_task(client.get("/healthz")) for _ in range(2)]
    for _ in held:
        await service.held.acquire()
    refused = await client.get("/readyz")
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"
    service.hold.set()
    assert [response.status for response in await asyncio.gather(*held)] == [200, 200]
    assert (await client.get("/readyz")).status == 200


ORIGIN = "https://app.example.com"


async def test_pages_of_allowed_origins_may_read(connect: Connect) -> None:
    client = await connect(cors_origins=(ORIGIN,))
    for path in ("/healthz", "/nothing"):
        response = await client.get(path, headers={"Origin": ORIGIN})
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]
        foreign = await client.get(path, headers={"Origin": "https://evil.example.com"})
        assert "Access-Control-Allow-Origin" not in foreign.headers


async def test_preflight_is_answered_without_the_token(connect: Connect) -> None:
    client = await connect(cors_origins=(ORIGIN,), internal_token="sesame")
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    response = await client.options("/executions", headers=headers)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "X-Internal-Auth" in response.headers["Access-Control-Allow-Headers"]
    refused = await client.options("/executions", headers={**headers, "Origin": "https://evil.example.com"})
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null"])
async def test_page_of_a_foreign_origin_steers_nothing(client: Client, service: DummyService, origin: str) -> None:
    execution = service.add()
    response = await client.post(f"/executions/{execution.execution_id}/cancel", headers={"Origin": origin})
    assert response.status == 403
    assert execution.status == "running"


async def test_page_of_this_server_may_steer(client: Client, service: DummyService) -> None:
    execution = service.add()
    origin = f"http://{client.host}:{client.port}"
    response = await client.post(f"/executions/{execution.execution_id}/cancel", headers={"Origin": origin})
    assert response.status == 202


async def test_problem_has_all_members(client: Client) -> None:
    response = await client.get(f"/status/{'e' * 32}")
    assert response.content_type == "application/problem+json"
    assert await response.json() == {
        "type": "/problems/not-found",
        "title": PROBLEMS["not-found"].title,
        "status": 404,
        "detail": f"no execution {'e' * 32}: check the id, or list executions",
        "instance": f"/status/{'e' * 32}",
    }
    assert (await (await client.get("/problems/not-found")).json())["status"] == 404


@pytest.mark.parametrize("path", ["/nothing", "/executions/x/y/z", "/%ff%fe", "/status/%F0%28%8C%28"])
async def test_unknown_route_is_a_problem(client: Client, path: str) -> None:
    response = await client.get(path)
    assert response.status == 404
    assert (await response.json())["type"] == "/problems/not-found"


async def test_wrong_method_is_told_the_right_ones(client: Client) -> None:
    response = await client.put("/executions")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (OverCapacity(1, 2, 4.2), 429, "5"),
        (StorageUnavailable("gone"), 503, "5"),
        (Draining(), 503, "10"),
        (StatusUnavailable("e" * 32, 10), 503, "1"),
    ],
)
async def test_what_may_be_sent_again_says_when(
    client: Client, service: DummyService, error: OffbookError, status: int, retry_after: str
) -> None:
    service.raises = error
    response = await client.get("/healthz")
    assert (response.status, response.headers["Retry-After"]) == (status, retry_after)


async def test_fault_is_logged_and_tells_no_internals(client: Client, service: DummyService, log: list[str]) -> None:
    service.raises = RuntimeError("the password is swordfish")
    response = await client.get("/healthz")
    text = await response.text()
    assert response.status == 500
    assert (await response.json())["type"] == "/problems/internal-error"
    assert "swordfish" not in text
    assert "RuntimeError" not in text
    assert len(log) == 1
    assert re.search("request failed .*swordfish", log[0], re.DOTALL)


def test_every_error_of_the_engine_has_a_problem() -> None:
    raised = [
        each
        for each in vars(errors).values()
        if isinstance(each, type)
        and issubclass(each, OffbookError)
        and each is not OffbookError
        # Raised before there is a server that could answer.
        and each is not ConfigurationRefused
    ]
    assert raised
    assert {each.__name__ for each in raised if each not in NAMES} == set()
    assert set(NAMES.values()) <= set(PROBLEMS)


async def test_unready_worker_answers_503(client: Client, service: DummyService) -> None:
    assert (await client.get("/readyz")).status == 200
    service.is_ready = False
    response = await client.get("/readyz")
    assert (response.status, (await response.json())["status"]) == (503, "unready")


async def test_index_names_version_and_links(connect: Connect) -> None:
    client = await connect(version="1.2.3")
    index = await (await client.get("/")).json()
    assert (index["name"], index["version"]) == ("offbook", "1.2.3")
    for link in index["links"].values():
        if "{" not in link and link not in ("/workflows/validate", "/drain"):
            assert (await client.get(link)).status == 200, link
