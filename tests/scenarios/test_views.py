"""What pages ask for beside the status, of a real worker: pictures, versions, inputs, outputs as trees."""

from __future__ import annotations

import asyncio

from tests.scenarios.conftest import Open
from tests.scenarios.documents import foreach, llm, output, template, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.worker import NOBODY, Worker

NOVEL = workflow(
    llm("outline", "An outline"),
    foreach("chapters", llm("do", "Chapter {{ index }}"), count=3, needs=["outline"]),
    llm("cover", "A cover", needs=[{"node": "outline", "when": "inputs.cover"}], label="The cover"),
    output("book", "{{ nodes.chapters.output }}", needs=["chapters", "cover"]),
    inputs={"cover": {"type": "boolean"}},
    name="novel",
)


async def test_registered_workflow_is_drawn_by_name_and_fingerprint(worker: Worker) -> None:
    kept = (await worker.call("POST", "/workflows", NOVEL)).body
    picture = (await worker.call("GET", "/workflows/novel/layout")).body
    assert picture == (await worker.call("GET", f"/workflows/{kept['fingerprint']}/layout")).body
    nodes = {node["id"]: node for node in picture["nodes"]}
    assert (nodes["cover"]["label"], nodes["chapters"]["foreach"], nodes["outline"]["model"]) == (
        "The cover",
        True,
        "scripted/writer",
    )
    assert nodes["outline"]["y"] < nodes["chapters"]["y"] == nodes["cover"]["y"] < nodes["book"]["y"]
    edges = {(edge["from"], edge["to"]): edge["when"] for edge in picture["edges"]}
    assert edges[("outline", "cover")] == "inputs.cover"
    assert edges[("outline", "chapters")] is None
    assert (await worker.call("GET", "/workflows/none/layout")).status == 404


async def test_document_is_drawn_before_it_is_registered(worker: Worker) -> None:
    assert len((await worker.call("POST", "/workflows/layout", NOVEL)).body["nodes"]) == 4
    assert (await worker.call("POST", "/workflows/layout", {"name": "x"})).status == 422
    assert (await worker.call("GET", "/workflows/novel")).status == 404


async def test_workflow_of_an_execution_that_nobody_registered_is_drawn(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("only", "x")))
    fingerprint = (await worker.status(execution_id))["workflow"]["fingerprint"]
    assert [node["id"] for node in (await worker.call("GET", f"/workflows/{fingerprint}/layout")).body["nodes"]] == [
        "only"
    ]


async def test_versions_are_compared_line_by_line(worker: Worker) -> None:
    prompts = ("first line\nsecond line", "first line\nanother line")
    before, after = [
        (await worker.call("POST", "/workflows", workflow(llm("a", prompt), name="v"))).body["fingerprint"]
        for prompt in prompts
    ]
    lines = (await worker.call("GET", f"/workflows/{before}/diff/{after}")).body["lines"]
    assert [[kind, text.strip()] for kind, text in lines if kind in "+-"] == [
        ["-", "second line"],
        ["+", "another line"],
    ]
    assert (await worker.call("GET", f"/workflows/{after}/diff/{after}")).body["lines"] == []
    assert (await worker.call("GET", f"/workflows/{after}/diff/none")).status == 404


async def test_inputs_are_their_owners_alone_in_memory_and_afterwards(worker: Worker) -> None:
    execution_id = await worker.start(NOVEL, {"cover": True})
    path = f"/executions/{execution_id}/inputs"
    assert (await worker.call("GET", path)).body == {"cover": True}
    assert (await worker.call("GET", path, user="ada")).status == 200
    assert (await worker.call("GET", path, user="eve")).status == 404
    assert (await worker.call("GET", f"/executions/{NOBODY}/inputs")).status == 404


async def test_output_is_read_as_markdown_on_request(worker: Worker) -> None:
    execution_id = await worker.start(
        workflow(template("a", "# Night\n\n<b>dark</b>"), template("b", "x", needs=["a"]))
    )
    await worker.until(execution_id, lambda payload: payload["status"] == "completed")
    path = f"/executions/{execution_id}/nodes/a/output"
    answer = await worker.call("GET", f"{path}?as=markdown")
    assert answer.body["blocks"] == [["h1", ["Night"]], ["p", ["<b>dark</b>"]]]
    assert (await worker.call("GET", path)).body == "# Night\n\n<b>dark</b>"
    assert (await worker.call("GET", f"{path}?as=html")).status == 422
    assert (await worker.call("GET", f"{path}?as=markdown", user="eve")).status == 404


async def test_node_is_told_with_each_of_its_items_from_memory_and_from_the_database(
    opened: Open, model: FakeModel
) -> None:
    may_end, may_fail = asyncio.Event(), asyncio.Event()

    def reply(asked: Asked) -> Reply:
        match asked.prompt, asked.number:
            case ("item 1", 1):
                return Reply(status=503, error="busy")
            case ("item 2", _):
                return Reply(waits_for=may_end)
            case ("item 3", _):
                return Reply(status=429, error="slow down", headers={"Retry-After": "3600"}, waits_for=may_fail)
        return FINE

    model.reply = reply
    worker = await opened(providers=model.providers, retain_seconds=0.2)
    do = llm("do", "item {{ index }}", model="fake/writer", retry={"attempts": 2, "delay": 0})
    execution_id = await worker.start(workflow(foreach("all", do, count=6, concurrency=4), template("other", "x")))
    path = f"/executions/{execution_id}/nodes/all"
    # From its answer on, calls with the key wait.
    await worker.until(
        execution_id, lambda payload: payload["node_results"]["all"].get("items", {}).get("completed") == 4
    )
    may_fail.set()
    await worker.until(execution_id, lambda payload: payload["processing_steps"][-1]["kind"] == "retry")
    reads = (await worker.transactions())[0]
    detail = (await worker.call("GET", path)).body
    assert (detail["node_id"], detail["type"], detail["status"], detail["next_item"]) == (
        "all",
        "foreach",
        "running",
        None,
    )
    items = {each["item"]: each for each in detail["item_results"]}
    assert [items[number]["attempt"] for number in range(4)] == [1, 2, 1, 1]
    assert [items[number]["status"] for number in range(4)] == ["completed", "completed", "running", "waiting"]
    assert items[1]["usage"]["output_tokens"] > 0
    assert (await worker.call("GET", items[1]["output_url"])).body == "a fine text"
    assert items[2]["output_url"] is None
    assert items[3]["error"]["type"] == "rate_limit"
    assert items[3]["waiting"]["kind"] == "provider"
    page = (await worker.call("GET", f"{path}?first=1&limit=2")).body
    assert ([each["item"] for each in page["item_results"]], page["next_item"]) == ([1, 2], 3)
    assert (await worker.transactions())[0] == reads
    may_end.set()
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)
    await worker.evicted(execution_id)
    stored = (await worker.call("GET", path)).body
    assert [each["attempt"] for each in stored["item_results"]][:4] == [1, 2, 1, 1]
    assert stored["item_results"][1]["status"] == "completed"
    assert stored["item_results"][3]["status"] == "cancelled"


async def test_node_of_nobody_and_of_another_is_not_found(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("a", "x")))
    await worker.rest(execution_id)
    path = f"/executions/{execution_id}/nodes"
    plain = (await worker.call("GET", f"{path}/a", user="ada")).body
    assert (plain["status"], plain["output"], plain["item_results"]) == ("completed", "x", [])
    assert (await worker.call("GET", f"{path}/b")).status == 404
    assert (await worker.call("GET", f"{path}/a", user="bob")).status == 404
    assert (await worker.call("GET", f"/executions/{NOBODY}/nodes/a")).status == 404
    for query in ("first=-1", "limit=0", "limit=100000", "items=3"):
        assert (await worker.call("GET", f"{path}/a?{query}")).status == 422


async def test_plan_of_a_start_estimates_and_starts_nothing(worker: Worker) -> None:
    asked = {"workflow": NOVEL, "inputs": {}, "user": {"id": "ada"}}
    planned = await worker.call("POST", "/executions?plan=true", asked)
    assert planned.status == 200
    assert [each["node_id"] for each in planned.body["repeats"]] == ["outline", "chapters", "cover", "book"]
    assert planned.body["estimated"]["calls"] == 5
    assert planned.body["estimated"]["tokens"] > 0
    assert (await worker.call("GET", "/executions")).body["executions"] == []
    refused = await worker.call("POST", "/executions?plan=true", {**asked, "inputs": {"cover": "blue"}})
    assert (refused.status, refused.body["errors"][0]["path"]) == (422, "inputs.cover")
    for wrong, status in (({"user": None}, 422), ({"durability": "brief"}, 422), ({"budget": {"tokens": -1}}, 422)):
        body = {name: value for name, value in {**asked, **wrong}.items() if value is not None}
        for query in ("", "?plan=true"):
            assert (await worker.call("POST", f"/executions{query}", body)).status == status
    foreign = {**asked, "user": {"id": "bob"}}
    assert (await worker.call("POST", "/executions?plan=true", foreign, user="ada")).status == 403
    assert (await worker.call("POST", "/executions?plan=maybe", asked)).status == 422
    assert (await worker.call("POST", "/executions?plann=true", asked)).status == 422
