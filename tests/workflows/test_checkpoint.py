"""A run stored and loaded is the same run, at every point of its life."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from offbook.workflows.checkpoint import UnreadableState, base_run, save_of
from offbook.workflows.messages import CancelRequested, ItemsExpanded, NodeParked, PauseRequested
from offbook.workflows.records import SaveState, StoredExecution, StoredOutput
from offbook.workflows.run import Run
from offbook.workflows.status import StatusContext, status_payload
from tests.workflows.driver import Drive, workflow


def stored(run: Run, save: SaveState, outputs: tuple[StoredOutput, ...] = ()) -> StoredExecution:
    """What a store would give back, after everything went through JSON."""
    loads = orjson.loads
    kept = loads(orjson.dumps([[output.node_id, output.item, output.value] for output in (*outputs, *save.outputs)]))
    return StoredExecution(
        execution_id=run.execution_id,
        workflow_name="test",
        fingerprint=run.plan.fingerprint,
        document=run.plan.document,
        status=save.status,
        epoch=save.epoch,
        worker_id="w",
        user=run.user,
        labels=run.labels,
        inputs=run.inputs,
        durability=run.durability,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        state=loads(orjson.dumps(save.state)),
        outputs=tuple(StoredOutput(*output) for output in kept),
        checkpoint=save.checkpoint,
    )


def failed() -> Drive:
    drive = Drive(workflow({"id": "a"}, {"id": "b", "needs": ["a"]}))
    drive.finish("a", {"text": "über"})
    drive.fail("b", partial="half")
    return drive


def failed_in_chapters() -> Drive:
    drive = Drive(workflow({"id": "chapters", "type": "foreach", "config": {"count": 3, "do": {"type": "text"}}}))
    drive.apply(ItemsExpanded("chapters", 1, (0, 1, 2), drive.now))
    drive.finish("chapters", "one", item=0)
    drive.fail("chapters", item=1)
    return drive


def failed_its_checks() -> Drive:
    do = {"type": "text", "checks": ["empty"], "check_retry": {"attempts": 2}}
    drive = Drive(workflow({"id": "chapters", "type": "foreach", "config": {"count": 2, "do": do}}))
    drive.apply(ItemsExpanded("chapters", 1, (0, 1), drive.now))
    drive.finish("chapters", "one", item=0)
    drive.fail_check("chapters", "too short", item=1)
    drive.fail_check("chapters", "too short", "empty", item=1)
    return drive


def paused_while_waiting() -> Drive:
    drive = Drive(workflow({"id": "a"}))
    form = {"type": "object"}
    drive.apply(NodeParked("a", None, 1, 1, "signal", "ok", drive.now + 9, form, {"x": 1}, True, drive.now))
    drive.apply(PauseRequested(drive.now))
    return drive


def cancelled() -> Drive:
    drive = failed()
    drive = Drive(workflow({"id": "a"}, {"id": "b"}))
    drive.finish("a")
    drive.apply(CancelRequested(drive.now))
    drive.fail("b", "cancelled", partial="text so far")
    return drive


def completed() -> Drive:
    drive = Drive(workflow({"id": "a"}, {"id": "out", "type": "output", "needs": ["a"]}))
    drive.finish("a")
    drive.finish("out", ["the", "book"])
    return drive


@pytest.mark.parametrize(
    "story", [failed, failed_in_chapters, failed_its_checks, paused_while_waiting, cancelled, completed]
)
def test_status_from_a_stored_run_is_the_status_it_had(story: Callable[[], Drive]) -> None:
    run = story().run
    loaded = base_run(stored(run, save_of(run)), run.plan)
    run.revision += 1  # as its actor does once it is stored
    context = StatusContext(checkpoint_saved=True)
    assert status_payload(loaded, context) == status_payload(run, context)


def test_outputs_are_handed_over_once() -> None:
    drive = failed()
    assert [output.node_id for output in save_of(drive.run).outputs] == ["a"]
    assert save_of(drive.run).outputs == ()


def test_completed_run_needs_no_checkpoint_and_a_failed_one_says_where_it_failed() -> None:
    assert save_of(completed().run).checkpoint is None
    summary = save_of(failed().run).checkpoint
    assert summary is not None
    assert (summary.failed_node, summary.completed_nodes, summary.last_output_node) == ("b", ("a",), "a")
    assert summary.user is not None
    assert summary.user.id == "ada"


def test_state_of_a_newer_version_is_refused() -> None:
    run = failed().run
    save = save_of(run)
    save.state["schema"] = 99
    with pytest.raises(UnreadableState, match="schema 99"):
        base_run(stored(run, save), run.plan)
