"""What executions cost and may cost: budgets that hold calls back, books that have each attempt once."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.sql_ledger import SqlLedger
from offbook.workflows.values import JsonObject, Usage
from tests.scenarios.conftest import Close, Open
from tests.scenarios.documents import foreach, llm, output, python, template, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.test_processes import Serve, serve
from tests.scenarios.worker import ADA, PATIENCE, Worker

__all__ = ["serve"]

CALL = 10
"""Tokens of each call of the fake model: seven asked, three answered."""
PRICES = """
[models."fake/writer"]
input = "1000"
output = "10000"
"""
"""So that a call costs 0.037."""


def bounded(node: JsonObject) -> JsonObject:
    node["config"]["max_tokens"] = 3
    return node


def book(chapters: int = 7, **fields: Any) -> JsonObject:
    chapter = bounded(llm("chapter", "chapter {{ index }}.", model="fake/writer"))
    return workflow(
        bounded(llm("outline", "outline", model="fake/writer")),
        foreach("chapters", chapter, needs=["outline"], count=chapters),
        output("book", "{{ nodes.chapters.output | join(' / ') }}", needs=["chapters"]),
        **fields,
    )


def is_held_back(payload: JsonObject) -> bool:
    return bool(payload["status"] == "waiting" and payload["waiting"]["kind"] == "budget")


async def usage_of(worker: Worker, user: str = "ada", query: str = "") -> JsonObject:
    answer = await worker.call("GET", f"/users/{user}/usage{query}")
    assert answer.status == 200, answer.body
    report: JsonObject = answer.body
    return report


async def put_budget(worker: Worker, budget: JsonObject, user: str = "ada") -> None:
    answer = await worker.call("PUT", f"/users/{user}/budgets", budget)
    assert answer.status == 200, answer.body


def at_noon() -> Callable[[], float]:
    """A clock that goes on from today's noon: the day does not turn while a test lasts."""
    ahead = 43_200 - time.time() % 86_400
    return lambda: time.time() + ahead


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


# A hard budget reached in chapter 5, raised, gone on


async def test_hard_budget_holds_chapter_5_back_until_it_is_raised(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(), budget={"tokens": 55})
    payload = await worker.until(execution_id, is_held_back)
    assert payload["waiting"]["name"] == "55 tokens for this execution"
    assert payload["waiting"]["until"] is None
    assert model.count("chapter") == 4
    answer = await worker.call("PUT", f"/executions/{execution_id}/budget", {"tokens": 8 * CALL})
    assert answer.status == 204, answer.body
    payload = await worker.rest(execution_id)
    assert (payload["status"], payload["db_ops"]) == ("completed", {"reads": 0, "writes": 2})
    assert model.counts == {"outline": 1, **{f"chapter {number}.": 1 for number in range(7)}}
    assert (await usage_of(worker))["input_tokens"] == 8 * 7


async def test_budget_in_the_workflow_is_for_each_of_its_executions(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(budget={"tokens": 25}))
    await worker.until(execution_id, is_held_back)
    assert model.count("chapter") == 1
    assert (await worker.command(execution_id, "cancel")).status == 202
    assert (await worker.rest(execution_id))["status"] == "cancelled"


@pytest.mark.parametrize("how", ["drain", "crash", "pause"])
async def test_what_waits_for_a_users_budget_waits_on_after_an_interruption(
    opened: Open, closed: Close, model: FakeModel, prices: Path, how: str
) -> None:
    noon = at_noon()
    worker = await opened(providers=model.providers, prices=prices, clock=noon)
    await put_budget(worker, {"scope": "day", "money": "0.20"})
    execution_id = await worker.start(book())
    held = await worker.until(execution_id, is_held_back)
    assert (held["waiting"]["name"], held["waiting"]["until"][11:]) == ("0.20 USD a day", "00:00:00.000Z")
    if how == "drain":
        await closed(worker)
        worker = await opened(providers=model.providers, prices=prices, clock=noon)
    elif how == "crash":
        worker.crash(execution_id)
        await worker.until(execution_id, lambda payload: payload["epoch"] == 2)
    else:
        await worker.command(execution_id, "pause")
        await worker.rest(execution_id)
        await worker.resume(execution_id)
    payload = await worker.until(execution_id, is_held_back)
    assert payload["node_results"]["chapters"]["items"]["completed"] == 4
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [(each["money"], each["spent"], each["held_back"]) for each in shown] == [("0.20", "0.185", 1)]
    await put_budget(worker, {"scope": "day", "money": "5"})
    payload = await worker.rest(execution_id)
    assert payload["status"] == "completed"
    assert model.counts == {"outline": 1, **{f"chapter {number}.": 1 for number in range(7)}}
    assert payload["cost"] == {"amount": "0.296", "currency": "USD", "partial": False}


@pytest.fixture
def may_read(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, no account is read."""
    told, plainly = threading.Event(), SqlLedger.spent_by_day

    def when_told(books: SqlLedger, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        told.wait(PATIENCE)
        return plainly(books, user_id, without)

    monkeypatch.setattr(SqlLedger, "spent_by_day", when_told)
    return told


async def test_budget_that_is_raised_before_the_account_has_answered_is_the_one_that_counts(
    opened: Open, model: FakeModel, may_read: threading.Event
) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    execution_id = await worker.start(book(), budget={"tokens": 0})
    await worker.until(execution_id, lambda payload: payload["status"] == "running")
    assert (await worker.call("PUT", f"/executions/{execution_id}/budget", {"tokens": 1000})).status == 204
    may_read.set()
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert len(model.asked) == 8


async def test_pause_while_the_account_is_read_leaves_nobody_waiting_for_ever(
    opened: Open, model: FakeModel, may_read: threading.Event
) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 0})
    execution_id = await worker.start(book())
    await worker.command(execution_id, "pause")
    await worker.rest(execution_id)
    await worker.resume(execution_id)
    await worker.until(execution_id, lambda payload: payload["epoch"] == 2 and payload["status"] == "running")
    may_read.set()
    await worker.until(execution_id, is_held_back)
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [each["held_back"] for each in shown] == [1]
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert len(model.asked) == 8


async def test_ledger_that_cannot_be_read_once_is_read_again(
    opened: Open, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    plainly, faults = SqlLedger.spent_by_day, [ValueError("no JSON")]

    def stumbling(books: SqlLedger, user_id: str, without: Collection[str]) -> dict[str, Usage]:
        if faults:
            raise faults.pop()
        return plainly(books, user_id, without)

    monkeypatch.setattr(SqlLedger, "spent_by_day", stumbling)
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    assert (await worker.rest(await worker.start(book())))["status"] == "completed"


async def test_execution_that_waits_is_told_of_the_budget_that_is_set_in_place_of_the_one_before(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 10})
    execution_id = await worker.start(book())
    await worker.until(execution_id, is_held_back)
    await put_budget(worker, {"scope": "total", "tokens": 5})
    payload = await worker.until(
        execution_id, lambda payload: is_held_back(payload) and payload["waiting"]["name"] == "5 tokens in total"
    )
    assert payload["node_results"]["chapters"]["items"]["completed"] == 0
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [each["held_back"] for each in shown] == [1]


async def test_budget_that_is_deleted_holds_nothing_back(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 0})
    execution_id = await worker.start(book())
    await worker.until(execution_id, is_held_back)
    assert model.asked == []
    assert (await worker.call("DELETE", "/users/ada/budgets/total/tokens")).status == 204
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert (await worker.call("DELETE", "/users/ada/budgets/total/tokens")).status == 404


async def test_budget_that_is_set_again_counts_what_was_used_while_there_was_none(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers, clock=at_noon())
    await put_budget(worker, {"scope": "day", "tokens": 1000})
    await worker.rest(await worker.start(book(1)))
    assert (await worker.call("DELETE", "/users/ada/budgets/day/tokens")).status == 204
    await worker.rest(await worker.start(book(3)))
    await put_budget(worker, {"scope": "day", "tokens": 6 * CALL})
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [each["spent"] for each in shown] == [6 * CALL]
    await worker.until(await worker.start(book(1)), is_held_back)
    assert len(model.asked) == 6


async def test_budget_of_one_user_holds_nobody_else_back(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 0})
    execution_id = await worker.start(book(), user={"id": "bob"})
    assert (await worker.rest(execution_id))["status"] == "completed"


async def test_executions_side_by_side_share_their_users_budget(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 100})
    release = model.hold("outline")
    started = [await worker.start(book()) for _ in range(4)]
    await model.until(lambda: model.under_way == 4)
    release.set()
    for execution_id in started:
        await worker.until(execution_id, is_held_back)
    # Four calls at once at most, each of which may be longer than it was taken to be.
    assert 8 <= len(model.asked) <= 12
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    for execution_id in started:
        assert (await worker.rest(execution_id))["status"] == "completed"
    assert len(model.asked) == 4 * 8


async def test_budget_counts_what_was_spent_before_it_was_set(opened: Open, closed: Close, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await worker.rest(await worker.start(book()))
    await closed(worker)
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "month", "tokens": 80})
    execution_id = await worker.start(book())
    await worker.until(execution_id, is_held_back)
    assert len(model.asked) == 8


async def test_budget_that_warns_says_so_once_and_holds_nothing_back(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(), budget={"tokens": 15, "mode": "warn"})
    payload = await worker.rest(execution_id)
    warnings = [step["text"] for step in payload["processing_steps"] if step["kind"] == "warning"]
    assert (payload["status"], warnings) == ("completed", ["the budget is used up: 15 tokens for this execution"])


@pytest.mark.parametrize("mode", ["warn", "hard"])
async def test_call_under_way_counts_once_however_much_of_it_has_come(
    opened: Open, model: FakeModel, mode: str
) -> None:
    worker = await opened(providers=model.providers)
    long = asyncio.Event()
    model.reply = lambda asked: Reply(("words " * 600,), waits_for=long) if asked.prompt == "long." else FINE
    release = model.hold("short.")
    first, short, second = (
        bounded(llm(name, f"{name}.", model="fake/writer")) for name in ("long", "short", "after")
    )
    first["config"]["max_tokens"] = second["config"]["max_tokens"] = 1000
    second["needs"] = ["short"]
    execution_id = await worker.start(workflow(first, short, second), budget={"tokens": 2500, "mode": mode})
    await worker.until(execution_id, lambda payload: payload["node_results"]["long"]["usage"]["output_tokens"] == 900)
    release.set()
    # 1000 each are less than 2500, whatever the first has shown of its own.
    await model.until(lambda: model.count("after.") == 1)
    long.set()
    payload = await worker.rest(execution_id)
    kinds = {step["kind"] for step in payload["processing_steps"]}
    assert (payload["status"], kinds & {"warning", "waiting"}) == ("completed", set())


async def test_account_that_crashes_is_asked_again(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 15})
    execution_id = await worker.start(book())
    await worker.until(execution_id, is_held_back)
    listed = (await worker.call("GET", "/actors")).body["actors"]
    assert "account of ada" in [each["name"] for each in listed]
    worker.engine.service._around.budgets.accounts["ada"].tell(object())
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    assert (await worker.rest(execution_id))["status"] == "completed"
    assert len(model.asked) == 8


async def test_call_that_is_under_way_when_the_account_crashes_stays_reserved(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    await put_budget(worker, {"scope": "total", "tokens": 8})
    release = model.hold("outline")
    first = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    worker.engine.service._around.budgets.accounts["ada"].tell(object())
    second = await worker.start(book())
    await worker.until(second, is_held_back)
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [(each["in_flight"], len(model.asked)) for each in shown] == [(5, 1)]
    release.set()
    await put_budget(worker, {"scope": "total", "tokens": 1000})
    for execution_id in (first, second):
        assert (await worker.rest(execution_id))["status"] == "completed"
    shown = (await worker.call("GET", "/users/ada/budgets")).body["budgets"]
    assert [(each["in_flight"], each["spent"]) for each in shown] == [(0, 16 * CALL)]


async def test_users_read_their_budgets_and_operators_set_them(worker: Worker) -> None:
    await put_budget(worker, {"scope": "day", "tokens": 500, "mode": "warn"})
    own = await worker.call("GET", "/users/ada/budgets", user="ada")
    assert [each["tokens"] for each in own.body["budgets"]] == [500]
    assert (await worker.call("GET", "/users/ada/budgets", user="eve")).status == 404
    assert (await worker.call("GET", "/users/ada/usage", user="eve")).status == 404
    refused = await worker.call("PUT", "/users/ada/budgets", {"scope": "day", "tokens": 10**9}, user="ada")
    assert refused.status == 403
    assert (await worker.call("DELETE", "/users/ada/budgets/day/tokens", user="ada")).status == 403


@pytest.mark.parametrize(
    ("budget", "path"),
    [
        ({"scope": "day"}, "budget"),
        ({"scope": "day", "tokens": 1, "money": "1"}, "budget"),
        ({"scope": "week", "tokens": 1}, "budget.scope"),
        ({"scope": "day", "tokens": -1}, "budget.tokens"),
        ({"scope": "day", "money": 1.5}, "budget.money"),
        ({"scope": "day", "tokens": 1, "mode": "soft"}, "budget.mode"),
        ({"scope": "day", "tokens": 1, "limit": 1}, "budget.limit"),
    ],
)
async def test_budget_that_is_none_is_refused_with_what_is_wrong(worker: Worker, budget: Any, path: str) -> None:
    answer = await worker.call("PUT", "/users/ada/budgets", budget)
    assert (answer.status, [each["path"] for each in answer.body["errors"]]) == (422, [path])
    if path != "budget.scope":
        of_its_own = {key: value for key, value in budget.items() if key != "scope"}
        body = {"workflow": workflow(template("a", "b")), "user": ADA, "budget": of_its_own}
        answer = await worker.call("POST", "/executions", body)
        assert (answer.status, [each["path"] for each in answer.body["errors"]]) == (422, [path])


async def test_what_rests_is_given_no_budget(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    answer = await worker.call("PUT", f"/executions/{execution_id}/budget", {"tokens": 5})
    assert (answer.status, "nothing left to spend" in answer.body["detail"]) == (409, True)
    execution_id = await worker.start(book(), budget={"tokens": 0})
    await worker.until(execution_id, is_held_back)
    await worker.command(execution_id, "pause")
    await worker.rest(execution_id)
    answer = await worker.call("PUT", f"/executions/{execution_id}/budget", {"tokens": 5})
    assert (answer.status, "resume it" in answer.body["detail"]) == (409, True)


# SIGKILL between a provider's answer and the settlement


async def test_sigkill_between_answer_and_settlement_charges_no_attempt_twice_and_forgets_none(
    serve: Serve, model: FakeModel
) -> None:
    answered: list[Asked] = []

    def reply(asked: Asked) -> Reply:
        answered.append(asked)
        return Reply(hangs=(asked.prompt, asked.number) == ("chapter 2.", 1))

    model.reply = reply
    first = await serve()
    body = {"workflow": book(4), "user": ADA, "durability": "sync"}
    execution_id = (await first.call("POST", "/executions", body))["execution_id"]
    await model.until(lambda: model.count("chapter 2.") == 1)
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = await serve()
    payload = await second.until_status(execution_id, "completed")
    async with asyncio.timeout(PATIENCE):
        # It is completed before that is stored, and what it reserved is given back with that.
        while (report := await second.call("GET", "/users/ada/usage"))["reserved"]["output_tokens"]:
            pass
    # Six calls were paid for: one of them twice, since its first answer was lost, and that is taken to be as long.
    assert len(model.asked) == 6
    assert (report["input_tokens"], report["output_tokens"], report["estimated"]) == (6 * 7, 6 * 3, True)
    assert payload["usage"] == {"input_tokens": 42, "output_tokens": 18, "estimated": True}


async def test_call_that_a_sigkill_lost_and_nothing_repeats_is_charged_to_its_model(
    serve: Serve, model: FakeModel
) -> None:
    model.reply = lambda asked: Reply(hangs=True) if asked.number == 1 else Reply(status=401)
    first = await serve()
    body = {
        "workflow": workflow(bounded(llm("a", "outline", model="fake/writer"))),
        "user": ADA,
        "durability": "sync",
    }
    execution_id = (await first.call("POST", "/executions", body))["execution_id"]
    await model.until(lambda: model.count("outline") == 1)
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = await serve()
    await second.until_status(execution_id, "failed")
    report = await second.call("GET", "/users/ada/usage")
    # Seven characters asked, at four to a token, and as many answered as there may be.
    assert [(each["model"], each["input_tokens"], each["output_tokens"]) for each in report["by_model"]] == [
        ("fake/writer", 2, 3)
    ]


async def test_call_that_waited_for_a_limit_at_a_sigkill_is_not_charged(
    serve: Serve, model: FakeModel, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.toml"
    limits.write_text("[provider.fake]\nconcurrency = 1\n")
    model.reply = lambda asked: Reply(hangs=asked.prompt.startswith("chapter") and len(model.asked) == 1)
    first = await serve("--limits", str(limits))
    chapter = bounded(llm("chapter", "chapter {{ index }}.", model="fake/writer"))
    body = {"workflow": workflow(foreach("chapters", chapter, count=6, concurrency=6)), "user": ADA}
    execution_id = (await first.call("POST", "/executions", body))["execution_id"]
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await first.call("GET", f"/executions/{execution_id}/nodes/chapters")
            waiting = [each for each in found["item_results"] if each["waiting"]]
            journal = (await first.call("GET", f"/status/{execution_id}"))["journal"]
            if len(waiting) == 5 and not journal["lag_ms"]:
                break
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = await serve("--limits", str(limits))
    payload = await second.until_status(execution_id, "completed")
    # Seven calls, the first of them lost.
    assert len(model.asked) == 7
    assert payload["receipt"]["repeated_calls"] == 1
    assert payload["usage"] == {"input_tokens": 7 * 7, "output_tokens": 7 * 3, "estimated": True}


# Stop during a call


async def test_stop_during_a_call_closes_the_connection_keeps_the_text_and_settles_its_tokens(
    opened: Open, model: FakeModel, prices: Path
) -> None:
    worker = await opened(providers=model.providers, prices=prices)
    half = Reply(words=("half ", "a ", "chapter"), hangs=True)
    model.reply = lambda asked: half if asked.prompt == "chapter 1." else FINE
    execution_id = await worker.start(book())

    def has_text(payload: JsonObject) -> bool:
        return any(step["kind"] == "text" and step["item"] == 1 for step in payload["processing_steps"])

    await worker.until(execution_id, has_text)
    await worker.command(execution_id, "cancel")
    await model.until(lambda: model.hung_up == 1 and model.under_way == 0)
    payload = await worker.rest(execution_id)
    items = (await worker.checkpoint(execution_id))["state"]["nodes"]["chapters"]["items"]
    assert (payload["status"], items[1]["partial"]) == ("cancelled", "half a chapter")
    # Two whole calls, and of the third what was asked (10 characters) and what had come (14), at four to a token.
    report = await usage_of(worker)
    assert (report["input_tokens"], report["output_tokens"], report["estimated"]) == (17, 10, True)
    assert report["cost"] == {"amount": "0.117", "currency": "USD", "partial": False}
    assert report["reserved"]["cost"] is None


# What users are told


async def test_usage_is_told_by_day_and_model_while_it_is_made(
    opened: Open, model: FakeModel, prices: Path, functions: FunctionRegistry
) -> None:
    @functions.node
    async def translate(ctx: NodeContext) -> str:
        ctx.usage(Usage(100, 50), model="fake/writer")
        return "text"

    worker = await opened(providers=model.providers, prices=prices, clock=at_noon())
    release = model.hold("chapter 1.")
    execution_id = await worker.start(workflow(*book(2)["nodes"], python("own", "translate")))
    await model.until(lambda: model.count("chapter 1.") == 1)
    await worker.until(execution_id, lambda payload: payload["node_results"]["own"]["status"] == "completed")
    live = await usage_of(worker)
    assert (live["input_tokens"], live["output_tokens"], live["executions"]) == (114, 56, 1)
    assert live["reserved"]["output_tokens"] > 0
    release.set()
    payload = await worker.rest(execution_id)
    report = await usage_of(worker)
    assert (report["input_tokens"], report["output_tokens"], report["executions"]) == (121, 59, 1)
    assert report["cost"] == payload["cost"] == {"amount": "0.711", "currency": "USD", "partial": False}
    assert [(each["model"], each["output_tokens"]) for each in report["by_model"]] == [("fake/writer", 59)]
    day = report["by_day"][0]["day"]
    assert (await usage_of(worker, query=f"?from={day}&to={day}"))["output_tokens"] == 59
    assert (await usage_of(worker, query="?to=2001-01-01"))["output_tokens"] == 0
    backwards = await worker.call("GET", "/users/ada/usage?from=2026-02-01&to=2026-01-01")
    assert (backwards.status, "is after" in backwards.body["detail"]) == (422, True)
    assert (await worker.call("GET", "/users/ada/usage?from=today")).status == 422


async def test_what_resumes_saved_adds_up_for_the_user(opened: Open, model: FakeModel, prices: Path) -> None:
    worker = await opened(providers=model.providers, prices=prices)
    model.reply = lambda asked: (
        Reply(status=400, error="no") if asked.prompt == "chapter 6." and asked.number == 1 else FINE
    )
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    saved = payload["receipt"]["saved"]
    assert (payload["receipt"]["kept_items"], saved["tokens"]) == (6, 7 * CALL)
    assert saved["cost"] == {"amount": "0.259", "currency": "USD", "partial": False}
    assert (await usage_of(worker))["saved"] == {"tokens": 70, "cost": saved["cost"]}


async def test_deleted_execution_stays_in_the_books(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(2))
    await worker.rest(execution_id)
    assert (await worker.call("DELETE", f"/executions/{execution_id}")).status == 204
    assert (await usage_of(worker))["input_tokens"] == 21


async def test_reads_of_the_ledger_are_the_workers_and_among_no_transactions(worker: Worker) -> None:
    before = await worker.figures()
    for _ in range(2):
        await usage_of(worker)
    after = (await worker.call("GET", "/readyz")).body["counts"]
    # Budgets may be read in these moments too: a worker does that when it starts.
    assert after["ledger"]["reads"] >= before["ledger"]["reads"] + 2
    reads, writes = (before["transactions"][each] for each in ("reads", "writes"))
    # The one is that of readiness itself.
    assert after["transactions"] == {"reads": reads + 1, "writes": writes}
