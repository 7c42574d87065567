"""A fork as a run: what it keeps takes part as any output, is stored once, and survives being stored and folded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offbook.workflows.checkpoint import base_run, save_of, to_state
from offbook.workflows.errors import StaleMessage
from offbook.workflows.forking import insert_of
from offbook.workflows.messages import NodeReused, Recovered, ResumeRequested
from offbook.workflows.receipt import Receipt
from offbook.workflows.records import StoredExecution, StoredOutput
from offbook.workflows.reuse import CHANGED, EDITED, Kept, Place, Reuse
from offbook.workflows.values import ExecutionUser, Usage
from tests.workflows.driver import Drive, workflow

TEN = Usage(6, 4, cost=7)
CHAIN = workflow(
    {"id": "a"},
    {"id": "b", "needs": ["a"]},
    {"id": "each", "type": "foreach", "needs": ["b"], "config": {"count": 2, "do": {"type": "text"}}},
)


def forked(places: dict[Place, Kept]) -> Drive:
    drive = Drive(CHAIN, begin=False)
    drive.run.reuse = Reuse("p" * 32, places)
    drive.run.receipt = Receipt()
    drive.apply(Recovered(1, drive.now))
    return drive


def reuse(drive: Drive, node_id: str, item: int | None = None) -> None:
    attempt = drive.attempt(node_id, item)
    drive.apply(NodeReused(node_id, item, attempt, drive.run.epoch, drive.pass_time(1)))


def stored(drive: Drive, outputs: tuple[StoredOutput, ...]) -> StoredExecution:
    run = drive.run
    return StoredExecution(
        execution_id=run.execution_id,
        workflow_name="test",
        fingerprint=run.plan.fingerprint,
        document=run.plan.document,
        status=run.status.value,
        epoch=run.epoch,
        worker_id="w",
        user=ExecutionUser("ada"),
        labels={},
        inputs={},
        durability="exit",
        created_at=1000.0,
        started_at=None,
        finished_at=None,
        state=to_state(run),
        outputs=outputs,
        checkpoint=None,
    )


def test_kept_output_is_the_nodes_and_no_attempt_was_made() -> None:
    drive = forked({("a", None): Kept("f", TEN, 5.0, "kept"), ("b", None): Kept(CHANGED, TEN)})
    assert drive.started() == [("a", None, 1)]
    reuse(drive, "a")
    assert (drive.run.outputs["a"], drive.attempt("a"), drive.status_of("a")) == ("kept", 0, "completed")
    assert drive.started() == [("b", None, 1)]
    drive.finish("b", usage=TEN)
    receipt = drive.run.receipt
    assert receipt is not None
    assert (receipt.kept_nodes, receipt.saved_calls, receipt.saved_tokens, receipt.saved_cost) == (1, 1, 10, 7)
    assert (receipt.saved_seconds, receipt.repeated_calls) == (5.0, 1)
    # It was charged to the parent.
    assert drive.run.usage.tokens == 10


def test_kept_output_is_not_stored_again() -> None:
    drive = forked({("a", None): Kept("f", TEN, 5.0, "kept")})
    reuse(drive, "a")
    drive.finish("b")
    assert [output.node_id for output in save_of(drive.run).outputs] == ["b"]


def test_fork_comes_back_as_it_was_stored() -> None:
    places: dict[Place, Kept] = {
        ("a", None): Kept("f", TEN, 5.0, "kept"),
        ("b", None): Kept("g", TEN, 2.0, "not taken"),
        ("each", 1): Kept(EDITED, output="by hand"),
    }
    drive = forked(places)
    reuse(drive, "a")
    drive.finish("b", "its own")
    seed = tuple(StoredOutput(*place, kept.output, kept=True) for place, kept in places.items())
    own = tuple(save_of(drive.run).outputs)
    again = base_run(stored(drive, (*seed, *own)), drive.run.plan)
    assert again.outputs == {"a": "kept", "b": "its own"}
    assert again.reuse == drive.run.reuse
    assert again.receipt == drive.run.receipt
    assert to_state(again)["nodes"] == to_state(drive.run)["nodes"]
    # One that has only its seed has nothing done yet.
    fresh = forked(places)
    assert base_run(stored(fresh, seed), drive.run.plan).outputs == {}


def test_insert_of_a_fork_is_its_first_write_and_has_all_that_it_may_keep() -> None:
    places: dict[Place, Kept] = {("a", None): Kept("f", TEN, 5.0, "kept"), ("b", None): Kept(CHANGED, TEN)}
    drive = Drive(CHAIN, begin=False)
    drive.run.reuse = Reuse("p" * 32, places)
    insert = insert_of(drive.run, "w")
    assert (insert.parent_id, insert.outputs) == ("p" * 32, (StoredOutput("a", None, "kept", kept=True),))
    again = base_run(replace(stored(drive, insert.outputs), state=insert.state), drive.run.plan)
    assert (again.db_reads, again.db_writes, again.epoch, again.reuse) == (0, 1, 1, drive.run.reuse)
    # Loaded before it has begun, it begins.
    drive.run = again
    drive.apply(Recovered(1, drive.now))
    assert drive.started() == [("a", None, 1)]


def test_nothing_is_reused_where_nothing_is_kept() -> None:
    drive = forked({("a", None): Kept(CHANGED, TEN)})
    with pytest.raises(StaleMessage):
        reuse(drive, "a")
    assert drive.status_of("a") == "running"
    plain = Drive(CHAIN)
    with pytest.raises(StaleMessage):
        reuse(plain, "a")


def test_receipt_of_a_resumed_fork_counts_what_it_had_kept() -> None:
    drive = forked({("a", None): Kept("f", TEN, 5.0, "kept")})
    reuse(drive, "a")
    drive.fail("b")
    drive.apply(ResumeRequested(2, drive.pass_time(1)))
    receipt = drive.run.receipt
    assert receipt is not None
    assert (receipt.kept_nodes, receipt.saved_tokens, receipt.saved_seconds) == (1, 10, 5.0)


def test_guidance_of_a_fork_stays_until_somebody_says_something_else() -> None:
    drive = forked({})
    drive.run.guidance = "be brief"
    drive.run.works[1].guided = True
    drive.fail("a")
    drive.apply(ResumeRequested(2, drive.pass_time(1)))
    assert drive.run.scope("b").guidance == "be brief"
    assert drive.run.scope("a").guidance == ""
    drive.apply(Recovered(2, drive.pass_time(1)))
    drive.fail("a")
    drive.apply(ResumeRequested(3, drive.pass_time(1), guidance="longer"))
    assert (drive.run.scope("a").guidance, drive.run.scope("b").guidance) == ("longer", "")
