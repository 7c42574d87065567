"""Bad days of the system before this one, which do not come back: stop and pause (29, 30, 31, 32)."""

from __future__ import annotations

import pytest

from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import book, llm, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply

HALF = Reply(words=("half ", "a ", "chapter"), hangs=True)


async def test_pain_29_stop_hangs_up_on_the_provider_and_asks_nothing_more(opened: Open, model: FakeModel) -> None:
    """Stop did not stop, billing went on: it called a method that no longer existed, and the error was swallowed."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF if asked.prompt == "chapter 1." else FINE
    execution_id = await worker.start(book(chapters=5))

    def writing(payload: JsonObject) -> bool:
        return any(step["kind"] == "text" and step["item"] == 1 for step in payload["processing_steps"])

    await worker.until(execution_id, writing)
    answer = await worker.command(execution_id, "cancel")
    assert answer.status == 202
    await model.until(lambda: model.hung_up == 1 and model.under_way == 0)
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["checkpoint"]["saved"]) == ("cancelled", True)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 1}
    items = (await worker.checkpoint(execution_id))["state"]["nodes"]["chapters"]["items"]
    assert (items[1]["status"], items[1]["partial"]) == ("cancelled", "half a chapter")
    assert (await worker.figures())["live_calls"] == 0


async def test_pain_30_cancelled_is_cancelled_wherever_it_is_shown(
    opened: Open, closed: Close, model: FakeModel
) -> None:
    """Cancelled was shown as failed: the status was not in the table's check."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    await worker.command(execution_id, "cancel")
    in_memory = await worker.rest(execution_id)
    await closed(worker)
    worker = await opened(providers=model.providers)
    stored = await worker.status(execution_id)
    assert (in_memory["status"], stored["status"]) == ("cancelled", "cancelled")
    assert (in_memory["error"], stored["error"]) == (None, None)
    assert (stored["source"], stored["checkpoint"]["failed_at_node"]) == ("database", None)
    for status, found in (("cancelled", [execution_id]), ("failed", [])):
        page = (await worker.call("GET", f"/executions?status={status}")).body["executions"]
        assert [row["execution_id"] for row in page] == found


@pytest.mark.parametrize(
    ("timeout", "error"), [({"total": 3600}, "timeout"), ({"idle": 3600}, "idle_timeout")], ids=["total", "idle"]
)
async def test_pain_31_call_that_is_given_up_is_hung_up_on(
    opened: Open, model: FakeModel, timeout: dict[str, float], error: str
) -> None:
    """Abandoned model calls were still billed: they could not be aborted."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(
        workflow(llm("a", "go", model="fake/writer", timeout=timeout, retry={"attempts": 2, "delay": 0.01}))
    )
    for attempts in (1, 2):
        await worker.until_written(execution_id, attempts * "half a chapter")
        worker.pass_time(3601)
    payload = await worker.rest(execution_id)
    await model.until(lambda: model.hung_up == 2 and model.under_way == 0)
    assert (payload["status"], payload["error"]["type"], len(model.asked)) == ("failed", error, 2)
    assert payload["node_results"]["a"]["partial_output"] == "half a chapter"
    assert (await worker.figures())["abandoned"] == 0


async def test_pain_32_pause_pauses_and_resume_goes_on(opened: Open, closed: Close, model: FakeModel) -> None:
    """Pause never worked: the names of the states differed."""
    worker = await opened(providers=model.providers)
    held = model.hold("chapter 1.")
    execution_id = await worker.start(book(chapters=4))
    await model.until(lambda: model.count("chapter 1.") == 1)
    assert (await worker.command(execution_id, "pause")).status == 202
    assert (await worker.command(execution_id, "pause")).status == 202
    # The call in flight is paid for: it may finish.
    assert (model.under_way, model.hung_up) == (1, 0)
    held.set()
    paused = await worker.rest(execution_id)
    assert (paused["status"], paused["progress"]["current"], paused["checkpoint"]["saved"]) == ("paused", [], True)
    assert paused["node_results"]["chapters"]["items"]["completed"] == 2
    await closed(worker)
    worker = await opened(providers=model.providers)
    # Paused by somebody: a worker that starts does not go on by itself.
    assert (await worker.status(execution_id))["status"] == "paused"
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert set(model.counts.values()) == {1}
