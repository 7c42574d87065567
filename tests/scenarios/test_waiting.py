"""Nodes that wait, for a person or for a time: they hold nothing, and outlive the worker they began to wait on."""

from __future__ import annotations

import time

import pytest

from offbook.workflows.values import parse_time
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import approval, foreach, llm, output, template, wait, workflow
from tests.scenarios.fake_model import FakeModel
from tests.scenarios.worker import Worker, of_the_run

FORM = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "notes": {"type": "string"}},
    "required": ["approved"],
}


def gated(**config: object) -> dict[str, object]:
    return workflow(
        template("draft", "a draft"),
        approval("editor", needs=["draft"], **config),
        output("decision", "{{ nodes.editor.output }}", needs=["editor"]),
    )


async def test_approval_waits_for_its_signal_and_holds_no_call(worker: Worker) -> None:
    execution_id = await worker.start(gated(signal="go", form=FORM))
    waiting = await worker.until_status(execution_id, "waiting")
    detail = waiting["waiting"]
    assert (detail["kind"], detail["name"], detail["until"], detail["node_id"]) == ("signal", "go", None, "editor")
    assert detail["form"] == FORM
    figures = await worker.figures()
    assert (figures["live_calls"], figures["executions"]["waiting"]) == (0, 1)
    assert (await worker.command(execution_id, "signals/go", {"approved": True, "notes": "fine"})).status == 202
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["result"]) == ("completed", {"approved": True, "notes": "fine"})
    assert payload["db_ops"] == {"reads": 0, "writes": 2}


async def test_signal_that_the_form_refuses_changes_nothing(worker: Worker) -> None:
    execution_id = await worker.start(gated(form=FORM))
    before = await worker.until_status(execution_id, "waiting")
    refused = await worker.command(execution_id, "signals/editor", {"approved": "yes", "notes": 1})
    assert (refused.status, refused.body["type"]) == (422, "/problems/validation-failed")
    assert len(refused.body["errors"]) == 2
    assert of_the_run(await worker.status(execution_id)) == of_the_run(before)
    nobody = await worker.command(execution_id, "signals/publisher", {})
    assert (nobody.status, nobody.body["type"]) == (409, "/problems/command-refused")
    assert (await worker.command(execution_id, "signals/editor", {"approved": False})).status == 202
    assert (await worker.rest(execution_id))["result"] == {"approved": False}


async def test_second_signal_is_refused(worker: Worker) -> None:
    execution_id = await worker.start(gated())
    await worker.until_status(execution_id, "waiting")
    assert (await worker.command(execution_id, "signals/editor", 1)).status == 202
    await worker.rest(execution_id)
    assert (await worker.command(execution_id, "signals/editor", 2)).status == 409
    assert (await worker.status(execution_id))["result"] == 1


async def test_approval_that_nobody_answers_in_time_takes_its_default(worker: Worker) -> None:
    payload = await worker.rest(await worker.start(gated(form=FORM, timeout=0.1, default={"approved": False})))
    assert (payload["status"], payload["result"]) == ("completed", {"approved": False})
    assert ("waiting", "editor") in [(step["kind"], step["node_id"]) for step in payload["processing_steps"]]


async def test_approval_says_until_when_it_may_be_answered(worker: Worker) -> None:
    execution_id = await worker.start(gated(form=FORM, timeout=3600, default={"approved": False}))
    waiting = await worker.until_status(execution_id, "waiting")
    until = parse_time(waiting["waiting"]["until"])
    assert until - parse_time(waiting["node_results"]["editor"]["started_at"]) == pytest.approx(3600, abs=60)
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_approval_without_a_default_fails_when_its_time_is_over_and_can_be_resumed(worker: Worker) -> None:
    execution_id = await worker.start(gated(timeout=0.3))
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["error"]["type"], payload["error"]["node_id"]) == (
        "failed",
        "timeout",
        "editor",
    )
    await worker.resume(execution_id)
    await worker.until_status(execution_id, "waiting")
    assert (await worker.command(execution_id, "signals/editor", "at last")).status == 202
    assert (await worker.rest(execution_id))["result"] == "at last"


async def test_other_branches_go_on_while_one_waits(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(
        workflow(approval("gate"), llm("aside", "aside", model="fake/x"), output("end", 1, needs=["gate", "aside"]))
    )
    payload = await worker.until_status(execution_id, "waiting")
    assert payload["node_results"]["aside"]["status"] == "completed"
    await worker.command(execution_id, "signals/gate")
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_items_wait_each_for_its_own_signal(worker: Worker) -> None:
    execution_id = await worker.start(workflow(foreach("all", approval("each", signal="go"), count=3, concurrency=3)))
    for number in range(3):
        waiting = await worker.until_status(execution_id, "waiting")
        assert waiting["node_results"]["all"]["items"]["completed"] == number
        assert (await worker.command(execution_id, "signals/go", number)).status == 202
    assert (await worker.rest(execution_id))["node_results"]["all"]["output"] == [0, 1, 2]


async def test_wait_node_waits_its_time(worker: Worker) -> None:
    execution_id = await worker.start(workflow(wait("nap", 0.3), output("end", "awake", needs=["nap"])))
    payload = await worker.rest(execution_id)
    nap = payload["node_results"]["nap"]
    assert payload["result"] == "awake"
    assert parse_time(nap["finished_at"]) - parse_time(nap["started_at"]) >= 0.29


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_approval_outlives_its_worker(opened: Open, closed: Close, durability: str) -> None:
    first = await opened()
    execution_id = await first.start(gated(form=FORM), durability=durability)
    before = await first.until_status(execution_id, "waiting")
    await closed(first)
    second = await opened()
    after = await second.until_status(execution_id, "waiting")
    assert after["waiting"] == before["waiting"]
    assert after["node_results"]["draft"]["attempt"] == 1
    assert (await second.command(execution_id, "signals/editor", {"approved": True})).status == 202
    assert (await second.rest(execution_id))["result"] == {"approved": True}


async def test_timer_that_fell_due_while_no_worker_was_there_has_fired(opened: Open, closed: Close) -> None:
    first = await opened()
    execution_id = await first.start(workflow(wait("nap", 3600), output("end", "awake", needs=["nap"])))
    before = await first.until_status(execution_id, "waiting")
    assert (before["waiting"]["kind"], before["waiting"]["name"]) == ("timer", "nap")
    await closed(first)
    second = await opened(clock=lambda: time.time() + 3601)
    payload = await second.rest(execution_id)
    assert payload["result"] == "awake"
    assert parse_time(payload["finished_at"]) >= parse_time(before["waiting"]["until"])


async def test_approval_survives_the_crash_of_its_actor(worker: Worker) -> None:
    execution_id = await worker.start(gated())
    await worker.until_status(execution_id, "waiting")
    worker.crash(execution_id)
    after = await worker.until(execution_id, lambda payload: payload["epoch"] == 2)
    assert after["status"] == "waiting"
    await worker.command(execution_id, "signals/editor", "yes")
    assert (await worker.rest(execution_id))["result"] == "yes"
