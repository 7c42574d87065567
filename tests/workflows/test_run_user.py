"""Whose a run is: as it was accepted, until a resume that names another; and so it is once it is read back."""

from __future__ import annotations

import pytest

from offbook.workflows.checkpoint import save_of, summary_of, to_state
from offbook.workflows.message_codec import decode, encode
from offbook.workflows.messages import CancelRequested, Recovered, ResumeRequested, TakenUp
from offbook.workflows.plan import compile_plan
from offbook.workflows.run import Run
from offbook.workflows.values import ExecutionUser
from tests.workflows.driver import AnyTypes, workflow

ADA = ExecutionUser("ada", "author", "gold")
EVE = ExecutionUser("eve", "editor", "silver")


@pytest.fixture
def run() -> Run:
    """A run of Ada's that was cancelled."""
    plan = compile_plan(workflow({"id": "a"}), AnyTypes())
    made = Run(plan, "e" * 32, user=ADA, inputs={}, labels={}, durability="async", created_at=1000.0)
    made.apply(CancelRequested(1001.0))
    return made


def steps(run: Run) -> list[str]:
    return [step[5] for step in run.steps if step[4] == "resumed"]


def test_resume_leaves_the_user_as_it_is(run: Run) -> None:
    run.apply(ResumeRequested(2, 1002.0, "again"))
    run.apply(Recovered(2, 1003.0))
    assert (run.user, steps(run)) == (ADA, ["again"])
    assert run.scope("a").user == ADA


def test_resume_as_another_user_is_told_and_kept(run: Run) -> None:
    run.apply(ResumeRequested(2, 1002.0, "again", EVE))
    run.apply(Recovered(2, 1003.0))
    assert (run.user, steps(run)) == (EVE, ["on behalf of eve in place of ada", "again"])
    assert run.scope("a").user == summary_of(run).user == EVE
    assert to_state(run)["user"] == EVE.to_json()


def test_resume_that_nobody_was_told_of_is_undone_by_what_comes_after(run: Run) -> None:
    run.user = EVE  # as the row says, whose claim was stored
    run.apply(TakenUp(3, 1002.0, user=ADA))
    assert (run.user, steps(run)) == (ADA, [])


def test_only_a_first_epoch_leaves_the_row_alone(run: Run) -> None:
    assert save_of(run).user is None
    run.apply(ResumeRequested(2, 1002.0))
    assert save_of(run).user == ADA


@pytest.mark.parametrize("message", [ResumeRequested(2, 1002.0, "again", EVE), TakenUp(3, 1002.0, 1, 2, ADA)])
def test_journal_knows_whose_it_is(message: ResumeRequested | TakenUp) -> None:
    assert decode(encode(message)) == message
