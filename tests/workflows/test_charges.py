"""What a run owes the ledger: each attempt once, lost ones as estimated, nothing for what used nothing."""

from __future__ import annotations

from typing import Any

import orjson

from offbook.workflows.bookings import expected_usage, reservation, settlement
from offbook.workflows.checkpoint import restore, save_of, to_state
from offbook.workflows.ledger import NO_ITEM, Entry, EntryKind
from offbook.workflows.messages import (
    CancelRequested,
    CrashedForGood,
    NodeFailed,
    NodeProgressed,
    Recovered,
    ResumeRequested,
    TakenUp,
    TimerFired,
)
from offbook.workflows.money import MOST_COST
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NodeError, Usage
from tests.workflows.driver import Drive, workflow

GONE = NodeError("dropped", "gone", retryable=True)


def owed(drive: Drive) -> list[tuple[str, int, int, int, Usage]]:
    return [(each.node_id, each.item, each.attempt, each.epoch, each.usage) for each in drive.run.unsettled or ()]


def fail(drive: Drive, node_id: str, usage: Usage, error: NodeError = GONE) -> None:
    run = drive.run
    attempt = run.works[run.plan.index[node_id]].attempt
    drive.apply(NodeFailed(node_id, None, attempt, run.epoch, error, drive.now, usage=usage, model="a/b"))


def test_failed_attempts_are_owed_as_the_one_that_succeeds() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}))
    fail(drive, "a", Usage(3, 0, estimated=True))
    drive.apply(TimerFired(1, drive.pass_time(5)))
    drive.finish("a", "text", usage=Usage(3, 4))
    assert owed(drive) == [
        ("a", NO_ITEM, 1, 1, Usage(3, 0, estimated=True)),
        ("a", NO_ITEM, 2, 1, Usage(3, 4)),
    ]


def test_cancelled_attempt_is_owed() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(CancelRequested(drive.now))
    fail(drive, "a", Usage(3, 2, estimated=True), NodeError("cancelled", "stopped"))
    assert drive.run.status is ExecutionStatus.CANCELLED
    assert owed(drive) == [("a", NO_ITEM, 1, 1, Usage(3, 2, estimated=True))]


def test_attempt_without_usage_owes_nothing() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.finish("a", "text")
    assert drive.run.unsettled is None
    assert settlement(drive.run) is None


def test_what_is_owed_is_handed_over_with_the_save_and_owed_until_it_is_stored() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.finish("a", "text", usage=Usage(3, 4))
    save = save_of(drive.run)
    assert save.bookings is not None
    assert save.bookings.user_id == "ada"
    assert [entry.usage for entry in save.bookings.entries] == [Usage(3, 4)]
    assert drive.run.unsettled is not None
    drive.run.forget_settled(save.bookings.entries)
    assert drive.run.unsettled is None


def test_call_that_was_lost_with_its_incarnation_is_owed_as_much_as_the_one_that_repeats_it() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(TakenUp(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    drive.apply(Recovered(3, drive.now))
    drive.finish("a", "text", usage=Usage(3, 4, cost=5))
    estimated = Usage(3, 4, estimated=True, cost=5)
    assert owed(drive) == [
        ("a", NO_ITEM, 1, 3, Usage(3, 4, cost=5)),
        ("a", NO_ITEM, 1, 1, estimated),
        ("a", NO_ITEM, 1, 2, estimated),
    ]
    assert drive.run.usage == Usage(9, 12, estimated=True, cost=15)


def test_epoch_in_which_nothing_was_called_owes_nothing() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(TakenUp(2, drive.now))
    drive.apply(TakenUp(3, drive.now))
    drive.apply(Recovered(3, drive.now))
    drive.finish("a", "text", usage=Usage(3, 4))
    assert [each[3] for each in owed(drive)] == [3, 1]


def test_call_that_was_lost_before_a_cancel_is_owed_as_estimated() -> None:
    drive = Drive(workflow({"id": "a", "config": {"estimate": 50}}))
    drive.apply(TakenUp(2, drive.now))
    drive.apply(CancelRequested(drive.now))
    assert drive.run.status is ExecutionStatus.CANCELLED
    assert owed(drive) == [("a", NO_ITEM, 1, 1, Usage(0, 50, estimated=True))]


def test_what_a_lost_call_had_shown_counts_where_its_actor_crashed_for_good() -> None:
    drive = Drive(workflow({"id": "a", "config": {"estimate": 50}}))
    drive.apply(NodeProgressed("a", None, 1, 1, drive.now, usage=Usage(3, 7, estimated=True)))
    drive.apply(CrashedForGood(1, NodeError("crash", "again and again"), drive.now))
    assert owed(drive) == [("a", NO_ITEM, 1, 1, Usage(3, 7, estimated=True))]


def models(drive: Drive) -> list[str]:
    return [each.model for each in drive.run.unsettled or ()]


def test_lost_call_is_owed_under_the_model_that_its_node_names() -> None:
    lost = {"id": "a", "config": {"estimate": 50, "model": "a/b"}}
    drive = Drive(workflow(lost, {**lost, "id": "unnamed", "config": {"estimate": 7}}))
    drive.apply(TakenUp(2, drive.now))
    drive.apply(CancelRequested(drive.now))
    assert models(drive) == ["a/b", ""]


def test_lost_call_is_owed_under_the_model_that_it_told_of() -> None:
    drive = Drive(workflow({"id": "a", "config": {"model": "a/b"}}, {"id": "b", "config": {"model": "a/b"}}))
    for node_id, model in (("a", "c/d"), ("b", "")):
        usage = Usage(3, 7, estimated=True)
        drive.apply(NodeProgressed(node_id, None, 1, 1, drive.now, usage=usage, model=model))
    drive.apply(CrashedForGood(1, NodeError("crash", "again and again"), drive.now))
    assert models(drive) == ["c/d", "a/b"]


def test_lost_calls_survive_a_checkpoint() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(TakenUp(2, drive.now))
    state = to_state(drive.run)
    drive.run.lost_calls = None
    restore(drive.run, orjson.loads(orjson.dumps(state)))
    drive.apply(Recovered(3, drive.now))
    drive.finish("a", "text", usage=Usage(3, 4))
    assert [each[3] for each in owed(drive)] == [3, 1]


def items(**config: Any) -> dict[str, Any]:
    return {"id": "a", "type": "foreach", "config": {**config, "do": {"type": "text", "config": {"estimate": 10}}}}


def test_expected_usage_counts_the_items_that_are_known() -> None:
    assert expected_usage(Drive(workflow(items(count=3)), begin=False).run).tokens == 30
    assert expected_usage(Drive(workflow(items(items=["x", "y"])), begin=False).run).tokens == 20
    inputs = {"n": 4, "list": ["x"] * 5}
    assert expected_usage(Drive(workflow(items(count="inputs.n")), inputs=inputs, begin=False).run).tokens == 40
    assert (
        expected_usage(Drive(workflow(items(items="{{ inputs.list }}")), inputs=inputs, begin=False).run).tokens == 50
    )
    assert expected_usage(Drive(workflow(items(count="inputs.n + 1")), inputs=inputs, begin=False).run).tokens == 10


def test_run_reserves_what_it_is_expected_to_use_and_after_a_failure_what_is_left() -> None:
    drive = Drive(
        workflow({"id": "a", "config": {"estimate": 50}}, {"id": "b", "config": {"estimate": 7}}), begin=False
    )
    began = reservation(drive.run, 1, drive.now)
    assert began is not None
    assert began.entries == (
        Entry(EntryKind.RESERVE, "", NO_ITEM, 0, 1, drive.now, "", Usage(0, 57, estimated=True)),
    )
    drive.apply(Recovered(1, drive.now))
    drive.finish("a", "text", usage=Usage(3, 4))
    fail(drive, "b", Usage(), NodeError("validation", "wrong"))
    assert drive.run.status is ExecutionStatus.FAILED
    left = reservation(drive.run, 2, drive.now)
    assert left is not None
    assert left.entries[0].usage == Usage(0, 7, estimated=True)


def test_run_reserves_no_more_than_the_books_can_keep() -> None:
    node = items(count=100_000)
    node["config"]["do"]["config"]["estimate"] = 10**15
    began = reservation(Drive(workflow(node), begin=False).run, 1, 0.0)
    assert began is not None
    assert began.entries[0].usage.output_tokens == MOST_COST


def test_run_that_is_not_known_to_cost_reserves_nothing() -> None:
    drive = Drive(workflow({"id": "a"}), begin=False)
    assert reservation(drive.run, 1, drive.now) is None


def test_what_a_resume_saved_is_entered_once_for_its_epoch() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b", "needs": ["a"]}))
    drive.finish("a", "text", usage=Usage(3, 4, cost=70))
    fail(drive, "b", Usage(), NodeError("validation", "wrong"))
    drive.run.forget_settled(drive.run.unsettled or [])
    drive.apply(ResumeRequested(2, drive.now))
    booked = settlement(drive.run)
    assert booked is not None
    assert booked.entries == (Entry(EntryKind.SAVED, "", NO_ITEM, 1, 2, drive.run.now, "", Usage(7, cost=70)),)


def test_lost_call_of_a_node_that_may_fail_is_owed_when_all_the_rest_is_completed() -> None:
    drive = Drive(workflow({"id": "a", "config": {"estimate": 50}, "continue_on_error": True}))
    drive.apply(TakenUp(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    fail(drive, "a", Usage(), NodeError("validation", "wrong"))
    assert drive.run.status is ExecutionStatus.COMPLETED
    assert owed(drive) == [("a", NO_ITEM, 1, 1, Usage(0, 50, estimated=True))]
    assert drive.run.usage == Usage(0, 50, estimated=True)
