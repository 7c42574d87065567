"""Stories of one run: order, conditions, joins, retries, stops."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.effects import (
    AbortCalls,
    ArmTimer,
    DecideEdges,
    SaveCheckpoint,
    SaveOutcome,
    WithdrawCalls,
)
from offbook.workflows.errors import IllegalTransition, NotResumable, StaleMessage
from offbook.workflows.messages import (
    CancelRequested,
    CrashedForGood,
    EdgesDecided,
    InterruptRequested,
    NodeFailed,
    NodeFinished,
    NodeParked,
    NodeProgressed,
    PauseRequested,
    Recovered,
    ResumeRequested,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.savings import would_keep
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NO_USAGE, NodeError, Usage
from tests.workflows.driver import Drive, workflow


def line(*ids: str) -> Drive:
    nodes = [{"id": each, "needs": [before] if before else []} for before, each in zip(["", *ids], ids, strict=False)]
    return Drive(workflow(*nodes))


def test_nodes_in_a_line_run_one_after_the_other_and_complete() -> None:
    drive = line("a", "b")
    assert drive.started() == [("a", None, 1)]
    drive.finish("a")
    assert drive.started() == [("b", None, 1)]
    effects = drive.finish("b")
    assert effects == [SaveOutcome()]
    assert drive.status() is ExecutionStatus.COMPLETED
    assert drive.run.percent() == 100.0


def test_nodes_without_needs_start_side_by_side_and_a_join_waits_for_all() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}, {"id": "c", "needs": ["a", "b"]}))
    assert [node for node, _, _ in drive.started()] == ["a", "b"]
    drive.finish("a")
    assert drive.started() == []
    drive.finish("b")
    assert drive.started() == [("c", None, 1)]


def test_skipped_branch_skips_only_what_it_alone_leads_to() -> None:
    drive = Drive(
        workflow(
            {"id": "a"},
            {"id": "picture", "needs": ["a"], "when": "false"},
            {"id": "caption", "needs": ["picture"]},
            {"id": "book", "needs": ["a", "caption"]},
        )
    )
    effects = drive.finish("a")
    assert effects == [DecideEdges("picture")]
    drive.apply(EdgesDecided("picture", 1, (True,), False, drive.now))
    assert drive.status_of("picture") == drive.status_of("caption") == "skipped"
    assert drive.started() == [("book", None, 1)]


def test_condition_on_an_edge_takes_one_branch_only() -> None:
    drive = Drive(
        workflow(
            {"id": "gate"},
            {"id": "yes", "needs": [{"node": "gate", "when": "true"}]},
            {"id": "no", "needs": [{"node": "gate", "when": "false"}]},
        )
    )
    drive.finish("gate")
    drive.apply(EdgesDecided("yes", 1, (True,), True, drive.now))
    assert drive.started() == [("yes", None, 1)]
    drive.apply(EdgesDecided("no", 1, (False,), True, drive.now))
    assert drive.status_of("no") == "skipped"
    drive.finish("yes")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_true_edge_from_a_skipped_node_does_not_lead_on() -> None:
    drive = Drive(
        workflow(
            {"id": "a", "when": "false"},
            {"id": "b"},
            {"id": "c", "needs": [{"node": "a", "when": "true"}, {"node": "b", "when": "false"}]},
        )
    )
    drive.apply(EdgesDecided("a", 1, (), False, drive.now))
    drive.finish("b")
    drive.apply(EdgesDecided("c", 1, (True, False), True, drive.now))
    assert drive.status_of("c") == "skipped"


def test_condition_that_cannot_be_evaluated_fails_its_node_and_is_decided_again_on_resume() -> None:
    drive = Drive(workflow({"id": "a", "when": "inputs.x"}))
    drive.apply(EdgesDecided("a", 1, (), True, drive.now, NodeError("validation", "no input x")))
    assert drive.status() is ExecutionStatus.FAILED
    drive.apply(ResumeRequested(2, drive.now))
    assert drive.apply(Recovered(2, drive.now)) == [DecideEdges("a")]


def test_continue_on_error_lets_the_run_go_on_and_is_not_repeated_by_a_resume() -> None:
    drive = Drive(
        workflow({"id": "picture", "continue_on_error": True}, {"id": "book", "needs": ["picture"]}, {"id": "c"})
    )
    drive.fail("picture")
    assert drive.started() == [("book", None, 1)]
    assert drive.run.scope("book").output("picture") is None
    drive.fail("book")
    drive.finish("c")
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("book", None, 2)]
    drive.finish("book")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_retryable_error_waits_with_backoff_and_tries_again() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 3, "delay": 2, "factor": 3}}))
    effects = drive.fail("a", "rate_limit", retryable=True)
    assert effects == [ArmTimer(drive.now + 2)]
    assert drive.status() is ExecutionStatus.WAITING
    drive.apply(TimerFired(1, drive.pass_time(2)))
    assert drive.started() == [("a", None, 2)]
    assert drive.fail("a", "rate_limit", retryable=True) == [ArmTimer(drive.now + 6)]
    drive.apply(TimerFired(1, drive.pass_time(6)))
    assert drive.fail("a", "rate_limit", retryable=True) == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.FAILED


def test_retry_after_of_the_provider_is_obeyed_and_jitter_shortens_by_at_most_half() -> None:
    policy = {"attempts": 5, "delay": 10, "max_delay": 10}
    drive = Drive(workflow({"id": "a", "retry": policy}))
    assert drive.fail("a", retryable=True, retry_after=30) == [ArmTimer(drive.now + 30)]
    drive = Drive(workflow({"id": "a", "retry": policy}))
    assert drive.fail("a", retryable=True, jitter=0.0) == [ArmTimer(drive.now + 5)]


def test_error_that_is_not_retryable_is_not_tried_again() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 5}}))
    drive.fail("a", "invalid_key")
    assert drive.status() is ExecutionStatus.FAILED
    assert drive.run.failure is not None
    assert drive.run.failure.error.type == "invalid_key"


def test_failure_lets_calls_in_flight_finish_and_starts_nothing_new() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}, {"id": "c", "needs": ["b"]}))
    assert drive.fail("a") == [WithdrawCalls()]
    assert drive.status() is ExecutionStatus.RUNNING
    assert drive.finish("b") == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.FAILED
    assert drive.status_of("b") == "completed"
    assert drive.status_of("c") == "pending"


def test_first_error_stays_the_error_of_the_execution() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}))
    drive.fail("a", "timeout")
    drive.fail("b", "crash")
    assert drive.run.failure is not None
    assert (drive.run.failure.node_id, drive.run.failure.error.type) == ("a", "timeout")


def test_pain_05_resume_starts_at_what_did_not_finish_and_guidance_reaches_the_failed_node() -> None:
    drive = line("a", "b", "c")
    drive.finish("a")
    drive.fail("b")
    drive.apply(ResumeRequested(2, drive.now, "shorter, please"))
    assert drive.status() is ExecutionStatus.RECOVERING
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("b", None, 2)]
    assert drive.run.scope("b").guidance == "shorter, please"
    drive.finish("b")
    assert drive.run.scope("c").guidance == ""
    drive.finish("c")
    assert drive.run.receipt is not None
    assert drive.run.receipt.kept_nodes == 1


def test_resume_gives_a_fresh_retry_budget_and_counts_attempts_on() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}))
    drive.fail("a", retryable=True)
    drive.apply(TimerFired(1, drive.now))
    drive.fail("a", retryable=True)
    assert drive.status() is ExecutionStatus.FAILED
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("a", None, 3)]
    drive.fail("a", retryable=True)
    assert drive.status() is ExecutionStatus.WAITING


def test_completed_execution_cannot_be_resumed() -> None:
    drive = line("a")
    drive.finish("a")
    with pytest.raises(NotResumable):
        drive.apply(ResumeRequested(2, drive.now))
    assert drive.run.epoch == 1


@pytest.mark.parametrize("epoch", [0, 2])
def test_message_of_another_epoch_changes_nothing(epoch: int) -> None:
    drive = line("a")
    before = drive.run.revision
    with pytest.raises(StaleMessage):
        drive.apply(NodeFinished("a", None, 1, epoch, "late", NO_USAGE, drive.now))
    assert drive.run.revision == before
    assert drive.status_of("a") == "running"


def test_message_of_another_attempt_or_of_a_settled_node_is_refused() -> None:
    drive = line("a", "b")
    with pytest.raises(StaleMessage):
        drive.apply(NodeFinished("a", None, 2, 1, "from the future", NO_USAGE, drive.now))
    drive.finish("a")
    with pytest.raises(StaleMessage):
        drive.apply(NodeFinished("a", None, 1, 1, "twice", NO_USAGE, drive.now))
    assert drive.run.outputs["a"] == "output of a"


def test_cancel_aborts_calls_keeps_partial_text_and_is_never_shown_as_failed() -> None:
    drive = line("a", "b")
    assert drive.apply(CancelRequested(drive.now)) == [AbortCalls()]
    effects = drive.fail("a", "cancelled", partial="half a chap")
    assert effects == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.CANCELLED
    assert drive.run.failure is None
    assert drive.status_of("a") == "cancelled"
    assert drive.run.works[0].partial == "half a chap"


def test_cancelled_execution_ignores_late_nodes() -> None:
    drive = line("a", "b")
    drive.apply(CancelRequested(drive.now))
    drive.fail("a", "cancelled")
    with pytest.raises(StaleMessage):
        drive.apply(NodeFinished("a", None, 1, 1, "late", NO_USAGE, drive.now))
    assert drive.status() is ExecutionStatus.CANCELLED


def test_cancelled_execution_resumes_where_it_was_cancelled() -> None:
    drive = line("a", "b")
    drive.finish("a")
    drive.apply(CancelRequested(drive.now))
    drive.fail("b", "cancelled")
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("b", None, 2)]


def test_queued_execution_can_be_cancelled() -> None:
    drive = Drive(workflow({"id": "a"}), begin=False)
    assert drive.apply(CancelRequested(drive.now)) == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.CANCELLED


def test_pain_32_pause_lets_calls_finish_and_resume_goes_on() -> None:
    drive = line("a", "b")
    assert drive.apply(PauseRequested(drive.now)) == [WithdrawCalls()]
    assert drive.finish("a") == [SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.PAUSED
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("b", None, 1)]


def test_interrupted_calls_are_repeated_under_their_number_and_counted() -> None:
    drive = line("a", "b")
    drive.finish("a")
    assert drive.apply(InterruptRequested(drive.now)) == [AbortCalls()]
    drive.fail("b", "cancelled")
    assert drive.status() is ExecutionStatus.INTERRUPTED
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("b", None, 1)]
    assert drive.run.receipt is not None
    assert drive.run.receipt.repeated_calls == 1


def test_what_was_repeated_is_told_until_somebody_resumes() -> None:
    drive = line("a", "b")
    drive.apply(Recovered(2, drive.pass_time(1), "beginning"))
    drive.apply(InterruptRequested(drive.now))
    drive.fail("a", "cancelled")
    assert drive.status() is ExecutionStatus.INTERRUPTED
    drive.apply(ResumeRequested(3, drive.pass_time(1)))
    drive.apply(Recovered(3, drive.now))
    assert drive.run.receipt is not None
    assert (drive.run.receipt.repeated_calls, drive.run.receipt.went_back_to) == (2, "beginning")
    drive.apply(CancelRequested(drive.now))
    drive.fail("a", "cancelled")
    drive.apply(ResumeRequested(4, drive.pass_time(1)))
    drive.apply(Recovered(4, drive.now))
    assert (drive.run.receipt.repeated_calls, drive.run.receipt.went_back_to) == (0, "")


def test_run_handed_over_by_a_crashed_actor_goes_on_with_its_calls_repeated() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}, {"id": "c", "needs": ["a", "b"]}))
    drive.finish("a")
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("b", None, 1)]
    with pytest.raises(StaleMessage):
        drive.apply(NodeFinished("b", None, 1, 1, "of the old actor", NO_USAGE, drive.now))
    drive.finish("b")
    drive.finish("c")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_decision_in_flight_at_a_crash_is_made_again() -> None:
    drive = Drive(workflow({"id": "a", "when": "true"}))
    assert drive.apply(Recovered(2, drive.now)) == [DecideEdges("a")]
    drive.apply(EdgesDecided("a", 2, (), True, drive.now))
    drive.finish("a")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_actor_that_crashes_for_good_fails_the_run_and_keeps_the_checkpoint() -> None:
    drive = line("a", "b")
    drive.finish("a")
    effects = drive.apply(CrashedForGood(2, NodeError("crash", "again"), drive.now))
    assert effects == [AbortCalls(), SaveCheckpoint()]
    assert drive.status() is ExecutionStatus.FAILED
    drive.apply(ResumeRequested(3, drive.now))
    drive.apply(Recovered(3, drive.now))
    assert drive.started() == [("b", None, 1)]


def park(
    drive: Drive, node: str, kind: str, until: float | None, *, default: object = None, has: bool = False
) -> None:
    attempt = drive.attempt(node)
    drive.apply(NodeParked(node, None, attempt, drive.run.epoch, kind, node, until, None, default, has, drive.now))


def test_waiting_node_completes_when_its_time_comes() -> None:
    drive = line("a")
    park(drive, "a", "timer", drive.now + 60)
    assert drive.effects == [ArmTimer(drive.now + 60)]
    assert drive.status() is ExecutionStatus.WAITING
    assert drive.apply(TimerFired(1, drive.pass_time(60))) == [SaveOutcome()]


def test_signal_answers_the_node_that_waits_for_it() -> None:
    drive = line("a", "b")
    park(drive, "a", "signal", None)
    with pytest.raises(IllegalTransition):
        drive.apply(SignalReceived("other", {}, drive.now))
    drive.apply(SignalReceived("a", {"approved": True}, drive.now))
    assert drive.run.outputs["a"] == {"approved": True}
    assert drive.started() == [("b", None, 1)]


def test_signal_that_does_not_come_in_time_gives_the_default_or_fails() -> None:
    drive = line("a")
    park(drive, "a", "signal", drive.now + 5, default={"approved": False}, has=True)
    drive.apply(TimerFired(1, drive.pass_time(5)))
    assert drive.run.outputs["a"] == {"approved": False}
    drive = line("a")
    park(drive, "a", "signal", drive.now + 5)
    drive.apply(TimerFired(1, drive.pass_time(5)))
    assert drive.run.failure is not None
    assert drive.run.failure.error.type == "timeout"


def test_waiting_survives_pause_and_resume() -> None:
    drive = line("a")
    park(drive, "a", "signal", drive.now + 50)
    assert drive.apply(PauseRequested(drive.now)) == [SaveCheckpoint()]
    drive.apply(ResumeRequested(2, drive.now))
    assert drive.apply(Recovered(2, drive.now)) == [ArmTimer(drive.now + 50)]
    drive.apply(SignalReceived("a", "yes", drive.now))
    assert drive.status() is ExecutionStatus.COMPLETED


def test_tokens_of_failed_and_running_attempts_count() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}))
    usage = Usage(10, 5)
    drive.apply(NodeProgressed("a", None, 1, 1, drive.now, usage=usage))
    assert drive.run.usage == usage
    drive.apply(NodeFailed("a", None, 1, 1, NodeError("dropped", "", True), drive.now, usage=usage))
    drive.apply(TimerFired(1, drive.pass_time(10)))
    drive.finish("a", usage=Usage(10, 7))
    assert drive.run.usage == Usage(20, 12)


def test_progress_and_revision_never_go_back_within_an_epoch() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}, {"id": "b", "needs": ["a"]}))
    drive.apply(NodeProgressed("a", None, 1, 1, drive.now, fraction=0.8))
    seen = [(drive.run.revision, drive.run.percent())]
    drive.fail("a", retryable=True)
    seen.append((drive.run.revision, drive.run.percent()))
    drive.apply(TimerFired(1, drive.now))
    drive.apply(NodeProgressed("a", None, 2, 1, drive.now, fraction=0.1))
    seen.append((drive.run.revision, drive.run.percent()))
    assert seen == sorted(seen)
    assert seen[0][1] == 40.0


def test_five_hundred_nodes_in_a_line_can_all_be_skipped() -> None:
    nodes: list[dict[str, Any]] = [
        {"id": "n0", "when": "false"},
        *({"id": f"n{i}", "needs": [f"n{i - 1}"]} for i in range(1, 500)),
    ]
    drive = Drive(workflow(*nodes))
    assert drive.apply(EdgesDecided("n0", 1, (), False, drive.now)) == [SaveOutcome()]


def test_time_between_a_failure_and_its_resume_is_not_time_that_a_node_took() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b", "needs": ["a"]}))
    drive.fail("a")
    drive.pass_time(86_400)
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    began = drive.now
    drive.finish("a")
    drive.fail("b")
    receipt = would_keep(drive.run)
    assert (receipt.kept_nodes, receipt.saved_seconds) == (1, drive.run.works[0].finished_at - began)  # type: ignore[operator]
    assert receipt.saved_seconds < 100


def test_time_while_a_worker_was_away_is_not_time_that_a_node_took() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.pass_time(86_400)
    drive.apply(TakenUp(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    drive.finish("a")
    assert would_keep(drive.run).saved_seconds < 100
