"""Plans before, receipts after: what a resume or a fork keeps and repeats, and what it is likely to cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, foreach, llm, output, template, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.test_forks import completed, fork, novel
from tests.scenarios.worker import Worker

TOKENS = 10
"""Of an answer of three words: 7 in, 3 out."""
PRICES = """
[models."fake/writer"]
input = "2.00"
output = "10.00"
"""
COST = 7 * 2000 + 3 * 10_000
"""Of such an answer, in billionths."""

from_memory_and_database = pytest.mark.parametrize("new_worker", [False, True], ids=["memory", "database"])


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


def money(calls: int) -> JsonObject:
    digits = f"{calls * COST:09d}".rstrip("0")
    return {"amount": f"0.{digits}", "currency": "USD", "partial": False}


async def plan_of_fork(worker: Worker, execution_id: str, **body: Any) -> JsonObject:
    answer = await worker.call("POST", f"/executions/{execution_id}/fork?plan=true", body)
    assert answer.status == 200, answer.body
    plan: JsonObject = answer.body
    return plan


async def plan_of_resume(worker: Worker, execution_id: str) -> JsonObject:
    answer = await worker.call("GET", f"/executions/{execution_id}/resume")
    assert answer.status == 200, answer.body
    plan: JsonObject = answer.body
    return plan


@from_memory_and_database
async def test_rate_limit_at_chapter_7_of_12_keeps_six_and_plan_and_receipt_say_so(
    opened: Open, closed: Close, model: FakeModel, prices: Path, new_worker: bool
) -> None:
    worker = await opened(providers=model.providers, prices=prices)
    limited = Reply(status=429, error="too many requests")
    model.reply = lambda asked: limited if (asked.prompt, asked.number) == ("chapter 6.", 1) else FINE
    execution_id = await worker.start(book(chapters=12))
    failed = await worker.rest(execution_id)
    assert (failed["error"]["type"], failed["error"]["item"]) == ("rate_limit", 6)
    if new_worker:
        await closed(worker)
        worker = await opened(providers=model.providers, prices=prices)
    plan = await plan_of_resume(worker, execution_id)
    assert plan["keeps"] == {
        "nodes": 1,
        "items": 6,
        "calls": 7,
        "tokens": 7 * TOKENS,
        "cost": money(7),
        "seconds": plan["keeps"]["seconds"],
    }
    seventh, rest, end = plan["repeats"]
    assert (seventh["node_id"], seventh["item"], seventh["why"][:21]) == ("chapters", 6, "it failed: rate_limit")
    assert seventh["estimate"] == {"tokens": TOKENS, "cost": money(1), "basis": "items"}
    assert (rest["node_id"], rest["item"], rest["count"]) == ("chapters", None, 5)
    assert (end["node_id"], end["estimate"]["basis"]) == ("book", "free")
    assert plan["estimated"] == {"calls": 6, "tokens": 6 * TOKENS, "cost": money(6), "unknown": 0}
    assert len(model.asked) == 8
    await worker.resume(execution_id)
    payload = await completed(worker, execution_id)
    receipt = payload["receipt"]
    assert (receipt["kept_nodes"], receipt["kept_items"], receipt["repeated_calls"]) == (1, 6, 0)
    assert {**plan["keeps"], "nodes": 1, "items": 6} == {"nodes": 1, "items": 6, **receipt["saved"]}
    assert model.counts == {"outline": 1, **{f"chapter {n}.": 2 if n == 6 else 1 for n in range(12)}}
    # What it did was what the plan had said.
    assert len(model.asked) == 8 + plan["estimated"]["calls"]


async def test_editor_fails_process_restarts_resume_refines_the_book(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    def with_editor() -> JsonObject:
        document = book(chapters=2)
        document["nodes"].insert(
            2,
            {
                "id": "editor",
                "type": "refine",
                "needs": ["chapters"],
                "config": {"model": "fake/writer", "prompt": "polish"},
            },
        )
        document["nodes"][3]["needs"] = ["editor"]
        document["nodes"][3]["config"]["value"] = "{{ nodes.editor.output }}"
        return document

    worker = await opened(providers=model.providers)
    model.reply = lambda asked: (
        Reply(status=401) if asked.prompt.startswith("polish") else Reply(words=(f"<{asked.prompt}>",))
    )
    execution_id = await worker.start(with_editor())
    assert (await worker.rest(execution_id))["error"]["node_id"] == "editor"
    await closed(worker)
    worker = await opened(providers=model.providers)
    plan = await plan_of_resume(worker, execution_id)
    assert [each["node_id"] for each in plan["repeats"]] == ["editor", "book"]
    assert (plan["keeps"]["nodes"], plan["keeps"]["items"]) == (2, 2)
    model.reply = lambda asked: Reply(words=("polished",))
    await worker.resume(execution_id)
    payload = await completed(worker, execution_id)
    assert payload["result"] == "polished"
    assert model.asked[-1].prompt == "polish\n\n<chapter 0.>\n\n<chapter 1.>"
    assert payload["receipt"]["saved"]["calls"] == 3


async def test_plan_of_a_resume_changes_nothing_and_reads_nothing(worker: Worker) -> None:
    fails = {"fail": [{"attempt": 1, "error": "dropped"}]}
    execution_id = await worker.start(workflow(llm("a", "one", script=fails)))
    before = await worker.rest(execution_id)
    assert before["status"] == "failed"
    figures = (await worker.figures())["transactions"]
    plan = await plan_of_resume(worker, execution_id)
    assert plan["status"] == "failed"
    after = await worker.status(execution_id)
    assert after["revision"] == before["revision"]
    assert (await worker.figures())["transactions"] == figures


async def test_plan_of_a_resume_with_another_workflow_is_refused_as_that_is(worker: Worker) -> None:
    fails = {"fail": [{"attempt": 1, "error": "dropped"}]}
    document = workflow(llm("a", "one", script=fails))
    execution_id = await worker.start(document)
    await worker.rest(execution_id)
    path = f"/executions/{execution_id}/resume?plan=true"
    same = await worker.call("POST", path, {"workflow": document})
    assert (same.status, same.body) == (200, await plan_of_resume(worker, execution_id))
    other = await worker.call("POST", path, {"workflow": workflow(llm("a", "two", script=fails))})
    assert (other.status, other.body["type"]) == (409, "/problems/workflow-changed")
    assert other.body["changes"]["changed"] == [{"node_id": "a", "fields": ["config.prompt"]}]
    assert (await worker.status(execution_id))["status"] == "failed"
    assert (await worker.call("POST", f"/executions/{execution_id}/resume?plann=true", {})).status == 422


async def test_completed_execution_has_no_resume_to_plan(worker: Worker) -> None:
    execution_id = await worker.start(workflow(template("a", "one")))
    await completed(worker, execution_id)
    answer = await worker.call("GET", f"/executions/{execution_id}/resume")
    assert (answer.status, answer.body["type"]) == (409, "/problems/not-resumable")
    assert (await worker.call("GET", f"/executions/{execution_id}/resume", user="bob")).status == 404
    assert (await worker.call("GET", f"/executions/{'0' * 32}/resume")).status == 404


@from_memory_and_database
async def test_resume_with_another_workflow_is_refused_with_a_diff_and_offers_the_fork(
    opened: Open, closed: Close, model: FakeModel, new_worker: bool
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if "places" in asked.prompt else FINE
    execution_id = await worker.start(novel(), {"premise": "the sea"})
    assert (await worker.rest(execution_id))["status"] == "failed"
    if new_worker:
        await closed(worker)
        worker = await opened(providers=model.providers)
    changed = novel("gothic")
    changed["nodes"][0]["retry"] = {"attempts": 2}
    changed["nodes"].append(template("extra", "more"))
    changed["inputs"]["cover"]["default"] = "blue"
    answer = await worker.command(execution_id, "resume", {"workflow": changed})
    assert (answer.status, answer.body["type"]) == (409, "/problems/workflow-changed")
    assert answer.body["changes"] == {
        "changed": [
            {"node_id": "outline", "fields": ["retry"]},
            {"node_id": "scenes", "fields": ["config.prompt"]},
        ],
        "added": ["extra"],
        "removed": [],
        "fields": ["inputs.cover.default"],
    }
    assert "scenes changed (config.prompt)" in answer.body["detail"]
    assert (await worker.status(execution_id))["status"] == "failed"
    model.reply = lambda asked: FINE
    offered = answer.body["fork"]
    forked = await worker.call(offered["method"], offered["url"], offered["body"])
    assert forked.status == 202
    payload = await completed(worker, forked.body["execution_id"])
    assert (payload["parent"], payload["receipt"]["kept_nodes"]) == (execution_id, 2)
    # The same workflow is no change, however it is named.
    same = await worker.command(execution_id, "resume", {"workflow": novel()})
    assert same.status == 202
    await completed(worker, execution_id)


async def test_plan_of_a_fork_says_what_runs_and_the_fork_does_just_that(
    opened: Open, model: FakeModel, prices: Path
) -> None:
    worker = await opened(providers=model.providers, prices=prices)
    model.reply = lambda asked: Reply(words=("<", asked.prompt, ">"))
    execution_id = await worker.start(novel(), {"premise": "the sea"})
    await completed(worker, execution_id)
    plan = await plan_of_fork(worker, execution_id, workflow=novel("gothic"))
    assert plan["keeps"]["node_ids"] == ["outline", "people"]
    assert (plan["keeps"]["nodes"], plan["keeps"]["calls"], plan["keeps"]["cost"]) == (2, 2, money(2))
    assert [(each["node_id"], each["why"]) for each in plan["runs"]] == [("scenes", "prompt is written differently")]
    assert [(each["node_id"], each["why"]) for each in plan["may_run"]] == [
        ("places", "depends on scenes, which is not known yet"),
        ("book", "depends on places, which is not known yet"),
    ]
    assert plan["runs"][0]["estimate"] == {"tokens": TOKENS, "cost": money(1), "basis": "before"}
    assert plan["estimated"] == {"calls": 1, "tokens": TOKENS, "cost": money(1), "unknown": 0}
    assert plan["at_most"] == {"calls": 2, "tokens": 2 * TOKENS, "cost": money(2), "unknown": 0}
    assert plan["changes"]["workflow"]["changed"] == [{"node_id": "scenes", "fields": ["config.prompt"]}]
    assert len(model.asked) == 4
    assert (await worker.call("GET", "/executions")).body["executions"][0]["execution_id"] == execution_id
    await completed(worker, await fork(worker, execution_id, workflow=novel("gothic")))
    assert len(model.asked) == 4 + plan["at_most"]["calls"]


async def test_plan_of_a_fork_tells_edits_new_items_and_skipped_branches(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))

    def document() -> JsonObject:
        return workflow(
            foreach("notes", llm("n", "note {{ index }}", model="fake/writer"), count="inputs.n"),
            foreach(
                "chapters",
                llm("c", "chapter {{ index }} {{ items_so_far | length }}", model="fake/writer"),
                needs=["notes"],
                count="inputs.n",
            ),
            template("cover", "{{ inputs.n }} {{ nodes.notes.output[0] }}", needs=["notes"], when="inputs.cover"),
            template("list", "{{ nodes.cover.output or 'none' }}", needs=["notes", "cover"]),
            inputs={"n": {"type": "integer", "default": 3}, "cover": {"type": "boolean", "default": True}},
        )

    execution_id = await worker.start(document())
    await completed(worker, execution_id)
    plan = await plan_of_fork(worker, execution_id, inputs={"n": 4})
    assert (plan["keeps"]["items"], plan["keeps"]["node_ids"]) == (6, [])
    assert [(each["node_id"], each["item"]) for each in plan["runs"]] == [("notes", 3), ("chapters", 3)]
    assert plan["runs"][0]["why"] == "it is new: the parent has no such item"
    assert plan["runs"][0]["estimate"]["basis"] == "items"
    assert [each["node_id"] for each in plan["may_run"]] == ["cover", "list"]
    assert plan["changes"]["inputs"] == ["n"]
    plan = await plan_of_fork(worker, execution_id, inputs={"cover": False})
    assert plan["skips"] == ["cover"]
    assert [(each["node_id"], each["why"]) for each in plan["runs"]] == [("list", "text is evaluated differently")]
    plan = await plan_of_fork(worker, execution_id, outputs={"notes[0]": "mine"})
    assert plan["changes"]["outputs"] == ["notes[0]"]
    assert [(each["node_id"], each["why"]) for each in plan["runs"]] == [("cover", "text is evaluated differently")]
    assert [each["node_id"] for each in plan["may_run"]] == ["list"]
    nothing = await plan_of_fork(worker, execution_id)
    assert (nothing["runs"], nothing["may_run"]) == ([], [])
    assert nothing["keeps"]["node_ids"] == ["notes", "chapters", "cover", "list"]


async def test_item_that_reads_one_that_runs_may_run(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(words=(f"<{asked.prompt}>",))
    tone = "{% if index == 1 %}{{ inputs.tone }}{% endif %}"
    chapters = foreach(
        "chapters", llm("c", f"{{{{ index }}}} {tone} {{{{ items_so_far | join }}}}", model="fake/writer"), count=3
    )
    document = workflow(chapters, inputs={"tone": {"type": "text", "default": "calm"}})
    execution_id = await worker.start(document)
    await completed(worker, execution_id)
    plan = await plan_of_fork(worker, execution_id, inputs={"tone": "dark"})
    assert plan["keeps"]["items"] == 1
    assert [each["item"] for each in plan["runs"]] == [1]
    assert [(each["item"], each["why"]) for each in plan["may_run"]] == [
        (2, "depends on items_so_far, which is not known yet")
    ]


async def test_plan_of_a_fork_waits_for_what_items_so_far_will_be(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401) if asked.prompt.startswith("chapter 1") else FINE
    chapters = foreach(
        "chapters", llm("c", "chapter {{ index }} {{ items_so_far | join }}", model="fake/writer"), count=3
    )
    execution_id = await worker.start(workflow(chapters, output("end", "done", needs=["chapters"])))
    assert (await worker.rest(execution_id))["status"] == "failed"
    plan = await plan_of_fork(worker, execution_id)
    assert plan["keeps"]["items"] == 1
    assert [(each["item"], each["why"]) for each in plan["runs"]] == [
        (1, "in the parent it is failed: invalid_key"),
        (2, "in the parent it is pending"),
        (None, "in the parent it is pending"),
    ]
