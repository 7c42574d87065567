"""Records in groups: who is told what, what is kept while the journal cannot be written, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from offbook.persistence.group_journal import MAX_DELAY, GroupJournal, JournalGauge
from offbook.persistence.memory_journal import MemoryJournal
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.message_codec import decode
from offbook.workflows.messages import PauseRequested, SignalReceived
from offbook.workflows.records import JournalRecord


class Disk(MemoryJournal):
    """A journal whose disk is full on cue, or which breaks on cue."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.takes_no_records = False
        """Full, but for what makes room."""
        self.bytes = 0
        self.commits = 0

    def commit(self, records: Sequence[JournalRecord], forget: Mapping[str, int]) -> None:
        self.commits += 1
        if self.is_full or (self.takes_no_records and records):
            raise StorageUnavailable("the disk is full")
        super().commit(records, forget)

    def size(self) -> int:
        return self.bytes


class Desk:
    """A group over a disk, and what it told whom."""

    def __init__(self, *, budget: int = 1 << 30, max_kept_bytes: int = 1 << 30) -> None:
        self.now = 100.0
        self.disk = Disk()
        self.group = GroupJournal(self.disk, clock=lambda: self.now, budget=budget, max_kept_bytes=max_kept_bytes)
        self.gauges: dict[str, JournalGauge] = {}
        self.told: list[tuple[str, int, bool]] = []

    def append(self, execution_id: str, seq: int, *, notify: bool = True, payload: str = "") -> JournalGauge:
        gauge = self.gauges.setdefault(execution_id, JournalGauge())
        gauge.appended = seq
        message = SignalReceived("go", payload, float(seq))

        def tell(seq: int, recorded: bool) -> None:
            self.told.append((execution_id, seq, recorded))

        self.group.append(execution_id, seq, message, gauge, tell if notify else None)
        return gauge

    def recorded(self, execution_id: str) -> list[int]:
        return [record.seq for record in self.disk.read([execution_id]).get(execution_id, [])]

    def told_now(self) -> list[tuple[str, int, bool]]:
        told, self.told = self.told, []
        return told


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_all_that_waits_is_one_commit_and_whoever_asked_is_told(desk: Desk) -> None:
    first = desk.append("a", 1)
    desk.append("a", 2, notify=False)
    desk.append("b", 1)
    assert (first.confirmed, desk.group.pending) == (0, 3)
    assert desk.group.flush() is None
    assert desk.disk.commits == 1
    assert desk.told_now() == [("a", 1, True), ("b", 1, True)]
    assert (first.confirmed, desk.gauges["b"].confirmed) == (2, 1)
    assert (desk.recorded("a"), desk.recorded("b")) == ([1, 2], [1])
    assert desk.group.idle


def test_record_says_what_the_message_said(desk: Desk) -> None:
    desk.group.append("a", 1, PauseRequested(5.0), JournalGauge(), None)
    desk.group.flush()
    assert decode(desk.disk.read(["a"])["a"][0].data) == PauseRequested(5.0)


def test_flush_with_nothing_to_do_commits_nothing(desk: Desk) -> None:
    assert desk.group.flush() is None
    assert desk.disk.commits == 0


def test_gauge_counts_bytes_and_the_time_since_which_nothing_waits(desk: Desk) -> None:
    gauge = desk.append("a", 1, payload="x" * 100)
    desk.now = 107.0
    desk.group.flush()
    assert gauge.bytes > 100
    assert gauge.since == 107.0


def test_what_waits_while_the_disk_is_full_is_kept_and_told_once(desk: Desk) -> None:
    desk.disk.is_full = True
    gauge = desk.append("a", 1)
    assert desk.group.flush() is not None
    assert desk.told_now() == [("a", 1, False)]
    assert (desk.group.fault, gauge.confirmed, gauge.lost) == ("the disk is full", 0, False)
    desk.append("a", 2)
    desk.group.flush()
    assert desk.told_now() == [("a", 2, False)]
    desk.disk.is_full = False
    assert desk.group.flush() is None
    assert desk.told_now() == [("a", 1, True), ("a", 2, True)]
    assert (desk.group.fault, gauge.confirmed, desk.recorded("a")) == (None, 2, [1, 2])


def test_delay_grows_to_its_limit_and_begins_anew(desk: Desk) -> None:
    desk.disk.is_full = True
    desk.append("a", 1)
    delays = [desk.group.flush() for _ in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == MAX_DELAY
    desk.disk.is_full = False
    desk.group.flush()
    desk.disk.is_full = True
    desk.append("a", 2)
    assert desk.group.flush() == 0.1


def test_what_is_forgotten_needs_not_be_written(desk: Desk) -> None:
    desk.disk.is_full = True
    gauge = desk.append("a", 1)
    desk.append("a", 2)
    desk.append("b", 1)
    desk.group.flush()
    desk.told_now()
    desk.group.forget("a", 2)
    assert desk.told_now() == [("a", 1, True), ("a", 2, True)]
    assert (gauge.confirmed, desk.group.pending) == (2, 1)
    desk.disk.is_full = False
    desk.group.flush()
    assert (desk.recorded("a"), desk.recorded("b")) == ([], [1])


def test_forgetting_takes_the_latest_of_two_and_leaves_what_came_after(desk: Desk) -> None:
    for seq in range(1, 6):
        desk.append("a", seq, notify=False)
    desk.group.flush()
    desk.group.forget("a", 4)
    desk.group.forget("a", 2)
    desk.group.flush()
    assert desk.recorded("a") == [5]


def test_what_makes_room_does_not_wait_for_what_needs_it(desk: Desk) -> None:
    desk.append("a", 1, notify=False)
    desk.group.flush()
    desk.disk.takes_no_records = True
    desk.append("b", 1)
    desk.group.forget("a", 1)
    assert desk.group.flush() is not None
    assert desk.recorded("a") == []
    assert desk.group.pending == 1


def test_fault_ends_although_nothing_waits_any_more(desk: Desk) -> None:
    desk.disk.is_full = True
    desk.append("a", 1, notify=False)
    desk.group.flush()
    desk.group.forget("a", 1)
    desk.disk.is_full = False
    assert desk.group.flush() is None
    assert desk.group.fault is None


def test_past_what_memory_may_hold_the_records_of_an_execution_end() -> None:
    desk = Desk(max_kept_bytes=1000)
    desk.disk.is_full = True
    kept = desk.append("a", 1, payload="x" * 400)
    lost = desk.append("b", 1, payload="x" * 800)
    desk.append("a", 2, payload="y")
    desk.group.flush()
    assert (kept.lost, lost.lost) == (True, True)
    assert desk.group.pending == 1
    assert desk.group.given_up == 2
    assert sorted(desk.told_now()) == [("a", 1, False), ("a", 2, False), ("b", 1, False)]
    # A record without those before it would be of no use.
    desk.append("b", 2)
    assert (desk.group.pending, desk.told_now()) == (1, [("b", 2, False)])
    desk.disk.is_full = False
    desk.group.flush()
    assert (desk.recorded("a"), desk.recorded("b")) == ([1], [])


def test_memory_that_it_holds_is_bounded_however_long_the_disk_is_full() -> None:
    desk = Desk(max_kept_bytes=10_000)
    desk.disk.is_full = True
    for seq in range(1, 1000):
        desk.append(f"e{seq}", 1, payload="x" * 100)
        desk.group.flush()
    assert desk.group.pending < 100
    assert desk.group.given_up > 900


def test_budget_is_a_fault_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offbook.persistence.group_journal.SIZE_EVERY", 2)
    desk = Desk(budget=1000)
    desk.disk.bytes = 2000
    for seq in (1, 2):
        desk.append("a", seq)
        assert desk.group.flush() is None
    assert desk.group.fault == "it has more than 1000 bytes"
    # What is live is recorded all the same.
    assert desk.recorded("a") == [1, 2]
    desk.disk.bytes = 500
    desk.group.forget("a", 2)
    desk.group.flush()
    assert desk.group.fault is None


def test_crash_while_it_tells_leaves_the_others_to_be_told_after_a_restart(desk: Desk) -> None:
    def crash(seq: int, recorded: bool) -> None:
        raise RuntimeError("whoever is told breaks")

    desk.append("a", 1)
    desk.group.append("b", 1, PauseRequested(1.0), JournalGauge(), crash)
    desk.append("c", 1)
    with pytest.raises(RuntimeError):
        desk.group.flush()
    assert desk.told_now() == [("a", 1, True)]
    assert desk.group.flush() is None
    assert desk.told_now() == [("c", 1, True)]
    assert [desk.recorded(each) for each in "abc"] == [[1], [1], [1]]
