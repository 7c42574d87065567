"""What one execution has recorded, what waits for it, and what its status says of it; also after a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from offbook.actors.loop import LoopFuture
from offbook.actors.recorder import LAG_RECORDS, LAG_SECONDS, Recorder
from offbook.actors.storage_messages import AppendRecord, ForgetRecords, RecordConfirmed
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.effects import Effect, StartNode
from offbook.workflows.messages import CancelRequested, NodeBegan, NodeFinished, NodeHeld, Recovered, SignalReceived
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import NO_USAGE
from tests.workflows.driver import Drive, workflow

HAPPENED = NodeFinished("a", None, 1, 1, "text", NO_USAGE, 1000.0)
SIGNAL = SignalReceived("go", None, 1000.0)
CANCEL = CancelRequested(1000.0)


class Desk:
    """A recorder, the journal it tells, and the clock of both."""

    def __init__(self, durability: str = "async") -> None:
        self.now = 1000.0
        self.fault: str | None = None
        self.run = Drive(workflow({"id": "a"})).run
        self.run.durability = durability
        self.told: list[AppendRecord | ForgetRecords] = []
        nobody: Any = None
        self.around = Surroundings("w", nobody, lambda: self.now, nobody, nobody, journal=self)
        self.around.journal_fault = lambda: self.fault
        self.recorder = self.reopen(None)

    def tell(self, message: AppendRecord | ForgetRecords) -> None:
        self.told.append(message)

    def reopen(self, gauge: JournalGauge | None) -> Recorder:
        """Make the recorder of the actor that comes after a crash, or after a restart of the process."""
        nobody: Any = "an actor"
        self.recorder = Recorder(self.run, self.around, nobody, gauge)
        return self.recorder

    def on_disk(self, through: int) -> None:
        """Have the records up to here be on disk, without anybody hearing of it."""
        gauge = self.gauge
        gauge.bytes += 10 * (through - gauge.confirmed)
        gauge.confirmed, gauge.since = through, self.now

    @property
    def gauge(self) -> JournalGauge:
        assert self.recorder.gauge is not None
        return self.recorder.gauge

    def records(self) -> list[int]:
        return [message.seq for message in self.told if isinstance(message, AppendRecord)]

    def forgotten(self) -> list[int]:
        return [message.through for message in self.told if isinstance(message, ForgetRecords)]


def starts(name: str) -> Effect:
    return StartNode(name, None, 1)


# Bounds


def test_async_lets_so_many_records_be_behind_and_no_more() -> None:
    desk = Desk("async")
    waits = [desk.recorder.record(HAPPENED) for _ in range(LAG_RECORDS + 2)]
    assert LAG_RECORDS == 256
    assert waits == [0] * 256 + [257, 258]
    desk.on_disk(3)
    assert desk.recorder.record(HAPPENED) == 0


def test_async_lets_a_record_be_behind_so_long_and_no_longer() -> None:
    desk = Desk("async")
    assert LAG_SECONDS == 0.05
    assert desk.recorder.record(HAPPENED) == 0
    desk.now += 0.04
    assert desk.recorder.record(HAPPENED) == 0
    desk.now += 0.02
    assert desk.recorder.record(HAPPENED) == 3
    desk.on_disk(3)
    desk.now += 100.0
    assert desk.recorder.record(HAPPENED) == 0


def test_sync_waits_for_each_record_and_exit_records_commands_only() -> None:
    desk = Desk("sync")
    assert [desk.recorder.record(HAPPENED) for _ in range(3)] == [1, 2, 3]
    desk = Desk("exit")
    assert [desk.recorder.record(each) for each in (HAPPENED, SIGNAL, Recovered(1, 1000.0), CANCEL)] == [0] * 4
    assert desk.records() == [1, 2]


def test_what_starts_waits_for_its_own_record_in_order() -> None:
    desk = Desk("sync")
    first, second, third = starts("a"), starts("b"), starts("c")
    for seq, effect in ((1, first), (2, second), (3, third)):
        desk.recorder.hold(seq, effect)
    assert desk.recorder.confirm(RecordConfirmed(2, recorded=True)) == [first, second]
    assert desk.recorder.confirm(RecordConfirmed(2, recorded=True)) == []
    assert desk.recorder.take_held() == [third]
    assert desk.recorder.take_held() == []


def test_what_starts_goes_on_when_the_journal_cannot_be_written() -> None:
    desk = Desk("sync")
    desk.recorder.hold(desk.recorder.record(HAPPENED), starts("b"))
    assert desk.recorder.confirm(RecordConfirmed(1, recorded=False)) == [starts("b")]


# Who is answered when


async def test_command_is_answered_once_it_is_on_disk_and_not_when_it_is_delayed() -> None:
    desk = Desk("async")
    desk.recorder.record(CANCEL)
    answer = desk.recorder.when_recorded("yes")
    desk.recorder.confirm(RecordConfirmed(1, recorded=False))
    assert not answer.done()
    desk.recorder.confirm(RecordConfirmed(1, recorded=True))
    assert answer.get(timeout=0) == "yes"


async def test_command_is_answered_once_the_database_has_it() -> None:
    desk = Desk("async")
    desk.recorder.record(CANCEL)
    answer = desk.recorder.when_recorded("yes")
    desk.recorder.stored(1)
    assert answer.get(timeout=0) == "yes"
    assert desk.forgotten() == [1]


async def test_command_that_is_repeated_after_a_crash_is_not_answered_before_the_first_is_on_disk() -> None:
    desk = Desk("async")
    desk.recorder.record(CANCEL)
    recorder = desk.reopen(desk.gauge)
    answer = recorder.when_recorded("yes")
    assert not answer.done()
    recorder.record(Recovered(2, 1001.0))
    recorder.confirm(RecordConfirmed(2, recorded=True))
    assert answer.get(timeout=0) == "yes"


# Calls that wait for a limit


@pytest.mark.parametrize(("durability", "records"), [("async", [1, 2]), ("sync", []), ("exit", [])])
def test_call_that_waits_is_recorded_where_it_is_not_taken_for_made_in_any_case(
    durability: str, records: list[int]
) -> None:
    desk = Desk(durability)
    limit = ("a", None, 1, 1, "provider", "openai", "concurrency")
    assert desk.recorder.record(NodeHeld(*limit, None, 1000.0)) == 0
    assert desk.recorder.record(NodeHeld(*limit, 1009.0, 1001.0, again=True)) == 0
    assert desk.recorder.record(NodeBegan("a", None, 1, 1, 1002.0)) == 0
    assert desk.records() == records


# What a status says


def test_figures_count_from_the_last_save() -> None:
    desk = Desk("async")
    for _ in range(4):
        desk.recorder.record(HAPPENED)
    desk.on_disk(3)
    desk.now += 0.03
    assert desk.recorder.figures() == {"state": "ok", "records": 4, "bytes": 30, "lag_ms": 30.0}
    desk.recorder.stored(4)
    assert desk.recorder.figures() == {"state": "ok", "records": 0, "bytes": 0, "lag_ms": 0.0}
    desk.recorder.record(HAPPENED)
    assert desk.recorder.figures()["records"] == 1  # type: ignore[index]


def test_figures_are_the_same_after_a_crash() -> None:
    desk = Desk("async")
    for _ in range(4):
        desk.recorder.record(HAPPENED)
    desk.on_disk(3)
    desk.now += 0.03
    before = desk.recorder.figures()
    assert desk.reopen(desk.gauge).figures() == before


def test_figures_of_what_a_process_left_are_those_of_its_records() -> None:
    desk = Desk("async")
    desk.run.journal_seq = 9
    recorder = desk.reopen(JournalGauge(9, saved=4, size=500))
    assert recorder.figures() == {"state": "ok", "records": 5, "bytes": 500, "lag_ms": 0.0}


@pytest.mark.parametrize("gauge", ["of the actor before", "of the process before"])
def test_records_are_forgotten_though_nothing_was_added_after_a_crash(gauge: str) -> None:
    """At rest and not stored when it crashed: the save that follows is of the same records."""
    desk = Desk("async")
    desk.recorder.record(HAPPENED)
    desk.recorder.record(CANCEL)
    desk.run.status = ExecutionStatus.CANCELLED
    desk.on_disk(2)
    recorder = desk.reopen(desk.gauge if gauge == "of the actor before" else JournalGauge(2, saved=0, size=20))
    recorder.stored(2)
    assert desk.forgotten() == [2]


def test_degraded_is_said_while_records_are_lost_or_the_journal_is_away() -> None:
    desk = Desk("async")
    desk.fault = "the disk is full"
    assert desk.recorder.figures()["state"] == "degraded"  # type: ignore[index]
    desk.fault = None
    desk.recorder.record(HAPPENED)
    desk.gauge.lost = True
    assert desk.recorder.figures()["state"] == "degraded"  # type: ignore[index]
    desk.recorder.stored(1)
    assert desk.recorder.figures()["state"] == "ok"  # type: ignore[index]


def test_without_a_journal_nothing_is_recorded_and_nothing_waits() -> None:
    desk = Desk("exit")
    desk.around.journal = None
    recorder = desk.reopen(None)
    assert (recorder.record(CANCEL), recorder.figures(), recorder.gauge) == (0, None, None)
    answer = recorder.when_recorded("yes")
    assert isinstance(answer, LoopFuture)
    assert answer.get(timeout=0) == "yes"
    assert desk.told == []


# What is shown


def test_nothing_of_a_new_epoch_is_shown_before_its_record_is_on_disk() -> None:
    desk = Desk("async")
    desk.run.epoch = 2
    desk.recorder.record(Recovered(2, 1001.0))
    assert desk.recorder.is_veiled
    desk.on_disk(1)
    assert not desk.recorder.is_veiled


def test_veil_of_a_crashed_actor_is_that_of_the_next() -> None:
    desk = Desk("async")
    desk.run.epoch = 2
    desk.recorder.record(HAPPENED)
    recorder = desk.reopen(desk.gauge)
    assert recorder.is_veiled
    desk.fault = "the disk is full"
    assert not recorder.is_veiled


def test_what_rests_and_was_cancelled_is_veiled_after_a_crash_too() -> None:
    """It stays in its epoch, if it is the first one too: a kill would take the cancel back."""
    desk = Desk("async")
    desk.run.status = ExecutionStatus.CANCELLED
    desk.recorder.record(CANCEL)
    recorder = desk.reopen(desk.gauge)
    assert recorder.is_veiled
    desk.on_disk(1)
    assert not recorder.is_veiled


async def test_nobody_waits_for_an_actor_that_is_no_more() -> None:
    desk = Desk("async")
    desk.recorder.record(CANCEL)
    answer = desk.recorder.when_recorded()
    desk.recorder.abandon()
    with pytest.raises(Exception, match="not found"):
        await asyncio.wait_for(answer, 60)
