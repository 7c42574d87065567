"""Sessions: a browser that cannot send headers speaks for one caller, by a cookie that no script reads."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from offbook.web.sessions import COOKIE, MOST, SECONDS, Sessions
from offbook.workflows.caller import OPERATOR, Caller
from tests.web.conftest import Client, Connect
from tests.web.dummy_service import DummyService

TOKEN = {"X-Internal-Auth": "sesame"}


async def sign_in(client: Client, body: object = None, **headers: str) -> str:
    response = await client.post("/session", json=body or {}, headers={**TOKEN, **headers})
    assert response.status == 201, await response.text()
    cookie = SimpleCookie(response.headers["Set-Cookie"])[COOKIE]
    client.session.cookie_jar.clear()
    return cookie.value


def with_cookie(secret: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"other=1; {COOKIE}={secret}", **headers}


def origin_of(client: Client) -> str:
    return str(client.make_url("/")).rstrip("/")


async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    response = await client.post("/session", json={}, headers=TOKEN)
    cookie = SimpleCookie(response.headers["Set-Cookie"])[COOKIE]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert cookie["max-age"] == str(SECONDS)
    assert not cookie["secure"]
    assert (await response.json())["caller"] == {"user_id": None, "role": "user", "tier": ""}


async def test_cookie_of_a_secure_site_is_for_secure_connections_alone(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    response = await client.post("/session", json={}, headers={**TOKEN, "X-Forwarded-Proto": "https"})
    assert SimpleCookie(response.headers["Set-Cookie"])[COOKIE]["secure"] is True


async def test_session_stands_for_the_token(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    secret = await sign_in(client)
    assert (await client.get("/executions")).status == 401
    assert (await client.get("/executions", headers=with_cookie(secret))).status == 200
    assert (await client.get("/executions", headers=with_cookie(secret + "x"))).status == 401


@pytest.mark.parametrize("by_header", [True, False])
async def test_session_of_a_user_shows_only_theirs(connect: Connect, service: DummyService, by_header: bool) -> None:
    client = await connect(internal_token="sesame")
    theirs, other = service.add("ada"), service.add("bob")
    if by_header:
        secret = await sign_in(client, **{"X-Offbook-User": "ada"})
    else:
        secret = await sign_in(client, {"user": {"id": "ada"}})
    headers = with_cookie(secret)
    assert (await client.get(f"/status/{theirs.execution_id}", headers=headers)).status == 200
    assert (await client.get(f"/status/{other.execution_id}", headers=headers)).status == 404
    assert (await client.get("/actors", headers=headers)).status == 403
    who = await (await client.get("/session", headers=headers)).json()
    assert who["caller"]["user_id"] == "ada"
    assert who["expires_at"] is not None


async def test_session_of_a_user_cannot_speak_for_another(connect: Connect, service: DummyService) -> None:
    client = await connect(internal_token="sesame")
    headers = with_cookie(await sign_in(client, {"user": {"id": "ada"}}))
    other = service.add("bob")
    refused = await client.get(f"/status/{other.execution_id}", headers={**headers, "X-Offbook-User": "bob"})
    assert refused.status == 403
    assert (await client.post("/session", json={}, headers=headers)).status == 401
    named = await client.post("/session", json={"user": {"id": "bob"}}, headers={**TOKEN, "X-Offbook-User": "ada"})
    assert named.status == 403


async def test_operators_session_may_look_as_a_user(connect: Connect, service: DummyService) -> None:
    client = await connect(internal_token="sesame")
    headers = with_cookie(await sign_in(client))
    other = service.add("bob")
    assert (await client.get(f"/status/{other.execution_id}", headers=headers)).status == 200
    as_ada = await client.get(f"/status/{other.execution_id}", headers={**headers, "X-Offbook-User": "ada"})
    assert as_ada.status == 404


async def test_what_changes_something_must_come_from_our_own_page(connect: Connect, service: DummyService) -> None:
    client = await connect(internal_token="sesame")
    execution = service.add()
    path = f"/executions/{execution.execution_id}/cancel"
    headers = with_cookie(await sign_in(client))
    assert (await client.post(path, headers=headers)).status == 403
    assert (await client.post(path, headers={**headers, "Origin": "https://evil.example"})).status == 403
    assert execution.status == "running"
    assert (await client.post(path, headers={**headers, "Origin": origin_of(client)})).status == 202


async def test_signing_out_ends_the_session_on_the_server(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    headers = with_cookie(await sign_in(client))
    response = await client.delete("/session", headers={**headers, "Origin": origin_of(client)})
    assert response.status == 204
    assert SimpleCookie(response.headers["Set-Cookie"])[COOKIE]["max-age"] == "0"
    assert (await client.get("/executions", headers=headers)).status == 401
    foreign = await client.delete("/session", headers={**headers, "Origin": "https://evil.example"})
    assert foreign.status == 403


async def test_session_that_is_over_does_not_make_an_operator(client: Client, service: DummyService) -> None:
    other = service.add("bob")
    path = f"/status/{other.execution_id}"
    response = await client.get(path, headers=with_cookie("of-the-server-before-this-one"))
    assert response.status == 401
    assert (await response.json())["type"] == "/problems/unauthorized"
    # From here on the browser sends none.
    assert SimpleCookie(response.headers["Set-Cookie"])[COOKIE]["max-age"] == "0"


async def test_token_counts_whatever_the_cookie_says(connect: Connect) -> None:
    client = await connect(internal_token="sesame")
    assert (await client.get("/executions", headers=with_cookie("stale", **TOKEN))).status == 200
    assert (await client.post("/session", json={}, headers=with_cookie("stale", **TOKEN))).status == 201


async def test_page_is_shown_to_whoever_has_an_old_cookie(client: Client) -> None:
    headers = with_cookie("stale", Accept="text/html")
    assert (await client.get("/", headers=headers)).status == 200


async def test_events_are_for_sessions_too(connect: Connect, service: DummyService) -> None:
    client = await connect(internal_token="sesame")
    theirs, other = service.add("ada", status="completed"), service.add("bob", status="completed")
    headers = with_cookie(await sign_in(client, {"user": {"id": "ada"}}))
    response = await client.get(f"/executions/{theirs.execution_id}/events", headers=headers)
    assert response.status == 200
    assert b"event: end" in await response.read()
    assert (await client.get(f"/executions/{other.execution_id}/events", headers=headers)).status == 404
    assert (await client.get(f"/executions/{theirs.execution_id}/events")).status == 401


def test_session_lasts_twelve_hours() -> None:
    now = 1000.0
    sessions = Sessions(clock=lambda: now)
    secret, _ = sessions.open(Caller("ada"))
    now += SECONDS - 1
    assert sessions.find(secret) is not None
    now += 2
    assert sessions.find(secret) is None


def test_sessions_are_bounded() -> None:
    sessions = Sessions()
    first, _ = sessions.open(OPERATOR)
    for _ in range(MOST):
        last, _ = sessions.open(OPERATOR)
    assert sessions.find(first) is None
    assert sessions.find(last) is not None
