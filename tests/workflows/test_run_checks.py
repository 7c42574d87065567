"""Outputs that fail their checks: tried again at once, within a budget of their own, with the reasons."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.effects import SaveCheckpoint, StartNode
from offbook.workflows.errors import NotResumable
from offbook.workflows.message_codec import decode, encode
from offbook.workflows.messages import (
    CancelRequested,
    ItemsExpanded,
    NodeFailed,
    PauseRequested,
    Recovered,
    ResumeRequested,
    TimerFired,
)
from offbook.workflows.resume_plan import resume_plan
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import NodeError, Usage
from tests.workflows.driver import Drive, workflow


def checked(**fields: Any) -> Drive:
    return Drive(workflow({"id": "a", "checks": ["empty"], "check_retry": {"attempts": 3}, **fields}))


def chapters(**fields: Any) -> Drive:
    """Two chapters, in order, the first of them under way."""
    do = {"type": "text", "checks": ["empty"], "check_retry": {"attempts": 2}, **fields}
    drive = Drive(workflow({"id": "c", "type": "foreach", "config": {"count": 2, "do": do}}))
    drive.apply(ItemsExpanded("c", 1, (0, 1), drive.now))
    return drive


def shown(drive: Drive, node_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = status_payload(drive.run, StatusContext())["node_results"][node_id]
    return entry


def resume(drive: Drive, guidance: str = "") -> None:
    drive.apply(ResumeRequested(drive.run.epoch + 1, drive.now, guidance))
    drive.apply(Recovered(drive.run.epoch, drive.now))


def test_output_that_fails_its_checks_is_tried_again_at_once() -> None:
    drive = checked()
    assert drive.fail_check("a", "3 words") == [StartNode("a", None, 2)]
    assert drive.status() is ExecutionStatus.RUNNING
    drive.finish("a")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_last_attempt_of_the_checks_budget_fails_the_node_with_what_was_written() -> None:
    drive = checked()
    drive.fail_check("a", "1 word")
    drive.fail_check("a", "2 words")
    assert drive.fail_check("a", "3 words", partial="the third") == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.FAILED
    entry = shown(drive, "a")
    assert (entry["status"], entry["partial_output"], entry["attempt"]) == ("failed", "the third", 3)
    assert entry["error"]["type"] == "check_failed"
    assert entry["check_failures"] == [{"item": None, "times": 3, "reasons": ["3 words"]}]
    assert drive.run.usage == Usage(30, 60)


def test_checks_and_other_failures_have_budgets_of_their_own() -> None:
    drive = checked(retry={"attempts": 2, "delay": 1, "factor": 5})
    drive.fail_check("a", "one")
    drive.fail_check("a", "two")
    effects = drive.fail("a", "rate_limit", retryable=True)
    # The first of its kind: the first delay.
    assert effects[0].due == drive.now + 1  # type: ignore[union-attr]
    drive.apply(TimerFired(1, drive.pass_time(1)))
    assert drive.started() == [("a", None, 4)]
    drive.fail("a", "rate_limit", retryable=True)
    assert drive.status() is ExecutionStatus.FAILED


def test_reasons_reach_the_next_attempt_and_outlive_a_failure_of_another_kind() -> None:
    drive = checked(retry={"attempts": 2, "delay": 1})
    assert drive.run.scope("a").check_failures == ()
    drive.fail_check("a", "3 words", "it refuses")
    assert drive.run.scope("a").check_failures == ("3 words", "it refuses")
    drive.fail("a", "dropped", retryable=True)
    drive.apply(TimerFired(1, drive.pass_time(1)))
    assert drive.run.scope("a").check_failures == ("3 words", "it refuses")


def test_failure_that_names_no_reasons_is_its_own() -> None:
    drive = checked()
    error = NodeError("check_failed", "the answer is no JSON", retryable=True)
    drive.apply(NodeFailed("a", None, 1, 1, error, drive.pass_time(1)))
    assert drive.run.scope("a").check_failures == ("the answer is no JSON",)


def test_without_checks_the_attempts_are_those_of_retry() -> None:
    """As before there were checks: an answer that is no JSON is tried as often as anything else."""
    once = Drive(workflow({"id": "a"}))
    assert once.fail_check("a", "no JSON") == [SaveCheckpoint()]
    thrice = Drive(workflow({"id": "a", "retry": {"attempts": 3}}))
    thrice.fail_check("a", "no JSON")
    assert thrice.fail_check("a", "no JSON") == [StartNode("a", None, 3)]
    assert thrice.fail_check("a", "no JSON") == [SaveCheckpoint()]


def test_checks_alone_mean_three_attempts() -> None:
    drive = Drive(workflow({"id": "a", "checks": ["empty"]}))
    drive.fail_check("a", "empty")
    assert drive.fail_check("a", "empty") == [StartNode("a", None, 3)]
    assert drive.fail_check("a", "empty") == [SaveCheckpoint()]


def test_failure_that_cannot_pass_is_not_tried_again() -> None:
    drive = checked()
    assert drive.fail("a", "check_failed", retryable=False) == [SaveCheckpoint()]


def test_resume_gives_the_checks_budget_again_with_guidance_and_reasons() -> None:
    drive = checked()
    for _ in range(3):
        drive.fail_check("a", "3 words")
    resume(drive, "write more")
    scope = drive.run.scope("a")
    assert (scope.guidance, scope.check_failures) == ("write more", ("3 words",))
    assert drive.fail_check("a", "4 words") == [StartNode("a", None, 5)]


def test_item_has_reasons_guidance_and_budget_of_its_own() -> None:
    drive = chapters()
    drive.fail_check("c", "first is short", item=0)
    assert drive.run.scope("c", 0).check_failures == ("first is short",)
    drive.finish("c", "long enough", item=0)
    assert drive.run.scope("c", 1).check_failures == ()
    drive.fail_check("c", "second is short", item=1)
    drive.fail_check("c", "second is short", item=1, partial="two words")
    assert drive.status() is ExecutionStatus.FAILED
    entry = shown(drive, "c")
    assert (entry["partial_item"], entry["partial_output"]) == (1, "two words")
    assert entry["check_failures"][1] == {"item": 1, "times": 2, "reasons": ["second is short"]}
    resume(drive, "more of the sea")
    assert drive.started() == [("c", 1, 3)]
    scope = drive.run.scope("c", 1)
    assert (scope.guidance, scope.check_failures) == ("more of the sea", ("second is short",))


def test_node_that_may_fail_goes_on_without_its_output() -> None:
    drive = Drive(
        workflow(
            {"id": "a", "checks": ["empty"], "check_retry": {"attempts": 1}, "continue_on_error": True},
            {"id": "b", "needs": ["a"]},
        )
    )
    assert drive.fail_check("a", "empty") == [StartNode("b", None, 1)]
    assert drive.run.scope("b").output("a") is None


def test_passing_output_leaves_no_partial_text() -> None:
    drive = checked()
    drive.fail_check("a", "3 words", partial="not this")
    drive.finish("a", "this")
    assert "partial_output" not in shown(drive, "a")
    assert shown(drive, "a")["output"] == "this"


@pytest.mark.parametrize("stop", [PauseRequested(1000.5), CancelRequested(1000.5)])
def test_stopped_run_tries_nothing_again_until_it_is_resumed(stop: Any) -> None:
    drive = checked()
    drive.apply(stop)
    assert drive.fail_check("a", "3 words") == [SaveCheckpoint()]
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    if not drive.started():
        drive.apply(TimerFired(2, drive.now))
    assert drive.started() == [("a", None, 2)]
    assert drive.run.scope("a").check_failures == ("3 words",)


def test_regenerations_are_limited_over_all_resumes() -> None:
    drive = checked(max_regenerations=4)
    for attempt in range(1, 4):
        drive.fail_check("a", f"{attempt} words")
    resume(drive)
    drive.fail_check("a", "4 words")
    assert drive.fail_check("a", "5 words") == [SaveCheckpoint()]
    assert "max_regenerations is 4" in shown(drive, "a")["error"]["hint"]
    revision = drive.run.revision
    with pytest.raises(NotResumable, match=r"a has failed its checks as often as it may \(max_regenerations is 4\)"):
        drive.apply(ResumeRequested(3, drive.now))
    assert (drive.run.revision, drive.status()) == (revision, ExecutionStatus.FAILED)


def test_last_attempt_that_was_also_the_last_regeneration_says_that_a_resume_is_of_no_use() -> None:
    drive = checked(max_regenerations=2)
    for attempt in range(1, 4):
        drive.fail_check("a", f"{attempt} words")
    assert drive.status() is ExecutionStatus.FAILED
    hint = shown(drive, "a")["error"]["hint"]
    assert "max_regenerations is 2" in hint
    assert "fork it" in hint
    with pytest.raises(NotResumable, match="max_regenerations is 2"):
        resume_plan(drive.run, "USD")


def test_regeneration_that_failed_otherwise_may_still_be_made() -> None:
    drive = checked(max_regenerations=1)
    drive.fail_check("a", "3 words")
    drive.fail("a", "invalid_key")
    resume(drive)
    assert drive.started() == [("a", None, 3)]
    drive.fail_check("a", "3 words")
    with pytest.raises(NotResumable):
        drive.apply(ResumeRequested(3, drive.now))


def test_node_that_is_done_hinders_no_resume() -> None:
    drive = Drive(workflow({"id": "a", "checks": ["empty"], "max_regenerations": 1}, {"id": "b", "needs": ["a"]}))
    drive.fail_check("a", "empty")
    drive.finish("a")
    drive.fail("b")
    resume(drive)
    assert drive.started() == [("b", None, 2)]


def test_exhausted_item_is_named() -> None:
    drive = chapters(max_regenerations=0)
    drive.finish("c", "fine", item=0)
    drive.fail_check("c", "short", item=1)
    with pytest.raises(NotResumable, match=r"c\[1\] has failed its checks"):
        drive.apply(ResumeRequested(2, drive.now))


def test_reasons_are_in_the_journal() -> None:
    error = NodeError("check_failed", "3 words", retryable=True)
    message = NodeFailed("a", None, 1, 1, error, 1000.0, reasons=("3 words", "it refuses"))
    assert decode(encode(message)) == message
