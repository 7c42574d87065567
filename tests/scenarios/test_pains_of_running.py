"""Bad days of the system before this one, which do not come back: starting and running (4, 24 to 26, 40, 45, 48)."""

from __future__ import annotations

import asyncio
import random
import string
from pathlib import Path

import orjson

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, foreach, line, llm, output, python, template, wait, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.unreachable_store import UnreachableStore
from tests.scenarios.worker import ADA, Worker


async def test_pain_04_run_through_every_node_type_completes(
    opened: Open, model: FakeModel, functions: FunctionRegistry
) -> None:
    """Every new run died after a refactoring: an undeclared variable on the main path, and no test."""

    @functions.node
    async def count_words(ctx: NodeContext, text: str) -> int:
        return len(text.split())

    @functions.node
    def shout(ctx: NodeContext, text: str) -> str:
        return text.upper()

    document = workflow(
        template("title", "On {{ inputs.topic }}"),
        llm("draft", "about {{ nodes.title.output }}", model="fake/writer", needs=["title"]),
        {
            "id": "final",
            "type": "refine",
            "needs": ["draft"],
            "config": {"model": "fake/writer", "prompt": "make it better"},
        },
        python("words", "count_words", needs=["final"], args={"text": "{{ last_output }}"}),
        python("loud", "shout", needs=["title"], args={"text": "{{ nodes.title.output }}"}),
        foreach("counted", template("n", "{{ index }}"), needs=["words"], count="nodes.words.output", concurrency=2),
        foreach("listed", template("n", "{{ item }}!"), items="inputs.names"),
        wait("pause", 0.01, needs=["listed"]),
        approval("editor", needs=["counted", "pause"]),
        output(
            "all",
            {"title": "{{ nodes.loud.output }}", "n": "{{ nodes.counted.output }}", "l": "{{ nodes.listed.output }}"},
            needs=["loud", "editor", "listed", "counted"],
        ),
        inputs={"topic": {"type": "text", "required": True}, "names": {"type": "list", "default": ["a", "b"]}},
    )
    assert {node["type"] for node in document["nodes"]} == set(NodeRegistry.with_builtins().names())
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(document, {"topic": "rain"})
    await worker.until(execution_id, lambda payload: payload["node_results"]["editor"]["status"] == "waiting")
    await worker.command(execution_id, "signals/editor", {"fine": True})
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["error"]) == ("completed", None)
    assert payload["result"] == {"title": "ON RAIN", "n": [0, 1, 2], "l": ["a!", "b!"]}
    assert {result["status"] for result in payload["node_results"].values()} == {"completed"}


async def test_pain_24_long_run_is_two_transactions_and_a_small_row(worker: Worker, tmp_path: Path) -> None:
    """130 to 230 database operations a run, and rows of 4.6 MB, written at every step."""
    before = await worker.transactions()
    execution_id = await worker.start(line(60, kilobytes=16))
    for _ in range(30):
        await worker.status(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["progress"]["completed"]) == ("completed", 60)
    assert await worker.transactions() == (before[0], before[1] + 2)
    # A megabyte of repetitive text, stored once and compressed, log and all.
    assert 0 < size_of_database(tmp_path) < 600_000


async def test_pain_25_text_that_is_handed_on_is_stored_once(worker: Worker, closed: Close, tmp_path: Path) -> None:
    """64 KB of text became 17 MB of state: each output embedded the one before, twice."""
    text = "".join(random.Random(25).choices(string.ascii_lowercase, k=64 * 1024))
    nodes = [template("n0", "{{ inputs.text }}"), *(_handed_on(number) for number in range(1, 12))]
    document = workflow(*nodes, inputs={"text": {"type": "text", "required": True}})
    execution_id = await worker.start(document, {"text": text})
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert (await worker.call("GET", f"/executions/{execution_id}/nodes/n11/output")).body == text
    # What is shown to everybody who looks names the outputs, and does not hold them.
    assert len(orjson.dumps(payload)) < 16 * 1024
    await closed(worker)
    # Twelve outputs and the input, one text: what repeats in a save is compressed away.
    assert len(text) // 2 < size_of_database(tmp_path) < 8 * len(text)


def _handed_on(number: int) -> JsonObject:
    return template(f"n{number}", f"{{{{ nodes.n{number - 1}.output }}}}", needs=[f"n{number - 1}"])


async def test_pain_26_nothing_is_cut_however_large_or_many(opened: Open, closed: Close) -> None:
    """Results over 2 MB or 50 nodes were cut, and nobody was told."""
    worker = await opened()
    text = "line of prose\n" * 250_000
    heads = [
        template(f"n{number}", f"head {number}", needs=[f"n{number - 1}"] if number else []) for number in range(80)
    ]
    document = workflow(
        *heads,
        output("book", "{{ inputs.text }}{{ nodes.n79.output }}", needs=["n79"]),
        inputs={"text": {"type": "text", "required": True}},
    )
    execution_id = await worker.start(document, {"text": text})
    before = await worker.rest(execution_id)
    assert before["result"]["output_ref"]["bytes"] > 3_500_000
    await closed(worker)
    worker = await opened()
    after = await worker.status(execution_id)
    assert after["source"] == "database"
    assert after["node_results"] == before["node_results"]
    assert len(after["node_results"]) == 81
    whole = await worker.call("GET", f"/executions/{execution_id}/nodes/book/output")
    assert whole.body == text + "head 79"


def size_of_database(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("offbook.db*"))


async def test_pain_40_one_branch_of_a_condition_runs(opened: Open, model: FakeModel) -> None:
    """Both branches of a condition ran: the skip flag was written and never read."""
    worker = await opened(providers=model.providers)
    document = workflow(
        template("kind", "{{ inputs.kind }}"),
        llm("poem", "a poem", model="fake/writer", needs=["kind"], when="nodes.kind.output == 'poem'"),
        llm("essay", "an essay", model="fake/writer", needs=["kind"], when="nodes.kind.output == 'essay'"),
        llm("rhymes", "its rhymes", model="fake/writer", needs=["poem"]),
        output("end", "{{ last_output }}", needs=["rhymes", "essay"]),
        inputs={"kind": {"type": "text"}},
    )
    payload = await worker.rest(await worker.start(document, {"kind": "essay"}))
    assert model.counts == {"an essay": 1}
    assert payload["node_results"]["poem"]["status"] == "skipped"
    assert payload["node_results"]["rhymes"]["status"] == "skipped"
    assert payload["result"] == "a fine text"


async def test_pain_45_start_says_at_once_that_the_worker_cannot_store_it(opened: Open, model: FakeModel) -> None:
    """Endless "processing" when the worker was away: fire and forget, no error."""
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    store.go_away()
    refused = await worker.call("POST", "/executions", {"workflow": line(1), "user": ADA})
    assert (refused.status, refused.body["type"]) == (503, "/problems/storage-unavailable")
    store.come_back()
    assert (await worker.call("GET", "/executions")).body["executions"] == []


async def test_pain_45_start_on_a_worker_that_goes_away_is_refused(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, drain_grace=0.05)
    model.reply = lambda asked: Reply(hangs=True)
    running = await worker.start(workflow(llm("a", "go", model="fake/writer")))
    await model.until(lambda: model.under_way == 1)
    draining = asyncio.create_task(worker.engine.drain())
    await worker.until_status(running, "interrupted")
    await draining
    refused = await worker.call("POST", "/executions", {"workflow": line(1), "user": ADA})
    assert (refused.status, refused.body["type"]) == (503, "/problems/draining")
    refused = await worker.command(running, "resume")
    assert (refused.status, refused.body["type"]) == (503, "/problems/draining")


async def test_pain_48_over_capacity_is_queued_and_then_run(opened: Open, model: FakeModel) -> None:
    """Over capacity: rejected, not queued."""
    worker = await opened(providers=model.providers, max_live=1, max_queued=5)
    held = model.hold("0")
    document = workflow(llm("a", "{{ inputs.n }}", model="fake/writer"), inputs={"n": {"type": "text"}})
    ids = [await worker.start(document, {"n": str(number)}) for number in range(6)]
    await model.until(lambda: model.under_way == 1)
    assert [(await worker.status(each))["status"] for each in ids] == ["running", *["queued"] * 5]
    refused = await worker.call("POST", "/executions", {"workflow": document, "inputs": {"n": "7"}, "user": ADA})
    assert (refused.status, refused.body["type"]) == (429, "/problems/over-capacity")
    held.set()
    for execution_id in ids:
        payload = await worker.rest(execution_id)
        assert (payload["status"], payload["db_ops"]) == ("completed", {"reads": 0, "writes": 2})
    assert [each.prompt for each in model.asked] == [str(number) for number in range(6)]
