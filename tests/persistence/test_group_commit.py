"""Group commit: what waits goes in order and together, is kept or given up while the database is away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from offbook.persistence.group_commit import FIRST_DELAY, MAX_DELAY, GroupCommit
from offbook.persistence.memory_store import MemoryStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import (
    ClaimExecution,
    DeleteExecution,
    ExecutionWriter,
    InsertExecution,
    SaveState,
    Write,
    WriteResult,
)
from tests.persistence.writes import claim, completed, failed, id_of, insert

POISON = "what cannot be stored"


class MoodyWriter:
    """A store in memory that is away when it is told to be, and refuses batches with poison in them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.away: str | None = None
        self.batches: list[list[Write]] = []

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.batches.append(list(writes))
        if self.away is not None:
            raise StorageUnavailable(self.away)
        if any(is_poison(write) for write in writes):
            raise TypeError(POISON)
        return self.store.commit(writes)


class Senders:
    """Whoever waits for writes, and what they heard, in the order in which they heard it."""

    def __init__(self, group: GroupCommit) -> None:
        self._group = group
        self.heard: list[tuple[int, object]] = []

    def add(self, *writes: Write, keep: bool = True) -> None:
        for write in writes:
            name = number_of(write)
            self._group.add(
                write,
                on_done=lambda result, name=name: self.heard.append((name, result.applied)),  # type: ignore[misc]
                on_refused=None if keep else lambda error, name=name: self.heard.append((name, error)),  # type: ignore[misc]
                on_error=lambda error, name=name: self.heard.append((name, f"error: {error}")),  # type: ignore[misc]
            )


def is_poison(write: Write) -> bool:
    return getattr(write, "worker_id", "") == "poison"


def number_of(write: Write) -> int:
    return int(write.execution_id, 16)  # type: ignore[union-attr]


def poison(number: int) -> Write:
    return insert(number, worker_id="poison")


@pytest.fixture
def writer() -> MoodyWriter:
    return MoodyWriter()


@pytest.fixture
def group(writer: MoodyWriter) -> GroupCommit:
    return GroupCommit(writer, max_batch=10)


@pytest.fixture
def senders(group: GroupCommit) -> Senders:
    return Senders(group)


def test_all_that_waits_is_one_transaction(group: GroupCommit, writer: MoodyWriter, senders: Senders) -> None:
    senders.add(insert(1), insert(2), completed(1))
    assert group.pending == 3
    assert group.flush() is None
    assert len(writer.batches) == 1
    assert senders.heard == [(1, True), (2, True), (1, True)]
    assert group.pending == 0


def test_nothing_to_do_costs_no_transaction(group: GroupCommit, writer: MoodyWriter) -> None:
    assert group.flush() is None
    assert writer.batches == []


def test_more_than_a_batch_goes_in_order_in_several(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    senders.add(*(insert(number) for number in range(1, 26)))
    assert group.flush() is None
    assert [len(batch) for batch in writer.batches] == [10, 10, 5]
    assert senders.heard == [(number, True) for number in range(1, 26)]


def test_sender_hears_that_its_write_was_refused_as_stale(group: GroupCommit, senders: Senders) -> None:
    senders.add(insert(1), claim(1, 3), failed(1), DeleteExecution(id_of(9)))
    group.flush()
    assert [applied for _, applied in senders.heard] == [True, True, False, False]


def test_while_it_is_away_writes_are_kept_or_given_up_as_their_senders_want(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    writer.away = "unplugged"
    senders.add(insert(1), failed(1))
    senders.add(insert(2), keep=False)
    senders.add(insert(3))
    assert group.flush() is not None
    assert [name for name, _ in senders.heard] == [2]
    assert isinstance(senders.heard[0][1], StorageUnavailable)
    assert group.pending == 3
    writer.away = None
    assert group.flush() is None
    assert senders.heard[1:] == [(1, True), (1, True), (3, True)]
    assert [number_of(write) for write in writer.batches[-1]] == [1, 1, 3]
    assert writer.store.load(id_of(2)) is None


def test_what_is_given_up_includes_what_waits_behind_the_batch(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    writer.away = "unplugged"
    senders.add(*(insert(number) for number in range(1, 16)))
    senders.add(insert(16), keep=False)
    group.flush()
    assert [name for name, _ in senders.heard] == [16]
    assert group.pending == 15


def test_what_comes_while_others_are_kept_goes_behind_them(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    writer.away = "unplugged"
    senders.add(insert(1))
    group.flush()
    senders.add(failed(1))
    writer.away = None
    senders.add(claim(1, 2))
    group.flush()
    assert [type(write) for write in writer.batches[-1]] == [InsertExecution, SaveState, ClaimExecution]


def test_delays_double_up_to_a_limit_and_begin_anew_once_it_was_back(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    writer.away = "unplugged"
    senders.add(insert(1))
    delays = [group.flush() for _ in range(2000)]
    assert delays[:6] == [FIRST_DELAY * 2**each for each in range(6)]
    assert delays[6:] == [MAX_DELAY] * 1994
    writer.away = None
    assert group.flush() is None
    writer.away = "unplugged again"
    senders.add(insert(2))
    assert group.flush() == FIRST_DELAY


def test_last_error_says_why_it_is_away_and_nothing_once_it_is_back(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    assert group.last_error is None
    senders.add(insert(1))
    for reason in ("unplugged", "on fire"):
        writer.away = reason
        group.flush()
        assert reason in str(group.last_error)
    writer.away = None
    group.flush()
    assert group.last_error is None


@pytest.mark.parametrize("place", [1, 2, 5, 9, 10, 11, 25])
def test_write_that_cannot_be_stored_harms_no_other(
    group: GroupCommit, writer: MoodyWriter, senders: Senders, place: int
) -> None:
    writes = [poison(number) if number == place else insert(number) for number in range(1, 26)]
    senders.add(*writes)
    assert group.flush() is None
    expected = [(number, f"error: {POISON}" if number == place else True) for number in range(1, 26)]
    assert senders.heard == expected
    assert group.pending == 0
    stored = [bool(writer.store.load(id_of(number))) for number in range(1, 26)]
    assert stored == [number != place for number in range(1, 26)]


def test_bad_write_among_a_thousand_is_found_in_few_transactions(writer: MoodyWriter) -> None:
    group = GroupCommit(writer)
    senders = Senders(group)
    senders.add(*(poison(number) if number == 618 else insert(number) for number in range(1, 1001)))
    assert group.flush() is None
    assert len(writer.batches) < 35
    assert [name for name, heard in senders.heard if heard is not True] == [618]


def test_poison_everywhere_is_given_back_to_each_sender(group: GroupCommit, senders: Senders) -> None:
    senders.add(poison(1), poison(2), insert(3), poison(4))
    assert group.flush() is None
    assert [heard for _, heard in senders.heard] == [f"error: {POISON}"] * 2 + [True, f"error: {POISON}"]


def test_database_that_goes_away_while_poison_is_looked_for_loses_nothing(
    senders: Senders, group: GroupCommit, writer: MoodyWriter
) -> None:
    class GoesAway:
        """Is away from its third transaction on."""

        def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
            if len(writer.batches) == 2:
                writer.away = "unplugged"
            return writer.commit(writes)

    group._writer = GoesAway()
    senders.add(insert(1), insert(2), insert(3), poison(4))
    assert group.flush() == FIRST_DELAY
    # The first two are stored, the others wait.
    assert senders.heard == [(1, True), (2, True)]
    assert group.pending == 2
    group._writer = writer
    writer.away = None
    assert group.flush() is None
    assert senders.heard[2:] == [(3, True), (4, f"error: {POISON}")]
    assert group.last_error is None


def test_commit_whose_end_was_not_heard_of_is_repeated_without_harm(
    group: GroupCommit, writer: MoodyWriter, senders: Senders
) -> None:
    class Uncertain:
        """Commits, and loses the connection before it can say so."""

        def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
            writer.commit(writes)
            raise StorageUnavailable("the connection was lost")

    uncertain: ExecutionWriter = Uncertain()
    group._writer = uncertain
    senders.add(insert(1, idempotency_key="k"), failed(1), claim(1, 2), completed(1, epoch=2, save=4))
    group.flush()
    stored = writer.store.load(id_of(1))
    group._writer = writer
    group.flush()
    # The save of an epoch that is over by now is the one that is refused, and its state is not needed any more.
    assert senders.heard == [(1, True), (1, False), (1, True), (1, True)]
    assert writer.store.load(id_of(1)) == stored
