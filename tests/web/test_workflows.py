"""Routes of workflows in front of a dummy service."""

from __future__ import annotations

import pytest

from tests.web.conftest import Client
from tests.web.dummy_service import DummyService

DOCUMENT = {"name": "dummy", "nodes": [{"id": "a", "type": "output"}]}
YAML = "name: dummy\nnodes:\n  - {id: a, type: output}\n"


async def test_json_document_is_registered_and_found_again(client: Client) -> None:
    response = await client.post("/workflows", json=DOCUMENT)
    assert response.status == 201
    assert await response.json() == {"name": "dummy", "fingerprint": "f" * 64}
    assert response.headers["Location"] == f"/workflows/{'f' * 64}"
    assert (await (await client.get("/workflows/dummy")).json())["fingerprint"] == "f" * 64
    assert [each["name"] for each in (await (await client.get("/workflows")).json())["workflows"]] == ["dummy"]
    assert (await client.get("/workflows/other")).status == 404


async def test_list_of_workflows_passes_its_page_on(client: Client, service: DummyService) -> None:
    await client.get("/workflows?name=dummy&cursor=x&limit=2")
    assert service.calls[-1] == ("list_workflows", {"name": "dummy", "cursor": "x", "limit": 2})
    await client.get("/workflows")
    assert service.calls[-1] == ("list_workflows", {"name": None, "cursor": None, "limit": 50})
    for query, parameter in (("limit=501", "limit"), ("nam=x", "nam")):
        response = await client.get(f"/workflows?{query}")
        assert response.status == 422
        assert (await response.json())["errors"][0]["path"] == parameter


@pytest.mark.parametrize("content_type", ["application/yaml", "text/yaml", "application/x-yaml; charset=utf-8"])
async def test_yaml_document_reaches_the_service_as_text(
    client: Client, service: DummyService, content_type: str
) -> None:
    response = await client.post("/workflows", data=YAML.encode(), headers={"Content-Type": content_type})
    assert response.status == 201
    assert service.calls[-1] == ("put_workflow", {"document": YAML})


async def test_refused_document_names_every_error_with_its_line(client: Client) -> None:
    response = await client.post("/workflows", json={"description": "nothing"})
    problem = await response.json()
    assert response.status == 422
    assert problem["type"] == "/problems/validation-failed"
    assert problem["errors"][0] == {
        "code": "missing-nodes",
        "path": "nodes",
        "node_id": None,
        "line": 1,
        "message": "there are no nodes",
        "hint": "add one",
    }
    assert len(problem["errors"]) == 2


async def test_validation_answers_200_either_way(client: Client) -> None:
    good = await client.post("/workflows/validate", json=DOCUMENT)
    assert (good.status, await good.json()) == (
        200,
        {"valid": True, "errors": [], "needs": {"user": ["outline"], "keys": {"openai": ["outline"]}}},
    )
    bad = await client.post("/workflows/validate", data=b"name: x", headers={"Content-Type": "text/yaml"})
    body = await bad.json()
    assert (bad.status, body["valid"], len(body["errors"]), "needs" in body) == (200, False, 2, False)


async def test_document_that_cannot_be_read_is_a_problem(client: Client) -> None:
    assert (await client.post("/workflows")).status == 400
    assert (await client.post("/workflows", data=b"\xff", headers={"Content-Type": "text/yaml"})).status == 400
    assert (await client.post("/workflows", data=b"a: b", headers={"Content-Type": "text/html"})).status == 415


async def test_schema_is_not_taken_for_a_workflow(client: Client) -> None:
    assert (await (await client.get("/workflows/schema")).json())["type"] == "object"


async def test_user_cannot_take_over_a_name_that_everybody_uses(client: Client) -> None:
    response = await client.post("/workflows", json=DOCUMENT, headers={"X-Offbook-User": "ada"})
    assert (response.status, (await response.json())["type"]) == (403, "/problems/forbidden")
