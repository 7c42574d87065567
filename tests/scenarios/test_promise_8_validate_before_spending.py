"""Promise 8: what cannot finish is refused whole, with every error at once, before anything is stored or paid for."""

from __future__ import annotations

import pytest

from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Open
from tests.scenarios.documents import approval, book, foreach, llm, output, python, template, wait, workflow
from tests.scenarios.fake_model import FakeModel
from tests.scenarios.worker import ADA

WRONG_IN_EVERY_WAY = workflow(
    llm("outline", "an outline", model="fake/writer"),
    {"id": "draft", "type": "novelist", "config": {}, "needs": ["outline"]},
    llm("modelless", "x", model="", needs=["outline"]),
    llm("elsewhere", "x", model="nobody/writer", needs=["outline"]),
    python("unknown", "no_such_function", needs=["outline"]),
    template("later", "{{ nodes.cover.output }}", needs=["outline"]),
    template("cover", "{{ inputs.titel }}", needs=["outline"]),
    template("one", "x", needs=["two"]),
    template("two", "x", needs=["one"]),
    output("end", "x", needs=["chapterz"]),
    foreach("chapters", llm("c", "x", model="fake/writer"), needs=["outline"]),
    approval("gate", form={"type": "no such type"}, needs=["outline"]),
    inputs={"title": {"type": "text", "required": True}},
)
WRONG_NODES = {
    "draft", "modelless", "elsewhere", "unknown", "later", "cover", "one", "end", "chapters", "gate"
}  # fmt: skip


async def test_every_error_is_named_at_once_and_nothing_is_asked_or_stored(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    before = await worker.transactions()
    body = {"workflow": WRONG_IN_EVERY_WAY, "inputs": {"title": "x"}, "user": ADA}
    answer = await worker.call("POST", "/executions", body)
    assert (answer.status, answer.body["type"]) == (422, "/problems/validation-failed")
    errors = answer.body["errors"]
    assert {error["node_id"] for error in errors} >= WRONG_NODES
    assert all(error["code"] and error["message"] for error in errors)
    assert model.asked == []
    assert await worker.transactions() == before
    checked = await worker.call("POST", "/workflows/validate", WRONG_IN_EVERY_WAY)
    assert checked.body["errors"] == errors


CANNOT_FINISH: dict[str, JsonObject] = {
    "nothing to refine": workflow(
        wait("pause", 0),
        {"id": "r", "type": "refine", "needs": ["pause"], "config": {"model": "fake/x", "prompt": "x"}},
    ),
    "a node that is not upstream": workflow(
        llm("a", "x", model="fake/x"), llm("b", "{{ nodes.a.output }}", model="fake/x")
    ),
    "an item outside a foreach": workflow(llm("a", "{{ item }}", model="fake/x")),
    "items so far with several at once": workflow(
        foreach("a", llm("c", "{{ items_so_far | last }}", model="fake/x"), count=3, concurrency=2)
    ),
    "a condition on what is not there": workflow(llm("a", "x", model="fake/x", when="inputs.cover")),
    "a condition that does not parse": workflow(llm("a", "x", model="fake/x", when="inputs.cover ==")),
    "a foreach in a foreach": workflow(foreach("a", foreach("b", llm("c", "x", model="fake/x"), count=2), count=2)),
    "a default that its form refuses": workflow(
        llm("a", "x", model="fake/x"), approval("b", needs=["a"], form={"type": "boolean"}, timeout=1, default="yes")
    ),
    "a default that no time leads to": workflow(
        llm("a", "x", model="fake/x"), approval("b", needs=["a"], default="yes")
    ),
    "two nodes of one name": workflow(llm("a", "x", model="fake/x"), llm("a", "y", model="fake/x")),
    "no node": workflow(),
}


@pytest.mark.parametrize("document", CANNOT_FINISH.values(), ids=CANNOT_FINISH.keys())
async def test_workflow_that_cannot_finish_is_refused(opened: Open, model: FakeModel, document: JsonObject) -> None:
    worker = await opened(providers=model.providers)
    answer = await worker.call("POST", "/executions", {"workflow": document, "user": ADA})
    assert (answer.status, answer.body["type"]) == (422, "/problems/validation-failed"), answer.body
    assert answer.body["errors"]
    assert model.asked == []


async def test_all_bad_inputs_are_named_before_anything_is_asked(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    inputs = {
        "premise": {"type": "text", "required": True},
        "chapters": {"type": "integer", "default": 3},
        "tone": {"type": "select", "options": ["dry", "warm"], "required": True},
    }
    document = workflow(llm("a", "{{ inputs.premise }}", model="fake/writer"), inputs=inputs)
    given = {"chapters": "many", "tone": "loud", "titel": "x"}
    answer = await worker.call("POST", "/executions", {"workflow": document, "inputs": given, "user": ADA})
    assert answer.status == 422
    assert {error["path"] for error in answer.body["errors"]} == {
        "inputs.premise",
        "inputs.chapters",
        "inputs.tone",
        "inputs.titel",
    }
    assert model.asked == []


async def test_number_of_items_that_cannot_be_is_refused_before_anything_is_asked(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    inputs = {"chapters": {"type": "integer", "default": 1}, "tone": {"type": "text", "required": True}}
    document = workflow(
        llm("outline", "an outline", model="fake/writer"),
        foreach("parts", llm("c", "x", model="fake/writer"), needs=["outline"], count="inputs.chapters"),
        inputs=inputs,
    )
    answer = await worker.call("POST", "/executions", {"workflow": document, "inputs": {"chapters": -2}, "user": ADA})
    assert (answer.status, answer.body["type"]) == (422, "/problems/validation-failed")
    assert [(error["path"], error["node_id"]) for error in answer.body["errors"]] == [
        ("inputs.tone", None),
        ("inputs.chapters", "parts"),
    ]
    assert model.asked == []
    execution_id = await worker.start(document, inputs={"tone": "dry"})
    assert (await worker.rest(execution_id))["status"] == "completed"
    asked = len(model.asked)
    for query in ("", "?plan=true"):
        path = f"/executions/{execution_id}/fork{query}"
        answer = await worker.call("POST", path, {"inputs": {"chapters": 100_001}})
        assert (answer.status, answer.body["type"]) == (422, "/problems/validation-failed"), answer.body
        assert "from 0 to 100000, got 100001" in answer.body["errors"][0]["message"]
    assert len(model.asked) == asked


async def test_workflow_that_is_registered_was_validated(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    refused = await worker.call("POST", "/workflows", CANNOT_FINISH["nothing to refine"])
    assert (refused.status, refused.body["type"]) == (422, "/problems/validation-failed")
    assert (await worker.call("GET", "/workflows")).body["workflows"] == []
    assert (await worker.call("POST", "/workflows", book())).status in (200, 201)
    execution_id = await worker.start("book")
    assert (await worker.rest(execution_id))["status"] == "completed"
