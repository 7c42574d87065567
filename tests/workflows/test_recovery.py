"""A run rebuilt from its row and its records, whatever has become of the records."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.checkpoint import save_of
from offbook.workflows.message_codec import encode
from offbook.workflows.messages import (
    CancelRequested,
    NodeFinished,
    NodeParked,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.records import JournalRecord, StoredExecution
from offbook.workflows.recovery import Folded, rebuild
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NO_USAGE, ExecutionUser
from tests.workflows.driver import Drive, workflow
from tests.workflows.test_checkpoint import stored

LINE = workflow({"id": "a"}, {"id": "b", "needs": ["a"]}, {"id": "c", "needs": ["b"]})


def finished(node_id: str, epoch: int = 1, attempt: int = 1) -> NodeFinished:
    return NodeFinished(node_id, None, attempt, epoch, f"output of {node_id}", NO_USAGE, 1001.0)


TOLD: tuple[RunMessage, ...] = (Recovered(1, 1000.0), finished("a"), finished("b"))


def records(*messages: RunMessage | bytes, first: int = 1) -> list[JournalRecord]:
    """Write messages as records, one after the other; bytes stand for themselves."""
    return [
        JournalRecord("e" * 32, seq, message if isinstance(message, bytes) else encode(message))
        for seq, message in enumerate(messages, start=first)
    ]


def rebuilt(told: list[JournalRecord], definition: Any = LINE) -> tuple[Run, Folded]:
    run = Drive(definition, begin=False).run
    row = StoredExecution(
        execution_id=run.execution_id,
        workflow_name="test",
        fingerprint=run.plan.fingerprint,
        document=run.plan.document,
        status="running",
        epoch=1,
        worker_id="w",
        user=ExecutionUser("ada"),
        labels={},
        inputs={},
        durability="async",
        created_at=1000.0,
        started_at=None,
        finished_at=None,
        state=None,
        outputs=(),
        checkpoint=None,
    )
    return rebuild(row, run.plan, told)


def test_run_is_what_its_records_say() -> None:
    run, folded = rebuilt(records(*TOLD))
    assert run.outputs == {"a": "output of a", "b": "output of b"}
    assert (run.status, run.journal_seq) == (ExecutionStatus.RECOVERING, 3)
    assert folded == Folded(3, 0, None)


def test_cancel_that_finds_nothing_in_flight_rests_in_the_epoch_that_was_shown() -> None:
    """In `exit` commands and epochs alone are recorded."""
    run, folded = rebuilt(records(CancelRequested(1001.0), Recovered(2, 1002.0)))
    assert (run.status, run.epoch, run.journal_seq) == (ExecutionStatus.CANCELLED, 2, 2)
    assert folded.refused == 1


def test_without_records_it_is_at_its_beginning() -> None:
    run, folded = rebuilt([])
    assert (run.outputs, run.journal_seq, folded.broken_at) == ({}, 0, None)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_missing_record_costs_it_and_those_after_it(gone: int) -> None:
    told = records(*TOLD, finished("c"))
    del told[gone - 1]
    run, folded = rebuilt(told)
    assert (run.journal_seq, folded.broken_at) == (gone - 1, gone)
    assert list(run.outputs) == ["a", "b"][: max(0, gone - 2)]


@pytest.mark.parametrize("torn", [b"", b'["NodeFin', b'["Invented",{}]', b'["Recovered",7]'])
def test_unreadable_record_costs_it_and_those_after_it(torn: bytes) -> None:
    run, folded = rebuilt(records(*TOLD[:2], torn, finished("c")))
    assert (run.outputs, folded.broken_at) == ({"a": "output of a"}, 3)


def test_record_that_means_nothing_to_its_run_costs_it_and_those_after_it() -> None:
    run, folded = rebuilt(records(*TOLD[:2], finished("nobody"), finished("b")))
    assert (run.outputs, run.journal_seq, folded.broken_at) == ({"a": "output of a"}, 2, 3)
    # It is fit to go on.
    run.apply(Recovered(2, 1002.0))
    assert run.works[1].in_flight


def test_what_the_run_refused_when_it_was_new_it_refuses_again() -> None:
    run, folded = rebuilt(records(*TOLD[:2], finished("a"), finished("b", epoch=7), TimerFired(7, 1001.0), TOLD[2]))
    assert run.outputs == {"a": "output of a", "b": "output of b"}
    assert (folded.applied, folded.refused, run.journal_seq) == (3, 3, 6)


def test_records_that_the_state_has_already_are_passed_over() -> None:
    drive = Drive(LINE)
    drive.finish("a")
    drive.apply(PauseRequested(1002.0))
    drive.run.journal_seq = 3
    drive.finish("b")
    drive.run.journal_seq = 4
    row = stored(drive.run, save_of(drive.run))
    told = records(*TOLD[:2], PauseRequested(1002.0), finished("b"), ResumeRequested(2, 1005.0))
    run, folded = rebuild(row, drive.run.plan, told)
    assert folded == Folded(1, 4, None)
    assert (run.epoch, run.journal_seq) == (2, 5)


def test_what_it_cost_the_database_since_it_was_saved_is_in_its_records() -> None:
    run, _ = rebuilt(records(*TOLD, TakenUp(2, 1002.0, reads=1, writes=1)))
    assert (run.db_reads, run.db_writes) == (1, 1)
    cancelled = (CancelRequested(1002.0), ResumeRequested(2, 1003.0, reads=2, writes=3))
    run, _ = rebuilt(records(*TOLD, *cancelled, TakenUp(3, 1004.0, reads=3, writes=3)))
    assert (run.db_reads, run.db_writes) == (3, 3)


def test_cancel_that_was_accepted_is_obeyed() -> None:
    run, _ = rebuilt(records(*TOLD[:2], CancelRequested(1002.0)))
    assert run.stopping is ExecutionStatus.CANCELLED
    run.apply(Recovered(2, 1003.0))
    assert run.status is ExecutionStatus.CANCELLED


def test_signal_whose_node_is_not_there_yet_waits_for_it() -> None:
    """In `exit` only what was accepted is recorded: the node comes to wait for it later."""
    definition = workflow({"id": "a"}, {"id": "gate", "type": "gate", "needs": ["a"]})
    run, folded = rebuilt(records(SignalReceived("yes", {"ok": True}, 1001.0)), definition)
    assert (run.signals, folded.refused) == ({"yes": {"ok": True}}, 1)
    run.apply(Recovered(2, 1002.0))
    run.apply(finished("a", epoch=2))
    run.apply(NodeParked("gate", None, 1, 2, "signal", "yes", None, None, None, False, 1003.0))
    assert (run.status, run.outputs["gate"]) == (ExecutionStatus.COMPLETED, {"ok": True})


def test_run_that_had_come_to_rest_stays_there() -> None:
    run, _ = rebuilt(records(*TOLD, finished("c")))
    assert run.status is ExecutionStatus.COMPLETED
