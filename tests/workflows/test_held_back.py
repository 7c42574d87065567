"""Attempts that a budget holds back before they begin: shown as waiting, tried again under their number."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from offbook.workflows.budgets import Budget, BudgetMode, BudgetScope, BudgetUnit
from offbook.workflows.checkpoint import restore, to_state
from offbook.workflows.errors import IllegalTransition, StaleMessage
from offbook.workflows.message_codec import decode, encode
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    BudgetWarned,
    CancelRequested,
    ItemsExpanded,
    NodeParked,
    PauseRequested,
    Recovered,
    ResumeRequested,
    TimerFired,
)
from offbook.workflows.savings import would_keep
from offbook.workflows.status import waiting_detail
from offbook.workflows.values import Usage
from tests.workflows.driver import Drive, workflow

NAME = "500 tokens a day"
TOKENS = Budget(BudgetScope.EXECUTION, BudgetUnit.TOKENS, 500)


def hold_back(drive: Drive, node_id: str, *, item: int | None = None, until: float | None = None) -> None:
    attempt, epoch = drive.attempt(node_id, item), drive.run.epoch
    parked = NodeParked(
        node_id, item, attempt, epoch, "budget", "500 tokens a day", until, None, None, False, drive.now
    )
    drive.apply(parked)


def held_back(**more: Any) -> Drive:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}))
    hold_back(drive, "a", **more)
    return drive


def test_attempt_that_is_held_back_waits_and_says_for_which_budget() -> None:
    drive = held_back(until=5000.0)
    assert (drive.status(), drive.status_of("a")) == ("waiting", "waiting")
    detail = waiting_detail(drive.run)
    assert detail is not None
    assert (detail["kind"], detail["name"], detail["until"]) == (
        "budget",
        "500 tokens a day",
        "1970-01-01T01:23:20.000Z",
    )


def test_it_begins_under_the_same_number_when_there_is_room() -> None:
    drive = held_back()
    drive.apply(BudgetFreed(drive.now))
    assert drive.started() == [("a", None, 1)]
    drive.finish("a", usage=Usage(1, 1))
    assert (drive.status(), drive.run.works[0].attempt, drive.run.works[0].tries) == ("completed", 1, 1)


def test_it_is_tried_again_when_the_day_turns() -> None:
    drive = held_back(until=5000.0)
    drive.now = 5000.0
    drive.apply(TimerFired(1, drive.now))
    assert drive.started() == [("a", None, 1)]


def test_another_budget_has_it_tried_again_at_once() -> None:
    drive = held_back()
    drive.apply(BudgetSet(TOKENS, drive.now))
    assert drive.run.budget == TOKENS
    assert drive.started() == [("a", None, 1)]


def test_it_is_tried_again_after_a_crash() -> None:
    drive = held_back()
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("a", None, 1)]
    assert drive.run.receipt is not None
    assert drive.run.receipt.repeated_calls == 0
    assert drive.run.lost_calls is None


def test_items_that_are_held_back_are_tried_again_after_a_crash() -> None:
    each = {"type": "text"}
    drive = Drive(workflow({"id": "a", "type": "foreach", "config": {"count": 3, "concurrency": 3, "do": each}}))
    drive.apply(ItemsExpanded("a", 1, (0, 1, 2), drive.now))
    drive.finish("a", item=0)
    hold_back(drive, "a", item=1)
    drive.apply(Recovered(2, drive.now))
    assert sorted(drive.started()) == [("a", 1, 1), ("a", 2, 1)]


def test_it_is_tried_again_by_the_resume_after_a_pause() -> None:
    drive = held_back()
    drive.apply(PauseRequested(drive.now))
    assert drive.status() == "paused"
    state = orjson.loads(orjson.dumps(to_state(drive.run)))
    restore(drive.run, state)
    drive.run.index_works()
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("a", None, 1)]


def test_cancel_ends_the_wait() -> None:
    drive = held_back()
    drive.apply(CancelRequested(drive.now))
    assert (drive.status(), drive.status_of("a")) == ("cancelled", "cancelled")


def test_room_is_no_news_to_what_rests() -> None:
    drive = held_back()
    drive.apply(CancelRequested(drive.now))
    with pytest.raises(StaleMessage):
        drive.apply(BudgetFreed(drive.now))
    with pytest.raises(IllegalTransition):
        drive.apply(BudgetSet(TOKENS, drive.now))


def test_warning_is_a_step_once() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(BudgetWarned("500 tokens a day", drive.now))
    with pytest.raises(StaleMessage):
        drive.apply(BudgetWarned("500 tokens a day", drive.now))
    texts = [step[5] for step in drive.run.steps if step[4] == "warning"]
    assert texts == ["the budget is used up: 500 tokens a day"]


def test_budget_and_warnings_survive_a_checkpoint() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(BudgetSet(TOKENS, drive.now))
    drive.apply(BudgetWarned("x", drive.now))
    state = orjson.loads(orjson.dumps(to_state(drive.run)))
    restored = Drive(workflow({"id": "a"})).run
    restore(restored, state)
    assert restored.budget == TOKENS
    assert restored.warned == ("x",)


def test_workflow_has_a_budget_for_each_of_its_executions() -> None:
    definition = workflow({"id": "a"}, budget={"money": "1.50", "mode": "warn"})
    warned = Budget(BudgetScope.EXECUTION, BudgetUnit.MONEY, 1_500_000_000, BudgetMode.WARN)
    assert Drive(definition, begin=False).run.budget == warned


@pytest.mark.parametrize("message", [BudgetSet(TOKENS, 5.0), BudgetSet(None, 5.0), BudgetFreed(5.0)])
def test_records_of_budgets_are_read_back(message: Any) -> None:
    assert decode(encode(message)) == message


def test_time_that_an_attempt_was_held_back_is_not_time_that_it_took() -> None:
    drive = held_back()
    drive.pass_time(3600)
    drive.apply(BudgetFreed(drive.now))
    began = drive.now
    drive.pass_time(5)
    drive.finish("a", "text", usage=Usage(3, 4))
    assert drive.run.works[0].started_at == began
    assert would_keep(drive.run).saved_seconds == drive.now - began
