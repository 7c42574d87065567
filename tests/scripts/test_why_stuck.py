"""`scripts/why_stuck.py`, run by itself against real engines: each way in which an execution may not go on."""

from __future__ import annotations

import json
import re

from tests.scenarios.conftest import Open
from tests.scenarios.documents import approval, book, llm, wait, workflow
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply
from tests.scenarios.unreachable_store import UnreachableStore
from tests.scenarios.worker import NOBODY, Worker
from tests.scripts.running import Ended, run_script


async def asked_why(worker: Worker, execution_id: str, *arguments: str) -> Ended:
    ended = await run_script("why_stuck.py", execution_id, "--server", worker.url, "--look", "0.1", *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended


def hangs_in_chapter_1(asked: Asked) -> Reply:
    """Refuse chapter 1 when it is first asked for, and never answer it the second time."""
    if asked.prompt != "chapter 1.":
        return FINE
    return Reply(status=503, error="busy") if asked.number == 1 else Reply(hangs=True)


async def test_silent_model_is_told_with_its_chapter_and_attempt(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = hangs_in_chapter_1
    execution_id = await worker.start(book(retry={"attempts": 3, "delay": 0}))
    await model.until(lambda: model.count("chapter 1.") == 2)
    await worker.until(execution_id, lambda payload: "fine" in payload["processing_steps"][-1]["text"])
    ended = await asked_why(worker, execution_id)
    assert [line.split()[1] for line in ended.lines if line.startswith("now ")] == ["chapters[1],"]
    facts = ended.facts
    assert facts["execution"] == f"{execution_id}, book, for ada"
    assert re.fullmatch(r"running, started \d+\.\ds ago, epoch 1, from memory", facts["status"])
    assert re.fullmatch(r"chapters\[1\], attempt 2, running for \d+\.\ds, its last step \d+\.\ds ago", facts["now"])
    assert re.fullmatch(r"\d+\.\ds ago, chapters\[1\] text: a fine text ?", facts["last step"])
    assert facts["news"] == "none in 0.1s"
    assert re.fullmatch(r"ok, \d+ records, \d+ bytes, \d+ ms behind \(async\)", facts["journal"])
    assert facts["database"] == "ok, no checkpoint, 1 writes, 0 reads"
    assert facts["worker"].startswith("ready, journal ok, 0 executions to recover, 1 calls in flight")


async def test_conclusion_names_what_is_silent(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(hangs=True)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    await worker.until(execution_id, lambda payload: "fine" in payload["processing_steps"][-1]["text"])
    told = json.loads((await asked_why(worker, execution_id, "--json")).out)
    assert (told["status"], told["has_moved"]) == ("running", False)
    (conclusion,) = told["conclusions"]
    assert conclusion.startswith("outline said nothing while it was looked at, and its last step began ")
    (current,) = told["current"]
    assert (current["node_id"], current["item"], current["attempt"], current["waits"]) == ("outline", None, 1, False)
    assert 0 <= told["seconds_since_last_step"] < 60


async def test_attempt_that_was_repeated_after_a_crash_keeps_its_number(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(hangs=True) if asked.prompt == "chapter 0." else FINE
    execution_id = await worker.start(book())
    await model.until(lambda: model.count("chapter 0.") == 1)
    worker.crash(execution_id)
    await model.until(lambda: model.count("chapter 0.") == 2)
    ended = await asked_why(worker, execution_id)
    assert ended.facts["now"].startswith("chapters[0], attempt 1, running for ")
    assert ", 1 restarts, the last one: AssertionError" in ended.facts["actor"]


async def test_what_moves_is_not_taken_for_stuck_and_forgotten_steps_not_for_none(worker: Worker) -> None:
    script = {"words": 100_000, "tokens_per_second": 400}
    execution_id = await worker.start(book(model="scripted/writer", chapters=2, concurrency=2, script=script))
    await worker.until(execution_id, lambda payload: payload["first_seq"] > 20)
    ended = await asked_why(worker, execution_id, "--look", "10")
    assert ended.facts["news"].startswith("some in ")
    assert ended.facts["now"].startswith("chapters[1], attempt 1 or later, ")
    assert ended.lines[-1] == "it moves: it changed while it was looked at"
    await worker.command(execution_id, "cancel")
    await worker.rest(execution_id)


async def test_execution_that_waits_for_a_person_says_how_to_answer(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("consent")))
    await worker.until_status(execution_id, "waiting")
    ended = await asked_why(worker, execution_id)
    assert ended.facts["waits for"] == "signal consent, in node consent"
    assert ended.facts["now"].startswith("consent, attempt 1, waiting")
    assert ended.lines[-1] == f"it waits for somebody to answer: POST /executions/{execution_id}/signals/consent"


async def test_execution_that_waits_for_its_next_attempt_says_what_failed(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=503, error="busy")
    execution_id = await worker.start(book(retry={"attempts": 3, "delay": 60}))
    payload = await worker.until_status(execution_id, "failed", "waiting")
    assert payload["status"] == "failed", "the outline has no retry"
    model.reply = lambda asked: FINE if asked.prompt == "outline" else Reply(status=503, error="busy")
    await worker.resume(execution_id)
    await worker.until_status(execution_id, "waiting")
    ended = await asked_why(worker, execution_id)
    assert ended.facts["now"].startswith("chapters[0], attempt 1, waiting")
    assert "it waits for its next attempt at chapters, after server_error: " in ended.lines[-1]


async def test_execution_that_waits_for_a_time_says_until_when(worker: Worker) -> None:
    execution_id = await worker.start(workflow(wait("pause", 3600)))
    waiting = (await worker.until_status(execution_id, "waiting"))["waiting"]
    assert (await asked_why(worker, execution_id)).lines[-1] == f"it waits for the time {waiting['until']}"


async def test_queued_execution_says_that_others_are_before_it(opened: Open) -> None:
    worker = await opened(max_live=1)
    first = await worker.start(workflow(approval("consent")))
    await worker.until_status(first, "waiting")
    second = await worker.start(workflow(approval("consent")))
    ended = await asked_why(worker, second)
    assert ended.facts["status"].startswith("queued, accepted ")
    assert "OFFBOOK_MAX_LIVE" in ended.lines[-1]


async def test_calls_that_are_queued_are_told(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, max_calls=1)
    model.reply = lambda asked: Reply(hangs=True)
    await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(book())
    await worker.until(second, lambda payload: payload["progress"]["current"] == ["outline"])
    assert any("1 are in flight, 1 queued" in line for line in (await asked_why(worker, second)).lines)


async def test_execution_that_waits_for_a_budget_says_for_which(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    execution_id = await worker.start(book(), budget={"tokens": 3})
    await worker.until_status(execution_id, "waiting")
    ended = await asked_why(worker, execution_id)
    assert ended.lines[-1] == (
        "it waits for room in the budget of 3 tokens for this execution: raise it (offbook budget set)"
    )


async def test_execution_that_waits_for_a_limit_says_for_which(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers, limits={"provider": {"fake": {"concurrency": 1}}})
    model.reply = lambda asked: Reply(hangs=True)
    await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    second = await worker.start(book())
    await worker.until_status(second, "waiting")
    ended = await asked_why(worker, second)
    assert ended.facts["waits for"] == "provider fake, in node outline"
    assert ended.lines[-1] == (
        "it waits for a limit of the provider fake: "
        "concurrency = 1, 1 calls are under way and 1 wait (OFFBOOK_LIMITS)"
    )


async def test_execution_that_waits_because_its_provider_asked_for_it_says_until_when(
    opened: Open, model: FakeModel
) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=429, error="slow down", headers={"Retry-After": "60"})
    execution_id = await worker.start(workflow(llm("a", "a", model="fake/writer", retry={"attempts": 2})))
    waiting = (await worker.until_status(execution_id, "waiting"))["waiting"]
    ended = await asked_why(worker, execution_id)
    assert ended.lines[-1] == (
        f"it waits because the provider fake asked for it (Retry-After), until {waiting['until']}"
    )


async def test_failed_execution_says_where_and_how_it_goes_on(opened: Open, model: FakeModel) -> None:
    worker = await opened(providers=model.providers)
    model.reply = lambda asked: Reply(status=401, error="no such key") if asked.prompt == "chapter 1." else FINE
    execution_id = await worker.start(book())
    await worker.rest(execution_id)
    ended = await asked_why(worker, execution_id)
    assert re.fullmatch(r"failed, ended \d+\.\ds ago, epoch 1, from memory", ended.facts["status"])
    assert ended.facts["error"].startswith("invalid_key in chapters[1]: ")
    assert ended.facts["database"] == "ok, checkpoint saved, 2 writes, 0 reads"
    assert "now" not in ended.facts
    assert f"it rests and goes on with POST /executions/{execution_id}/resume" in ended.lines[-1]


async def test_database_that_is_away_is_told(opened: Open, model: FakeModel) -> None:
    store = UnreachableStore()
    worker = await opened(store=store, providers=model.providers)
    model.reply = lambda asked: Reply(hangs=True)
    execution_id = await worker.start(book())
    await model.until(lambda: model.under_way == 1)
    store.go_away()
    ended = await asked_why(worker, execution_id)
    assert "the disk has been pulled out" in ended.facts["database"]
    assert ended.facts["worker"].startswith("unready, ")
    assert any(line.startswith("the database is away (") for line in ended.lines)
    store.come_back()


async def test_crashed_execution_that_is_poison_says_so(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("consent"), restart={"max_restarts": 0, "within": 60}))
    await worker.until_status(execution_id, "waiting")
    worker.crash(execution_id)
    await worker.rest(execution_id)
    ended = await asked_why(worker, execution_id)
    assert "Unheard" in ended.facts["actor"]
    assert any(line.startswith("it is poison: ") for line in ended.lines)


async def test_nothing_can_be_said_of_what_is_not_there(worker: Worker) -> None:
    ended = await run_script("why_stuck.py", NOBODY, "--server", worker.url)
    assert (ended.code, ended.out) == (1, "")
    assert "404" in ended.err
    ended = await run_script("why_stuck.py", NOBODY, "--server", "http://127.0.0.1:9")
    assert ended.code == 3
