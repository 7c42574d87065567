"""Routes of users' keys: for oneself or as an operator, and no answer, right or wrong, repeats a key."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.key_errors import KeysKeptElsewhere, MasterKeyMissing
from tests.web.conftest import Client
from tests.web.dummy_service import DummyService

KEY = "sk-must-not-be-repeated"
ONE = "/users/ada/keys/openai"
ADA = {"X-Offbook-User": "ada"}
EVE = {"X-Offbook-User": "eve"}


@pytest.mark.parametrize("headers", [ADA, {}])
async def test_key_is_put_listed_and_deleted(client: Client, service: DummyService, headers: dict[str, str]) -> None:
    assert (await client.put(ONE, json={"key": KEY}, headers=headers)).status == 204
    assert service.keys.kept == {("ada", "openai"): KEY}
    listed = await client.get("/users/ada/keys", headers=headers)
    assert await listed.json() == {"keys": [{"provider": "openai", "created_at": "2026-11-23T16:32:05.123Z"}]}
    assert (await client.delete(ONE, headers=headers)).status == 204
    assert service.keys.kept == {}
    assert (await client.delete(ONE, headers=headers)).status == 404


async def test_keys_of_another_user_are_not_there(client: Client, service: DummyService) -> None:
    service.keys.kept["ada", "openai"] = KEY
    for answer in (
        await client.get("/users/ada/keys", headers=EVE),
        await client.put(ONE, json={"key": "sk-of-eve"}, headers=EVE),
        await client.delete(ONE, headers=EVE),
    ):
        assert (answer.status, (await answer.json())["type"]) == (404, "/problems/not-found")
    assert service.keys.kept == {("ada", "openai"): KEY}


async def test_user_with_a_slash_is_one_user(client: Client, service: DummyService) -> None:
    assert (await client.put("/users/org%2Fada/keys/openai", json={"key": KEY})).status == 204
    assert list(service.keys.kept) == [("org/ada", "openai")]


@pytest.mark.parametrize(
    "body",
    [
        f'{{"key": "{KEY}", "kay": 1}}',
        f'{{"{KEY}": "key"}}',
        f'"{KEY}"',
        f'["{KEY}"]',
        f'{{"key": ["{KEY}"]}}',
        f'{{"key": "{KEY}\\u0000"}}',
        f'{{"key": "{KEY}"',
        KEY,
        "{}",
        "",
    ],
)
async def test_body_that_is_no_key_is_refused_without_being_repeated(
    client: Client, service: DummyService, body: str
) -> None:
    answer = await client.put(ONE, data=body, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 422)
    assert KEY not in await answer.text()
    assert service.keys.kept == {}


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [(MasterKeyMissing(), 503, "no-master-key"), (KeysKeptElsewhere(), 403, "forbidden")],
)
async def test_why_no_key_can_be_stored_is_told(
    client: Client, service: DummyService, error: Exception, status: int, problem: str
) -> None:
    service.keys.raises = error
    answer = await client.put(ONE, json={"key": KEY})
    told: dict[str, Any] = await answer.json()
    assert (answer.status, told["type"]) == (status, f"/problems/{problem}")
    assert KEY not in str(told)


async def test_only_an_operator_seals_all_keys_anew(client: Client, service: DummyService) -> None:
    service.keys.kept["ada", "openai"] = KEY
    refused = await client.post("/keys/rotate", headers=ADA)
    assert refused.status == 403
    done = await client.post("/keys/rotate")
    assert await done.json() == {"resealed": 1, "unreadable": []}


async def test_page_of_an_allowed_origin_may_put(connect: Any) -> None:
    client = await connect(cors_origins=("https://app.example.com",))
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
    answer = await client.options(ONE, headers=headers)
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
