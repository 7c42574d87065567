"""What stops calls stops those that were submitted before it, and none that came after: however late the loop is."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from offbook.nodes.context import NodeContext
from tests.actors.stage import AN_EXECUTION, ANOTHER, LIMIT_SECONDS, Hold, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:

        @stage.functions.node
        async def quick(ctx: NodeContext) -> int:
            return ctx.attempt

        yield stage


@pytest.mark.parametrize("silently", [True, False])
def test_abort_does_not_reach_what_is_submitted_after_it(stage: Stage, silently: bool) -> None:
    """An actor that crashed, or a run that was cancelled, and its next epoch, which is there before the loop is."""
    with Hold(stage):
        # The loop is told of this one, and takes whatever has come by then.
        stage.play("quick", execution_id=ANOTHER)
        before = stage.play("quick")
        stage.runner.abort(AN_EXECUTION, silently=silently)
        after = stage.play("quick", epoch=2)
    assert after.output() == 1
    stage.settle()
    assert [end.epoch for end in after.ends] == [2]
    assert len(before.ends) == (0 if silently else 1)
    if not silently:
        assert before.error().type == "cancelled"


def test_withdrawal_does_not_reach_what_is_submitted_after_it() -> None:
    go_on = threading.Event()
    with Stage(max_calls=1) as stage:

        @stage.functions.node
        def slow(ctx: NodeContext) -> int:
            go_on.wait(LIMIT_SECONDS)
            return ctx.attempt

        with Hold(stage):
            other = stage.play("slow", execution_id=ANOTHER)
            before = stage.play("slow")
            stage.runner.withdraw(AN_EXECUTION)
            after = stage.play("slow", epoch=2)
        assert before.error().type == "cancelled"
        go_on.set()
        assert (other.output(), after.output()) == (1, 1)


def test_abort_reaches_what_was_submitted_before_it(stage: Stage) -> None:
    with Hold(stage):
        before = [stage.play("quick", number=number) for number in (1, 2)]
        stage.runner.abort(AN_EXECUTION)
    assert [each.error().type for each in before] == ["cancelled", "cancelled"]
