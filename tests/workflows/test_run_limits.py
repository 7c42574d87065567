"""Attempts that wait for a limit: how that is shown, how it ends, and that nothing that is kept follows from it."""

from __future__ import annotations

import pytest

from offbook.workflows.checkpoint import save_of
from offbook.workflows.effects import AbortCalls, SaveCheckpoint, StartNode, WithdrawCalls
from offbook.workflows.errors import StaleMessage
from offbook.workflows.messages import (
    CancelRequested,
    InterruptRequested,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeHeld,
    PauseRequested,
    Recovered,
    ResumeRequested,
    TakenUp,
)
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import JsonObject, NodeError, Usage
from tests.workflows.driver import Drive, workflow


def hold(
    drive: Drive,
    node_id: str,
    item: int | None = None,
    until: float | None = None,
    kind: str = "provider",
    name: str = "openai",
    why: str = "concurrency",
    *,
    begun: bool = False,
) -> None:
    attempt = (node_id, item, drive.attempt(node_id, item), drive.run.epoch)
    drive.apply(NodeHeld(*attempt, kind, name, why, until, drive.pass_time(1), begun))


def begin(drive: Drive, node_id: str, item: int | None = None) -> None:
    drive.apply(NodeBegan(node_id, item, drive.attempt(node_id, item), drive.run.epoch, drive.pass_time(1)))


def withdraw(drive: Drive, node_id: str, item: int | None = None, *, begun: bool = False) -> None:
    error = NodeError("cancelled", "the attempt was cancelled")
    attempt = (node_id, item, drive.attempt(node_id, item), drive.run.epoch)
    drive.apply(NodeFailed(*attempt, error, drive.pass_time(1), begun=begun))


def shown(drive: Drive) -> JsonObject:
    return status_payload(drive.run, StatusContext())


def chapters() -> Drive:
    """Three items, all of them in flight."""
    config = {"count": 3, "concurrency": 3, "do": {"type": "text"}}
    drive = Drive(workflow({"id": "chapters", "type": "foreach", "config": config}))
    drive.apply(ItemsExpanded("chapters", 1, (0, 1, 2), drive.now))
    return drive


def test_execution_that_only_waits_for_a_provider_says_for_which_and_until_when() -> None:
    drive = Drive(workflow({"id": "a"}))
    before = drive.run.revision
    hold(drive, "a", until=1060.0)
    payload = shown(drive)
    assert payload["status"] == "waiting"
    assert payload["waiting"] == {
        "kind": "provider",
        "name": "openai",
        "until": "1970-01-01T00:17:40.000Z",
        "node_id": "a",
        "item": None,
        "limit": {"kind": "provider", "why": "concurrency"},
    }
    assert payload["node_results"]["a"]["status"] == "waiting"
    assert payload["progress"]["current"] == []
    assert payload["revision"] > before


def test_limit_of_a_user_is_shown_as_waiting_for_a_provider_too() -> None:
    drive = Drive(workflow({"id": "a"}))
    hold(drive, "a", kind="user", name="ada", why="per_minute")
    waiting = shown(drive)["waiting"]
    assert (waiting["kind"], waiting["name"], waiting["until"]) == ("provider", "ada", None)
    assert waiting["limit"] == {"kind": "user", "why": "per_minute"}


def test_execution_runs_again_once_the_attempt_begins() -> None:
    drive = Drive(workflow({"id": "a"}))
    hold(drive, "a")
    begin(drive, "a")
    payload = shown(drive)
    assert (payload["status"], payload["waiting"]) == ("running", None)
    assert payload["node_results"]["a"]["status"] == "running"
    drive.finish("a")
    assert drive.status() is ExecutionStatus.COMPLETED


def test_execution_runs_while_anything_of_it_does() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}))
    hold(drive, "a")
    payload = shown(drive)
    assert (payload["status"], payload["waiting"], payload["progress"]["current"]) == ("running", None, ["b"])
    assert payload["node_results"]["a"]["status"] == "waiting"
    drive.finish("b")
    assert shown(drive)["waiting"]["node_id"] == "a"


def test_foreach_waits_once_all_its_items_in_flight_do() -> None:
    drive = chapters()
    hold(drive, "chapters", 0)
    hold(drive, "chapters", 2)
    assert shown(drive)["node_results"]["chapters"]["status"] == "running"
    drive.finish("chapters", item=1)
    payload = shown(drive)
    assert payload["node_results"]["chapters"]["status"] == "waiting"
    assert (payload["waiting"]["node_id"], payload["waiting"]["item"]) == ("chapters", 0)


def test_attempt_that_ends_waits_no_more() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2}}))
    hold(drive, "a")
    drive.fail("a", retryable=True)
    assert drive.run.held == []
    assert shown(drive)["waiting"]["kind"] == "timer"


def test_retry_that_waits_as_the_provider_asked_waits_for_the_provider() -> None:
    drive = Drive(workflow({"id": "a", "retry": {"attempts": 2, "delay": 0}}))
    error = NodeError("rate_limit", "too many", retryable=True, retry_after=30.0, provider="openai")
    drive.apply(NodeFailed("a", None, 1, 1, error, drive.now))
    waiting = shown(drive)["waiting"]
    assert (waiting["kind"], waiting["name"], waiting["limit"]["why"]) == ("provider", "openai", "retry_after")
    assert waiting["until"] == "1970-01-01T00:17:10.000Z"


@pytest.mark.parametrize("command", ["pause", "drain", "failure"])
def test_what_only_waits_is_withdrawn_when_nothing_new_is_to_start(command: str) -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}))
    hold(drive, "a")
    if command == "pause":
        effects = drive.apply(PauseRequested(drive.now))
    elif command == "drain":
        effects = drive.apply(InterruptRequested(drive.now, abort=False))
    else:
        effects = drive.fail("b")
    assert effects == [WithdrawCalls()]
    assert shown(drive)["status"] == "running"
    withdraw(drive, "a")
    if command != "failure":
        drive.finish("b")
    assert drive.effects == [SaveCheckpoint()]
    assert drive.run.held == []


def test_withdrawn_attempt_keeps_its_number_and_is_no_repeat() -> None:
    drive = Drive(workflow({"id": "a"}))
    hold(drive, "a")
    drive.apply(PauseRequested(drive.now))
    withdraw(drive, "a")
    assert drive.status() is ExecutionStatus.PAUSED
    drive.apply(ResumeRequested(2, drive.now, "shorter"))
    drive.apply(Recovered(2, drive.now))
    assert drive.effects == [StartNode("a", None, 1)]
    assert drive.run.scope("a").guidance == "shorter"
    assert drive.run.receipt is not None
    assert drive.run.receipt.repeated_calls == 0
    assert drive.run.works[0].started_at == drive.now


def test_attempt_that_had_begun_is_a_repeat() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.apply(InterruptRequested(drive.now))
    withdraw(drive, "a", begun=True)
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.run.receipt is not None
    assert drive.run.receipt.repeated_calls == 1


def test_cancel_ends_what_waits() -> None:
    drive = Drive(workflow({"id": "a"}))
    hold(drive, "a")
    assert drive.apply(CancelRequested(drive.now)) == [AbortCalls()]
    withdraw(drive, "a")
    assert drive.status() is ExecutionStatus.CANCELLED
    assert drive.status_of("a") == "cancelled"


def test_next_incarnation_waits_for_nothing_and_stale_news_are_refused() -> None:
    drive = Drive(workflow({"id": "a"}))
    hold(drive, "a")
    drive.apply(Recovered(2, drive.now))
    assert drive.run.held == []
    assert shown(drive)["status"] == "running"
    with pytest.raises(StaleMessage):
        drive.apply(NodeHeld("a", None, 1, 1, "provider", "openai", "concurrency", None, drive.now))
    with pytest.raises(StaleMessage):
        drive.apply(NodeBegan("a", None, 1, 1, drive.now))


def test_checkpoint_knows_nothing_of_limits_but_whose_wait_it_is() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b", "retry": {"attempts": 2, "delay": 0}}))
    hold(drive, "a")
    error = NodeError("rate_limit", "too many", retryable=True, retry_after=30.0, provider="openai")
    drive.apply(NodeFailed("b", None, 1, 1, error, drive.now))
    assert "concurrency" not in str(save_of(drive.run).state)
    assert "openai" in str(save_of(drive.run).state)


def test_call_that_waited_for_a_limit_when_it_was_lost_was_never_made() -> None:
    drive = Drive(workflow({"id": "a"}, {"id": "b"}, {"id": "c"}))
    hold(drive, "a")
    hold(drive, "b")
    begin(drive, "b")
    # It has called somebody before, and waits to do so again.
    hold(drive, "c", begun=True)
    drive.apply(TakenUp(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    for node_id in "abc":
        drive.finish(node_id, "text", usage=Usage(3, 4))
    assert {(each.node_id, each.epoch) for each in drive.run.unsettled or ()} == {
        *(("a", 2), ("b", 2), ("c", 2)),
        *(("b", 1), ("c", 1)),
    }
    assert drive.run.receipt is not None
    assert drive.run.receipt.repeated_calls == 2


def test_in_sync_a_call_that_waited_counts_as_made() -> None:
    drive = Drive(workflow({"id": "a"}))
    drive.run.durability = "sync"
    hold(drive, "a")
    drive.apply(TakenUp(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    drive.finish("a", "text", usage=Usage(3, 4))
    assert {each.epoch for each in drive.run.unsettled or ()} == {1, 2}
