"""Stories of fan-outs: each item has its own state, attempts, output and place in the checkpoint."""

from __future__ import annotations

from offbook.workflows.effects import ExpandItems, SaveCheckpoint, SaveOutcome
from offbook.workflows.messages import CancelRequested, ItemsExpanded, PauseRequested, Recovered, ResumeRequested
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NodeError
from tests.workflows.driver import Drive, workflow


def chapters(count: int, *, concurrency: int = 1, continue_on_error: bool = False) -> Drive:
    drive = Drive(
        workflow(
            {
                "id": "chapters",
                "type": "foreach",
                "config": {"count": count, "concurrency": concurrency, "do": {"type": "text"}},
                "continue_on_error": continue_on_error,
            },
            {"id": "book", "needs": ["chapters"]},
        )
    )
    assert drive.effects == [ExpandItems("chapters")]
    drive.apply(ItemsExpanded("chapters", 1, tuple(range(count)), drive.now))
    return drive


def test_items_run_in_order_and_their_outputs_are_the_list() -> None:
    drive = chapters(3)
    for item in range(3):
        assert drive.started() == [("chapters", item, 1)]
        drive.finish("chapters", f"chapter {item}", item=item)
    assert drive.run.outputs["chapters"] == ["chapter 0", "chapter 1", "chapter 2"]
    assert drive.run.scope("book").last_output == "chapter 0\n\nchapter 1\n\nchapter 2"


def test_at_most_as_many_items_as_allowed_run_at_once() -> None:
    drive = chapters(5, concurrency=2)
    assert [item for _, item, _ in drive.started()] == [0, 1]
    drive.finish("chapters", item=1)
    assert [item for _, item, _ in drive.started()] == [2]


def test_items_so_far_are_seen_only_when_items_run_one_by_one() -> None:
    drive = chapters(2)
    drive.finish("chapters", "one", item=0)
    assert drive.run.scope("chapters", 1).items_so_far == ("one",)
    assert chapters(2, concurrency=2).run.scope("chapters", 1).items_so_far is None


def test_foreach_over_nothing_completes_with_an_empty_list() -> None:
    drive = chapters(0)
    assert drive.run.outputs["chapters"] == []
    assert drive.started() == [("book", None, 1)]


def test_pain_07_failed_item_keeps_the_items_before_it() -> None:
    drive = chapters(12)
    for item in range(6):
        drive.finish("chapters", f"chapter {item}", item=item)
    assert drive.fail("chapters", "rate_limit", item=6) == [SaveCheckpoint()]
    assert drive.status_of("chapters") == "failed"
    assert drive.run.failure is not None
    assert (drive.run.failure.node_id, drive.run.failure.item) == ("chapters", 6)
    drive.apply(ResumeRequested(2, drive.now, "calmer"))
    assert drive.run.receipt is not None
    assert drive.run.receipt.kept_items == 6
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("chapters", 6, 2)]
    assert drive.run.scope("chapters", 6).guidance == "calmer"
    assert drive.run.scope("chapters", 7).guidance == ""
    for item in range(6, 12):
        drive.finish("chapters", f"chapter {item}", item=item)
    drive.finish("book")
    assert drive.run.outputs["chapters"] == [f"chapter {item}" for item in range(12)]


def test_failed_item_lets_items_in_flight_finish_and_starts_no_more() -> None:
    drive = chapters(4, concurrency=2)
    drive.fail("chapters", item=0)
    assert drive.started() == []
    drive.finish("chapters", item=1)
    assert drive.run.status is ExecutionStatus.FAILED
    assert [drive.status_of("chapters", item) for item in range(4)] == ["failed", "completed", "pending", "pending"]


def test_last_item_failing_does_not_let_the_next_node_run() -> None:
    drive = chapters(2, concurrency=2)
    drive.fail("chapters", item=0)
    drive.finish("chapters", item=1)
    assert drive.status_of("book") == "pending"
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("chapters", 0, 2)]
    drive.finish("chapters", "late one", item=0)
    assert drive.run.outputs["chapters"] == ["late one", "output of chapters"]
    assert drive.started() == [("book", None, 1)]


def test_items_may_fail_where_the_node_continues_on_error() -> None:
    drive = chapters(2, continue_on_error=True)
    drive.fail("chapters", item=0)
    drive.finish("chapters", "two", item=1)
    assert drive.status_of("chapters") == "failed"
    assert drive.run.outputs["chapters"] == [None, "two"]
    assert drive.started() == [("book", None, 1)]
    assert drive.finish("book") == [SaveOutcome()]


def test_paused_foreach_goes_on_with_the_next_item() -> None:
    drive = chapters(3)
    drive.apply(PauseRequested(drive.now))
    drive.finish("chapters", item=0)
    assert drive.run.status is ExecutionStatus.PAUSED
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("chapters", 1, 1)]


def test_cancelled_foreach_keeps_its_items_and_the_partial_text() -> None:
    drive = chapters(3)
    drive.finish("chapters", "one", item=0)
    drive.apply(CancelRequested(drive.now))
    drive.fail("chapters", "cancelled", item=1, partial="half")
    assert drive.run.status is ExecutionStatus.CANCELLED
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    assert drive.started() == [("chapters", 1, 2)]
    drive.finish("chapters", "two", item=1)
    drive.finish("chapters", "three", item=2)
    assert drive.run.outputs["chapters"] == ["one", "two", "three"]


def test_items_that_cannot_be_evaluated_fail_the_node_and_are_expanded_again_on_resume() -> None:
    drive = Drive(workflow({"id": "x", "type": "foreach", "config": {"items": "inputs.y", "do": {"type": "text"}}}))
    drive.apply(ItemsExpanded("x", 1, (), drive.now, NodeError("validation", "no list")))
    assert drive.run.status is ExecutionStatus.FAILED
    drive.apply(ResumeRequested(2, drive.now))
    assert drive.apply(Recovered(2, drive.now)) == [ExpandItems("x")]


def test_progress_counts_items_as_fractions_of_their_node() -> None:
    drive = chapters(4)
    drive.finish("chapters", item=0)
    assert drive.run.percent() == 12.5
