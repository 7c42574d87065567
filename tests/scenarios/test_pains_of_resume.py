"""Bad days of the system before this one, which do not come back: checkpoint and resume (1, 2, 5, 6, 7, 13, 14)."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.unreachable_store import UnreachableStore
from tests.scenarios.worker import ADA, PATIENCE, Worker

from_memory_and_database = pytest.mark.parametrize("new_worker", [False, True], ids=["memory", "database"])


async def again(worker: Worker, opened: Open, closed: Close, model: FakeModel, new_worker: bool) -> Worker:
    """Return the worker, or a new one in its place."""
    if not new_worker:
        return worker
    await closed(worker)
    return await opened(providers=model.providers)


@from_memory_and_database
async def test_pain_01_resume_has_the_user_it_was_started_for(
    opened: Open, closed: Close, model: FakeModel, functions: FunctionRegistry, new_worker: bool
) -> None:
    """Resume or new run: "Execution user not provided"."""
    users: list[JsonObject] = []

    @functions.node
    async def who(ctx: NodeContext) -> None:
        assert ctx.user is not None
        users.append(ctx.user.to_json())
        if len(users) == 1:
            raise ValueError("not now")

    worker = await opened(providers=model.providers)
    execution_id = await worker.start(workflow(python("a", "who")))
    await worker.rest(execution_id)
    worker = await again(worker, opened, closed, model, new_worker)
    # Whoever resumes says nothing of a user.
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["user_id"], users) == ("completed", "ada", [ADA, ADA])


@from_memory_and_database
async def test_pain_02_resume_has_the_content_that_is_to_be_refined(
    opened: Open, closed: Close, model: FakeModel, new_worker: bool
) -> None:
    """Resume: "No content available for refinement"."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: (
        Reply(status=401) if asked.prompt.startswith("shorter") and asked.number == 1 else FINE
    )
    document = workflow(
        llm("draft", "a draft", model="fake/writer"),
        {
            "id": "final",
            "type": "refine",
            "needs": ["draft"],
            "config": {"model": "fake/writer", "prompt": "shorter"},
        },
    )
    execution_id = await worker.start(document)
    failed = await worker.rest(execution_id)
    assert (failed["error"]["node_id"], failed["last_output_node"]) == ("final", "draft")
    assert (await worker.checkpoint(execution_id))["last_output"] == {"node_id": "draft", "output": "a fine text"}
    worker = await again(worker, opened, closed, model, new_worker)
    await worker.resume(execution_id)
    assert (await worker.rest(execution_id))["status"] == "completed"
    refined = [each.prompt for each in model.asked if each.prompt.startswith("shorter")]
    assert refined == ["shorter\n\na fine text"] * 2
    assert model.counts["a draft"] == 1


async def test_pain_05_resume_has_one_rule_and_keeps_the_guidance_each_time(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    """Resume started at the failed node from memory, one before it from the database; guidance was dropped later."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt.startswith("the plot") else FINE
    document = workflow(
        llm("world", "the world", model="fake/writer"),
        llm("plot", "the plot", model="fake/writer", needs=["world"]),
        llm("people", "the people", model="fake/writer", needs=["plot"]),
    )
    execution_id = await worker.start(document)
    await worker.rest(execution_id)
    for number, new_worker in enumerate((False, True, False, True)):
        worker = await again(worker, opened, closed, model, new_worker)
        await worker.resume(execution_id, guidance=f"hint {number}")
        failed = await worker.rest(execution_id)
        assert (failed["status"], failed["error"]["node_id"], failed["epoch"]) == ("failed", "plot", number + 2)
        assert model.asked[-1].prompt == f"the plot\n\nhint {number}"
    model.reply = lambda asked: FINE
    await worker.resume(execution_id, guidance="the last hint")
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert model.counts["the world"] == 1
    # Guidance is for the node that had failed, not for those after it.
    assert [each.prompt for each in model.asked][-2:] == ["the plot\n\nthe last hint", "the people"]


@from_memory_and_database
async def test_pain_06_outline_and_titles_are_there_after_a_resume(
    opened: Open, closed: Close, model: FakeModel, new_worker: bool
) -> None:
    """Outline and chapter titles lost on resume; a gate had overwritten the last output."""
    worker = await opened(providers=model.providers)
    titles = ["The harbour", "The storm", "The calm"]
    outline = Reply(words=(orjson.dumps({"titles": titles}).decode(),))
    model.reply = lambda asked: (
        outline
        if asked.prompt == "an outline"
        else Reply(status=401)
        if asked.prompt.startswith("2.") and asked.number == 1
        else Reply(words=(f"<{asked.prompt}>",))
    )
    chapter = llm("c", "{{ index + 1 }}. {{ item }}, after {{ nodes.summary.output }}", model="fake/writer")
    document = workflow(
        llm("outline", "an outline", model="fake/writer"),
        template("titles", "{{ nodes.outline.output.titles }}", needs=["outline"]),
        template("summary", "{{ nodes.titles.output | join(', ') }}", needs=["titles"]),
        approval("gate", needs=["summary"]),
        foreach("chapters", chapter, needs=["gate"], items="nodes.titles.output"),
        template("contents", "{{ nodes.titles.output | join(' | ') }}: {{ last_output }}", needs=["chapters"]),
    )
    document["nodes"][0]["config"]["json"] = True
    execution_id = await worker.start(document)
    await worker.until_status(execution_id, "waiting")
    await worker.command(execution_id, "signals/gate", {"approved": True})
    failed = await worker.rest(execution_id)
    assert (failed["error"]["node_id"], failed["error"]["item"]) == ("chapters", 1)
    # The gate's answer is no content: the last output is still that of the node before it.
    assert failed["last_output_node"] == "summary"
    worker = await again(worker, opened, closed, model, new_worker)
    checkpoint = await worker.checkpoint(execution_id)
    assert checkpoint["node_outputs"]["outline"] == {"titles": titles}
    assert checkpoint["node_outputs"]["titles"] == titles
    assert checkpoint["last_output"] == {"node_id": "summary", "output": ", ".join(titles)}
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    chapters = [f"<{number}. {title}, after {', '.join(titles)}>" for number, title in enumerate(titles, 1)]
    contents = await worker.call("GET", f"/executions/{execution_id}/nodes/contents/output")
    assert contents.body == f"{' | '.join(titles)}: " + "\n\n".join(chapters)
    assert model.counts["an outline"] == 1
    assert payload["receipt"]["kept_items"] == 1


@from_memory_and_database
async def test_pain_07_chapters_before_the_failed_one_are_kept_and_not_billed_again(
    opened: Open, closed: Close, model: FakeModel, new_worker: bool
) -> None:
    """Chapter 7 of 12 failed: chapters 1 to 6 lost and billed again."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: (
        Reply(status=401)
        if (asked.prompt, asked.number) == ("chapter 6.", 1)
        else Reply(words=(f"text of {asked.prompt}",))
    )
    execution_id = await worker.start(book(chapters=12))
    failed = await worker.rest(execution_id)
    assert failed["node_results"]["chapters"]["items"] == {"completed": 6, "failed": 1, "total": 12}
    assert failed["error"]["item"] == 6
    written = (await worker.checkpoint(execution_id))["item_outputs"]["chapters"]
    assert written == {str(number): f"text of chapter {number}." for number in range(6)}
    worker = await again(worker, opened, closed, model, new_worker)
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert payload["result"] == " / ".join(f"text of chapter {number}." for number in range(12))
    billed = {f"chapter {number}.": 2 if number == 6 else 1 for number in range(12)}
    assert model.counts == {"outline": 1, **billed}
    assert (payload["receipt"]["kept_items"], payload["receipt"]["saved"]["tokens"]) == (6, 7 * 8)


async def test_pain_13_error_of_the_run_is_not_masked_by_that_of_the_database(opened: Open, model: FakeModel) -> None:
    """ "Failed to save checkpoint" in place of the real error."""
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    model.reply = lambda asked: Reply(status=401, error="this key has expired")
    held = model.hold("go")
    execution_id = await worker.start(
        workflow(template("before", "kept"), llm("a", "go", model="fake/writer", needs=["before"]))
    )
    await model.until(lambda: model.under_way == 1)
    store.go_away()
    held.set()
    failed = await worker.until_status(execution_id, "failed")
    assert (failed["error"]["type"], failed["error"]["node_id"]) == ("invalid_key", "a")
    assert "this key has expired" in failed["error"]["message"]
    assert failed["checkpoint"] == {"saved": False, "failed_at_node": "a", "completed_nodes": ["before"]}
    await asyncio.to_thread(store.refused.wait, PATIENCE)
    store.come_back()
    saved = await worker.rest(execution_id)
    assert saved["error"] == failed["error"]
    assert saved["checkpoint"] == {**failed["checkpoint"], "saved": True}
    assert (await worker.checkpoint(execution_id))["node_outputs"] == {"before": "kept"}


@from_memory_and_database
async def test_pain_14_resume_runs_the_workflow_that_was_started(
    opened: Open, closed: Close, model: FakeModel, new_worker: bool
) -> None:
    """Resumed with a workflow from the browser that no longer matched."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.number == 1 and asked.prompt == "second" else FINE

    def version(prompt: str, result: str) -> JsonObject:
        first = llm("first", "first", model="fake/writer")
        second = llm("second", prompt, model="fake/writer", needs=["first"])
        return workflow(first, second, output("end", result, needs=["second"]), name="novel")

    await worker.call("POST", "/workflows", version("second", "of version 1"))
    execution_id = await worker.start("novel")
    failed = await worker.rest(execution_id)
    worker = await again(worker, opened, closed, model, new_worker)
    changed = await worker.call("POST", "/workflows", version("another", "of version 2"))
    assert changed.body["fingerprint"] != failed["workflow"]["fingerprint"]
    sent = await worker.command(execution_id, "resume", {"workflow": version("another", "of the browser")})
    assert (sent.status, sent.body["type"]) == (409, "/problems/workflow-changed")
    assert [each["node_id"] for each in sent.body["changes"]["changed"]] == ["second", "end"]
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["result"], payload["workflow"]) == ("of version 1", failed["workflow"])
    assert model.counts == {"first": 1, "second": 2}
