"""Checks in whole executions: what is refused, what the model hears of it, what is kept, and how it goes on."""

from __future__ import annotations

from typing import Any

from offbook.nodes.llm import REFUSED
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import foreach, llm, output, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply

LOOP = Reply(("the lamp went out and the sea came in ",) * 12)
PROSE = Reply(tuple(f"word{number} " for number in range(60)))
CHECKS = ["empty", {"repetition": {"ngram": 8, "most": 0.2}}]


def chapter(**fields: Any) -> JsonObject:
    return workflow(
        llm("outline", "outline", model="fake/writer"),
        llm("chapter", "write it", model="fake/writer", needs=["outline"], checks=CHECKS, **fields),
        output("book", "{{ nodes.chapter.output }}", needs=["chapter"]),
    )


async def test_repetitive_text_three_times_then_guided_resume(opened: Open, closed: Close, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)

    def reply(asked: Asked) -> Reply:
        return PROSE if "Say each thing once" in asked.prompt else FINE if asked.prompt == "outline" else LOOP

    model.reply = reply
    execution_id = await worker.start(chapter(check_retry={"attempts": 3}))
    failed = await worker.rest(execution_id)
    assert (failed["status"], failed["error"]["type"], failed["error"]["node_id"]) == (
        "failed",
        "check_failed",
        "chapter",
    )
    assert "repetition: " in failed["error"]["message"]
    assert failed["db_ops"] == {"reads": 0, "writes": 2}
    entry = failed["node_results"]["chapter"]
    assert (entry["attempt"], entry["partial_output"]) == (3, "".join(LOOP.words))
    assert entry["usage"]["output_tokens"] == 3 * len(LOOP.words)
    # The reason was put to the model each time but the first.
    prompts = [asked.prompt for asked in model.asked if asked.prompt.startswith("write it")]
    assert prompts[0] == "write it"
    assert all(REFUSED in each and "are repeats, at most 20 %" in each for each in prompts[1:])
    checkpoint = await worker.checkpoint(execution_id)
    assert checkpoint["partial_outputs"] == [{"node_id": "chapter", "item": None, "text": "".join(LOOP.words)}]
    assert "chapter" not in checkpoint["node_outputs"]
    # Another process knows all of it too.
    await closed(worker)
    worker = await opened(providers=model.providers)
    await worker.resume(execution_id, guidance="Say each thing once.")
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["result"]) == ("completed", "".join(PROSE.words))
    last = model.asked[-1].prompt
    assert last.startswith("write it\n\nSay each thing once.\n\n" + REFUSED)
    assert "repetition: " in last
    assert model.count("outline") == 1
    entry = payload["node_results"]["chapter"]
    assert (entry["attempt"], "partial_output" in entry) == (4, False)
    assert entry["usage"]["output_tokens"] == 3 * len(LOOP.words) + len(PROSE.words)


async def test_chapter_that_repeats_itself_is_written_anew_and_its_neighbours_are_kept(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: LOOP if asked.prompt.startswith("chapter 1.") and "sea" not in asked.prompt else PROSE
    do = llm("each", "chapter {{ index }}.", model="fake/writer", checks=CHECKS, check_retry={"attempts": 2})
    story = workflow(foreach("chapters", do, count=3))
    # The reason names the phrase, so the model that hears it is told of the sea, and does better.
    payload = await worker.rest(await worker.start(story))
    assert payload["status"] == "completed"
    assert (model.count("chapter 0."), model.count("chapter 1."), model.count("chapter 2.")) == (1, 2, 1)
    failures = payload["node_results"]["chapters"]["check_failures"]
    assert [(each["item"], each["times"]) for each in failures] == [(1, 1)]


async def test_guidance_reaches_the_item_that_failed_its_checks_and_no_other(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: (
        LOOP if asked.prompt.startswith("chapter 1.") and "plain" not in asked.prompt else PROSE
    )
    do = llm("each", "chapter {{ index }}.", model="fake/writer", checks=CHECKS, check_retry={"attempts": 2})
    execution_id = await worker.start(workflow(foreach("chapters", do, count=3)))
    failed = await worker.rest(execution_id)
    assert (failed["error"]["node_id"], failed["error"]["item"]) == ("chapters", 1)
    entry = failed["node_results"]["chapters"]
    assert (entry["partial_item"], entry["partial_output"]) == (1, "".join(LOOP.words))
    await worker.resume(execution_id, guidance="In plain words.")
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    guided = [asked.prompt for asked in model.asked if "plain" in asked.prompt]
    assert len(guided) == 1
    assert guided[0].startswith("chapter 1.")
    assert "repetition: " in guided[0]
    assert (model.count("chapter 0."), model.count("chapter 2.")) == (1, 1)


async def test_node_that_was_written_as_often_as_it_may_is_not_resumed(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: LOOP if asked.prompt.startswith("write") else FINE
    execution_id = await worker.start(chapter(check_retry={"attempts": 2}, max_regenerations=2))
    await worker.rest(execution_id)
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert (payload["status"], model.count("write it")) == ("failed", 3)
    assert "max_regenerations is 2" in payload["error"]["hint"]
    refused = await worker.command(execution_id, "resume", {"guidance": "again"})
    assert (refused.status, refused.body["type"]) == (409, "/problems/not-resumable")
    assert "chapter has failed its checks as often as it may (max_regenerations is 2)" in refused.body["detail"]
    after = await worker.status(execution_id)
    assert (after["status"], after["revision"], after["db_ops"]) == ("failed", payload["revision"], payload["db_ops"])
    assert model.count("write it") == 3


async def test_failed_execution_is_not_resumed_by_policy_when_nothing_may_be_written_again(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers, retain_seconds=0.0)
    model.reply = lambda asked: LOOP if asked.prompt.startswith("write") else FINE
    story = {**chapter(max_regenerations=0), "restart": {"auto_resume": 5, "delay": 0.0}}
    # It leaves memory: nothing is to come that it would be kept for.
    payload = await worker.evicted(await worker.start(story))
    assert (payload["status"], payload["epoch"], model.count("write it")) == ("failed", 1, 1)


async def test_answer_that_does_not_fit_its_schema_is_asked_for_again_with_the_place(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(('{"title": ', '"Salt"}' if "answer.title" in asked.prompt else "7}"))
    node = llm("plan", "plan it", model="fake/planner")
    node["config"]["json"] = True
    node["checks"] = [{"json_schema": {"type": "object", "properties": {"title": {"type": "string"}}}}]
    payload = await worker.rest(await worker.start(workflow(node)))
    assert (payload["status"], len(model.asked)) == ("completed", 2)
    assert payload["node_results"]["plan"]["output"] == {"title": "Salt"}
    assert "answer.title: must be string, got 7" in model.asked[1].prompt


async def test_checks_and_dropped_connections_have_budgets_of_their_own(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    replies = iter([FINE, Reply(breaks=True), LOOP, Reply(breaks=True), LOOP, PROSE])
    model.reply = lambda asked: next(replies)
    story = chapter(check_retry={"attempts": 3}, retry={"attempts": 3, "delay": 0.01})
    payload = await worker.rest(await worker.start(story))
    assert (payload["status"], payload["node_results"]["chapter"]["attempt"]) == ("completed", 5)
