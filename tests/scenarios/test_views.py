"""What pages ask for beside the status, of a real worker: pictures, versions, inputs, outputs as trees."""

from __future__ import annotations

from tests.scenarios.documents import foreach, llm, output, template, workflow
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
