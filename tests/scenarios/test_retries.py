"""Retries against a real server: which failures are tried again, when, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.values import JsonObject, parse_time
from tests.scenarios.conftest import Open
from tests.scenarios.documents import foreach, llm, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply


def asking(**fields: Any) -> JsonObject:
    return workflow(llm("a", "go", model="fake/writer", **fields))


@pytest.mark.parametrize(("status", "error"), [(429, "rate_limit"), (500, "server_error"), (503, "server_error")])
async def test_what_may_pass_is_tried_again(opened: Open, model: FakeModel, status: int, error: str) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=status) if asked.number < 3 else FINE
    payload = await worker.rest(await worker.start(asking(retry={"attempts": 3, "delay": 0.01})))
    assert (payload["status"], payload["node_results"]["a"]["attempt"], len(model.asked)) == ("completed", 3, 3)
    retries = [step["text"] for step in payload["processing_steps"] if step["kind"] == "retry"]
    assert len(retries) == 2
    assert all(text.startswith(error) for text in retries)


@pytest.mark.parametrize(("status", "error"), [(401, "invalid_key"), (403, "invalid_key"), (400, "validation")])
async def test_what_will_not_pass_is_not_tried_again(opened: Open, model: FakeModel, status: int, error: str) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=status, error="no")
    payload = await worker.rest(await worker.start(asking(retry={"attempts": 5, "delay": 0.01})))
    assert (payload["status"], payload["error"]["type"], len(model.asked)) == ("failed", error, 1)


async def test_retry_after_is_obeyed_even_past_the_longest_delay(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)

    model.reply = lambda asked: Reply(status=429, headers={"Retry-After": "0.6"}) if asked.number == 1 else FINE
    retry = {"attempts": 2, "delay": 0.01, "max_delay": 0.02}
    payload = await worker.rest(await worker.start(asking(retry=retry)))
    at = {step["kind"]: parse_time(step["at"]) for step in payload["processing_steps"]}
    assert payload["status"] == "completed"
    assert at["started"] - at["retry"] >= 0.59


async def test_connection_that_is_lost_in_the_middle_is_tried_again_and_its_tokens_counted(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(words=("half ",), breaks=asked.number == 1)
    payload = await worker.rest(await worker.start(asking(retry={"attempts": 2, "delay": 0.01})))
    assert (payload["status"], len(model.asked)) == ("completed", 2)
    assert payload["usage"]["output_tokens"] > 1
    assert "dropped" in next(step["text"] for step in payload["processing_steps"] if step["kind"] == "retry")


async def test_server_that_is_not_there_is_tried_again(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers={"fake": {"base_url": "http://127.0.0.1:9/v1"}})
    payload = await worker.rest(await worker.start(asking(retry={"attempts": 2, "delay": 0.01})))
    assert (payload["status"], payload["error"]["type"]) == ("failed", "dropped")
    assert payload["node_results"]["a"]["attempt"] == 2


async def test_delays_grow_up_to_their_limit(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503)
    retry = {"attempts": 4, "delay": 0.1, "factor": 2, "max_delay": 0.2}
    payload = await worker.rest(await worker.start(asking(retry=retry)))
    steps = payload["processing_steps"]
    began = [parse_time(step["at"]) for step in steps if step["kind"] == "started"]
    failed = [parse_time(step["at"]) for step in steps if step["kind"] == "retry"]
    pauses = [next_begin - before for before, next_begin in zip(failed, began[1:], strict=True)]
    # Spread by chance over the upper half of each delay; the clock of steps counts milliseconds.
    for pause, least in zip(pauses, (0.05, 0.1, 0.1), strict=True):
        assert pause >= least - 0.002


async def test_items_are_tried_again_one_by_one(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503) if asked.number == 1 and asked.prompt != "item 0" else FINE
    do = llm("each", "item {{ index }}", model="fake/writer", retry={"attempts": 2, "delay": 0.01})
    payload = await worker.rest(await worker.start(workflow(foreach("all", do, count=4, concurrency=4))))
    assert payload["status"] == "completed"
    assert model.counts == {"item 0": 1, "item 1": 2, "item 2": 2, "item 3": 2}


async def test_resume_gives_the_failed_node_all_its_attempts_again(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503) if asked.number < 4 else FINE
    execution_id = await worker.start(asking(retry={"attempts": 2, "delay": 0.01}))
    assert (await worker.rest(execution_id))["status"] == "failed"
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    # Attempts are counted on, over the resume.
    assert (payload["status"], payload["node_results"]["a"]["attempt"], len(model.asked)) == ("completed", 4, 4)
