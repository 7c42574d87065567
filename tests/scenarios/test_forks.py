"""Forks: edit anything, pay only for what the edit touches."""

from __future__ import annotations

from typing import Any

import pytest
from loguru import logger

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, book, foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.worker import ADA, Worker

TOKENS = 8
"""Of each answer of the fake model."""


@pytest.fixture
async def writer(opened: Open, model: FakeModel) -> Worker:
    """A worker whose model answers each prompt with a text of its own."""
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))
    return await opened(providers=model.providers)


async def fork(worker: Worker, execution_id: str, **body: Any) -> str:
    answer = await worker.command(execution_id, "fork", body)
    assert answer.status == 202, answer.body
    return str(answer.body["execution_id"])


async def completed(worker: Worker, execution_id: str) -> JsonObject:
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed", payload["error"]
    return payload


def ask(node_id: str, prompt: str, **fields: Any) -> JsonObject:
    return llm(node_id, prompt, model="fake/writer", **fields)


def novel(style: str = "plain") -> JsonObject:
    """Two threads from one outline, of which one uses a style; joined at the end."""
    return workflow(
        ask("outline", "outline of {{ inputs.premise }}"),
        ask("people", "people of {{ nodes.outline.output }}", needs=["outline"]),
        ask("scenes", f"{style} scenes of {{{{ nodes.outline.output }}}}", needs=["outline"]),
        ask("places", "places in {{ nodes.scenes.output }}", needs=["scenes"]),
        output("book", "{{ nodes.people.output }} / {{ nodes.places.output }}", needs=["people", "places"]),
        name="novel",
        inputs={"premise": {"type": "text", "required": True}, "cover": {"type": "text", "default": "red"}},
    )


async def test_ten_edits_of_one_prompt_pay_only_for_what_they_touch(writer: Worker, model: FakeModel) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    assert len(model.asked) == 4
    for number in range(10):
        before = len(model.asked)
        execution_id = await fork(writer, execution_id, workflow=novel(f"style {number}"))
        payload = await completed(writer, execution_id)
        assert [each.prompt.split(" of ")[0].split(" in ")[0] for each in model.asked[before:]] == [
            f"style {number} scenes",
            "places",
        ]
        assert payload["receipt"] == {
            "kept_nodes": 2,
            "kept_items": 0,
            "repeated_calls": 2,
            "went_back_to": None,
            "saved": {**payload["receipt"]["saved"], "calls": 2, "tokens": 2 * TOKENS},
        }
        assert f"style {number} scenes" in payload["result"]
        assert payload["db_ops"] == {"reads": 0, "writes": 2}


async def test_fork_that_changes_nothing_asks_nothing(writer: Worker, model: FakeModel) -> None:
    first = await writer.start(novel(), {"premise": "the sea"}, labels={"order": "7"})
    before = await completed(writer, first)
    second = await fork(writer, first)
    payload = await completed(writer, second)
    assert len(model.asked) == 4
    assert payload["result"] == before["result"]
    assert (payload["parent"], before["parent"]) == (first, None)
    assert (payload["user_id"], payload["labels"]) == ("ada", {"order": "7"})
    assert payload["receipt"]["kept_nodes"] == 5
    assert payload["usage"]["input_tokens"] == 0
    for entry in payload["node_results"].values():
        assert (entry["status"], entry["attempt"], entry["reused"]) == ("completed", 0, True)
    found = await writer.call("GET", f"/executions?parent={first}")
    assert [(each["execution_id"], each["parent"]) for each in found.body["executions"]] == [(second, first)]


async def test_input_that_a_prompt_does_not_use_changes_nothing_for_it(writer: Worker, model: FakeModel) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    await completed(writer, await fork(writer, execution_id, inputs={"cover": "blue"}))
    assert len(model.asked) == 4
    payload = await completed(writer, await fork(writer, execution_id, inputs={"premise": "a hill"}))
    assert len(model.asked) == 8
    assert "a hill" in payload["result"]
    assert payload["receipt"]["kept_nodes"] == 0


async def test_repeated_node_that_returns_the_same_stops_the_cascade(writer: Worker, model: FakeModel) -> None:
    model.reply = lambda asked: Reply(words=("the same",) if "scenes" in asked.prompt else (f"<{asked.prompt}>",))
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    payload = await completed(writer, await fork(writer, execution_id, workflow=novel("gothic")))
    assert len(model.asked) == 5
    assert (payload["receipt"]["kept_nodes"], payload["receipt"]["repeated_calls"]) == (4, 1)


async def test_edited_output_is_taken_as_it_is_and_what_sees_it_runs(writer: Worker, model: FakeModel) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    payload = await completed(writer, await fork(writer, execution_id, outputs={"scenes": "storm, calm"}))
    assert [each.prompt for each in model.asked[4:]] == ["places in storm, calm"]
    assert payload["node_results"]["scenes"]["output"] == "storm, calm"
    assert payload["receipt"]["kept_nodes"] == 3


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_edited_chapter_leaves_the_others_alone(writer: Worker, model: FakeModel, concurrency: int) -> None:
    execution_id = await writer.start(book(chapters=5, concurrency=concurrency))
    await completed(writer, execution_id)
    asked = len(model.asked)
    payload = await completed(writer, await fork(writer, execution_id, outputs={"chapters[2]": "mine"}))
    assert len(model.asked) == asked
    assert payload["result"] == " / ".join("mine" if n == 2 else f"<chapter {n}.>" for n in range(5))
    assert (payload["receipt"]["kept_nodes"], payload["receipt"]["kept_items"]) == (2, 5)


async def test_more_chapters_keep_those_that_are_written(writer: Worker, model: FakeModel) -> None:
    def chapters(count: str) -> JsonObject:
        return workflow(
            foreach("chapters", ask("c", "chapter {{ index }} after {{ items_so_far }}"), count=count),
            output("book", "{{ nodes.chapters.output | join(' ') }}", needs=["chapters"]),
            inputs={"n": {"type": "integer", "default": 3}},
        )

    execution_id = await writer.start(chapters("inputs.n"))
    await completed(writer, execution_id)
    payload = await completed(writer, await fork(writer, execution_id, inputs={"n": 5}))
    assert len(model.asked) == 5
    assert payload["receipt"]["kept_items"] == 3
    payload = await completed(writer, await fork(writer, execution_id, inputs={"n": 2}))
    assert len(model.asked) == 5
    # Each chapter has read those before it: what changes the second changes all that come after.
    await completed(writer, await fork(writer, execution_id, outputs={"chapters[1]": "mine"}))
    assert len(model.asked) == 6


async def test_function_sees_all_that_is_upstream(opened: Open, functions: FunctionRegistry) -> None:
    seen: list[str] = []

    @functions.node
    async def bind(ctx: NodeContext) -> str:
        seen.append(str(ctx.output("draft")))
        return "bound"

    def draft(text: str, aside: str = "aside") -> JsonObject:
        return workflow(
            template("draft", text),
            template("other", aside),
            python("bind", "bind", needs=["draft"]),
            output("end", "{{ nodes.bind.output }}", needs=["bind"]),
        )

    worker = await opened()
    execution_id = await worker.start(draft("one"))
    await completed(worker, execution_id)
    await completed(worker, await fork(worker, execution_id, workflow=draft("one", "something else")))
    assert seen == ["one"]
    await completed(worker, await fork(worker, execution_id, workflow=draft("two")))
    assert seen == ["one", "two"]


async def test_approval_of_what_has_not_changed_is_not_asked_again(writer: Worker, model: FakeModel) -> None:
    def draft(prompt: str) -> JsonObject:
        return workflow(
            ask("draft", prompt),
            approval("editor", needs=["draft"]),
            output("end", "{{ nodes.editor.output.note }}: {{ nodes.draft.output }}", needs=["editor", "draft"]),
        )

    execution_id = await writer.start(draft("one"))
    await writer.until_status(execution_id, "waiting")
    await writer.command(execution_id, "signals/editor", {"note": "good"})
    await completed(writer, execution_id)
    payload = await completed(writer, await fork(writer, execution_id))
    assert payload["result"] == "good: <one>"
    changed = await fork(writer, execution_id, workflow=draft("two"))
    assert (await writer.until_status(changed, "waiting"))["waiting"]["name"] == "editor"
    await writer.command(changed, "signals/editor", {"note": "better"})
    assert (await completed(writer, changed))["result"] == "better: <two>"


async def test_fork_needs_nothing_of_its_parent(opened: Open, closed: Close, model: FakeModel) -> None:
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))
    worker = await opened(providers=model.providers)
    first = await worker.start(novel(), {"premise": "the sea"})
    await completed(worker, first)
    model.reply = lambda asked: Reply(status=401) if "gothic" in asked.prompt else Reply(words=("fine",))
    second = await fork(worker, first, workflow=novel("gothic"))
    failed = await worker.rest(second)
    assert (failed["status"], failed["error"]["node_id"]) == ("failed", "scenes")
    assert (await worker.call("DELETE", f"/executions/{first}")).status == 204
    await closed(worker)
    worker = await opened(providers=model.providers)
    shown = await worker.status(second)
    assert (shown["source"], shown["parent"]) == ("database", first)
    checkpoint = await worker.checkpoint(second)
    assert set(checkpoint["node_outputs"]) == {"outline", "people"}
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))
    await worker.resume(second)
    payload = await completed(worker, second)
    assert model.counts["outline of the sea"] == 1
    assert payload["receipt"]["kept_nodes"] == 2
    assert payload["receipt"]["saved"]["tokens"] == 2 * TOKENS
    assert payload["result"].startswith("<people of <outline of the sea>> / <places in <gothic scenes of")
    third = await fork(worker, second)
    assert (await completed(worker, third))["receipt"]["saved"]["tokens"] == 4 * TOKENS


async def test_fork_of_a_failed_execution_has_the_chapter_that_was_written_by_hand(
    writer: Worker, model: FakeModel
) -> None:
    model.reply = lambda asked: Reply(status=401) if "chapter 2" in asked.prompt else Reply(words=("fine",))
    execution_id = await writer.start(book(chapters=4))
    assert (await writer.rest(execution_id))["status"] == "failed"
    payload = await completed(writer, await fork(writer, execution_id, outputs={"chapters[2]": "by hand"}))
    assert payload["result"] == "fine / fine / by hand / fine"
    assert model.counts["chapter 0."] == 1


def titled(prompt: str, outline: str = "outline", chapters: int = 3) -> JsonObject:
    """Chapters that see no more of their outline than that there is one."""
    chapter = ask("chapter", "chapter {{ index }}, outlined: {{ nodes.outline.output | length > 0 }}")
    return workflow(
        ask(outline, prompt),
        foreach("chapters", chapter, needs=[outline], count=chapters),
        output("book", "{{ nodes.chapters.output | join(' / ') }}", needs=["chapters"]),
    )


@pytest.mark.parametrize("how", ["failed", "cancelled", "after a restart"])
async def test_fork_of_a_fork_keeps_what_that_had_not_come_to(
    opened: Open, closed: Close, model: FakeModel, how: str
) -> None:
    model.reply = lambda asked: (
        Reply(status=400, error="no") if asked.prompt == "wrong" else Reply(words=(f"<{asked.prompt}>",))
    )
    worker = await opened(providers=model.providers)
    first = await worker.start(titled("plain"))
    written = (await completed(worker, first))["result"]
    if how == "cancelled":
        model.hold("wrong")
    stopped = await fork(worker, first, workflow=titled("wrong"), outputs={"chapters[1]": "by hand"})
    if how == "cancelled":
        await model.until(lambda: model.count("wrong") == 1)
        await worker.command(stopped, "cancel")
    assert (await worker.rest(stopped))["status"] == ("cancelled" if how == "cancelled" else "failed")
    if how == "after a restart":
        await closed(worker)
        worker = await opened(providers=model.providers)
    plan = (await worker.command(stopped, "fork?plan=true", {"workflow": titled("right")})).body
    assert [(each["node_id"], each["item"]) for each in plan["runs"]] == [("outline", None)]
    assert [(each["node_id"], each["item"]) for each in plan["may_run"]] == [
        *(("chapters", 0), ("chapters", 2)),
        ("book", None),
    ]
    before = len(model.asked)
    payload = await completed(worker, await fork(worker, stopped, workflow=titled("right")))
    assert [each.prompt for each in model.asked[before:]] == ["right"]
    parts = written.split(" / ")
    assert payload["result"] == " / ".join([parts[0], "by hand", parts[2]])
    assert (payload["receipt"]["kept_items"], payload["receipt"]["saved"]["calls"]) == (3, 2)


async def test_chapters_that_were_left_out_for_a_while_are_not_written_again(
    writer: Worker, model: FakeModel
) -> None:
    first = await writer.start(titled("plain", chapters=4))
    written = (await completed(writer, first))["result"]
    shorter = await fork(writer, first, workflow=titled("plain", chapters=2))
    await completed(writer, shorter)
    plan = (await writer.command(shorter, "fork?plan=true", {"workflow": titled("plain", chapters=4)})).body
    assert (plan["estimated"]["calls"], plan["keeps"]["items"]) == (0, 4)
    longer = await completed(writer, await fork(writer, shorter, workflow=titled("plain", chapters=4)))
    assert (longer["result"], len(model.asked)) == (written, 5)


async def test_hand_written_output_does_not_outlive_a_change_of_its_node(writer: Worker, model: FakeModel) -> None:
    first = await writer.start(titled("plain"))
    await completed(writer, first)
    model.hold("other")
    stopped = await fork(writer, first, workflow=titled("other"), outputs={"chapters[1]": "by hand"})
    await model.until(lambda: model.count("other") == 1)
    await writer.command(stopped, "cancel")
    await writer.rest(stopped)
    changed = titled("right")
    changed["nodes"][1]["config"]["do"]["config"]["prompt"] = "another chapter {{ index }}"
    plan = (await writer.command(stopped, "fork?plan=true", {"workflow": changed})).body
    assert plan["estimated"]["calls"] == 4
    payload = await completed(writer, await fork(writer, stopped, workflow=changed))
    assert payload["result"] == " / ".join(f"<another chapter {number}>" for number in range(3))


async def test_guidance_of_a_fork_reaches_what_it_changes(writer: Worker, model: FakeModel) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    await completed(writer, await fork(writer, execution_id, workflow=novel("gothic"), guidance="be brief"))
    assert [each.prompt.endswith("\n\nbe brief") for each in model.asked[4:]] == [True, False]


async def test_live_execution_is_not_forked(writer: Worker, model: FakeModel) -> None:
    held = model.hold("outline of the sea")
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    refused = await writer.command(execution_id, "fork", {})
    assert (refused.status, refused.body["type"]) == (409, "/problems/command-refused")
    assert "pause or cancel it first" in refused.body["detail"]
    held.set()
    await completed(writer, execution_id)
    await fork(writer, execution_id)


async def test_fork_is_its_users(writer: Worker) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    assert (await writer.command(execution_id, "fork", {}, user="bob")).status == 404
    mine = await writer.command(execution_id, "fork", {}, user="ada")
    assert (await completed(writer, mine.body["execution_id"]))["user_id"] == "ada"
    assert (await writer.command(execution_id, "fork", {"user": {"id": "bob"}}, user="ada")).status == 403
    said: list[JsonObject] = []
    sink = logger.add(
        lambda text: said.append(text.record["extra"]), filter=lambda record: "audit" in record["extra"]
    )
    theirs = await fork(writer, execution_id, user={"id": "bob"})
    logger.remove(sink)
    (line,) = said
    assert (line["execution_id"], line["parent"], line["user"], line["before"]) == (
        theirs,
        execution_id,
        "bob",
        "ada",
    )
    assert (await completed(writer, theirs))["user_id"] == "bob"


async def test_fork_under_an_idempotency_key_is_started_once(writer: Worker) -> None:
    execution_id = await writer.start(novel(), {"premise": "the sea"})
    await completed(writer, execution_id)
    answers = [
        await writer.command(execution_id, "fork", {"inputs": {"cover": cover}}, Idempotency_Key="k")
        for cover in ("blue", "blue", "green")
    ]
    assert [answer.status for answer in answers] == [202, 202, 409]
    assert answers[0].body == answers[1].body


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"outputs": {"nobody": 1}}, "outputs.nobody"),
        ({"outputs": {"outline[0]": 1}}, "outputs.outline[0]"),
        ({"outputs": {"chapters[7]": "x"}}, "outputs.chapters[7]"),
        ({"outputs": {"chapters": "x"}}, "outputs.chapters"),
        ({"outputs": {"chapters": ["x"]}}, "outputs.chapters"),
        ({"outputs": {"Chapters 1": "x"}}, "outputs.Chapters 1"),
        ({"inputs": {"tone": "dark"}}, "inputs.tone"),
        ({"outputs": ["x"]}, "outputs"),
        ({"workflw": {}}, "workflw"),
    ],
)
async def test_what_cannot_be_forked_so_is_refused(writer: Worker, body: JsonObject, path: str) -> None:
    execution_id = await writer.start(book(chapters=3))
    await completed(writer, execution_id)
    answer = await writer.command(execution_id, "fork", body)
    assert (answer.status, answer.body["type"]) == (422, "/problems/validation-failed")
    assert [error["path"] for error in answer.body["errors"]] == [path]


async def test_fork_of_nothing_is_not_found(writer: Worker) -> None:
    answer = await writer.command("f" * 32, "fork", {"user": ADA})
    assert answer.status == 404


async def test_python_forks_too(writer: Worker, model: FakeModel) -> None:
    execution_id = await writer.engine.start(novel(), {"premise": "the sea"}, user="ada")
    await completed(writer, execution_id)
    forked = await writer.engine.fork(execution_id, {"premise": "the sea"}, outputs={"people": "Ann"})
    assert (await completed(writer, forked))["result"].startswith("Ann / <places")
    assert len(model.asked) == 4
