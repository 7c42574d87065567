"""Bad days of the system before this one, which do not come back: what was paid and by whom (31, 34, 35, 36)."""

from __future__ import annotations

from offbook.workflows.records import ExecutionStore
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Open
from tests.scenarios.documents import foreach, llm, workflow
from tests.scenarios.fake_model import FINE, FakeModel, Reply
from tests.scenarios.test_money import CALL, book, is_held_back, put_budget, usage_of
from tests.scenarios.unreachable_store import UnreachableStore

HALF = Reply(words=("half ", "a ", "chapter"), hangs=True)


def tokens(report: JsonObject) -> int:
    return int(report["input_tokens"] + report["output_tokens"])


async def test_pain_31_call_that_is_given_up_is_settled_for_what_had_come(opened: Open, model: FakeModel) -> None:
    """Abandoned model calls were still billed: they could not be aborted."""
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: HALF
    execution_id = await worker.start(workflow(llm("a", "go on", model="fake/writer", timeout={"idle": 3600})))
    await worker.until_written(execution_id, "half a chapter")
    worker.pass_time(3601)
    payload = await worker.rest(execution_id)
    await model.until(lambda: model.hung_up == 1)
    assert payload["error"]["type"] == "idle_timeout"
    report = await usage_of(worker)
    # Two tokens were asked and four had come, at four characters to a token.
    assert (report["input_tokens"], report["output_tokens"], report["estimated"]) == (2, 4, True)


async def test_pain_34_every_call_is_debited_whoever_polls_and_however_often(opened: Open, model: FakeModel) -> None:
    """Tokens were never debited after a refactoring: the sum was deleted, and no test missed it."""
    worker = await opened(providers=model.providers)
    started = [await worker.start(book(3)) for _ in range(5)]
    for execution_id in started:
        await worker.rest(execution_id)
        await worker.status(execution_id)
    assert len(model.asked) == 5 * 4
    report = await usage_of(worker)
    assert (tokens(report), report["executions"], report["estimated"]) == (20 * CALL, 5, False)


async def test_pain_35_nobody_runs_for_free_once_their_budget_is_used_up(opened: Open, model: FakeModel) -> None:
    """Runs were free: nothing was checked before, and a debit that failed was ignored."""
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 4 * CALL})
    release = model.hold("chapter 2.")
    execution_id = await worker.start(book(3))
    await model.until(lambda: model.count("chapter 2.") == 1)
    store.go_away()
    release.set()
    payload = await worker.until_status(execution_id, "completed")
    # The debit cannot be stored now; it is known all the same, and stored when the database is back.
    assert tokens(payload["usage"]) == tokens(await usage_of(worker)) == 4 * CALL
    assert _stored(store) == 0
    store.come_back()
    await worker.rest(execution_id)
    assert tokens(await usage_of(worker)) == _stored(store) == 4 * CALL
    second = await worker.start(book(3))
    await worker.until(second, is_held_back)
    assert len(model.asked) == 4


def _stored(store: ExecutionStore) -> int:
    return sum(each.usage.tokens for each in store.books.user_books("ada", "", "9999-12-31").spent)


async def test_pain_36_failed_attempts_and_editors_count_and_estimates_are_marked(
    opened: Open, model: FakeModel
) -> None:
    """Token counts were wrong: failed attempts and editors were not counted, estimates were shown as facts."""
    worker = await opened(providers=model.providers)
    broken = Reply(words=("half ", "a ", "chapter"), breaks=True)
    model.reply = lambda asked: broken if (asked.prompt, asked.number) == ("chapter 1.", 1) else FINE
    chapter = llm("chapter", "chapter {{ index }}.", model="fake/writer", retry={"attempts": 2, "delay": 0})
    editor = {
        "id": "editor",
        "type": "refine",
        "needs": ["chapters"],
        "config": {"model": "fake/writer", "prompt": "edit"},
    }
    execution_id = await worker.start(workflow(foreach("chapters", chapter, count=2), editor))
    payload = await worker.rest(execution_id)
    assert (payload["status"], len(model.asked)) == ("completed", 4)
    nodes = payload["node_results"]
    assert nodes["editor"]["usage"] == {"input_tokens": 7, "output_tokens": 3, "estimated": False}
    # Two whole answers, and one that broke off: ten characters asked, fourteen answered.
    assert nodes["chapters"]["usage"] == {"input_tokens": 17, "output_tokens": 10, "estimated": True}
    assert payload["usage"] == {"input_tokens": 24, "output_tokens": 13, "estimated": True}
    report = await usage_of(worker)
    assert {name: report[name] for name in payload["usage"]} == payload["usage"]
