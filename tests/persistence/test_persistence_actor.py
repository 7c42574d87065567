"""The actor that writes, on its real thread: gathers what waits, keeps it while the database is away, ends it all."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRef, ThreadingActor

from offbook.actors.persistence import PersistenceActor
from offbook.actors.relay import Relay
from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.persistence.group_commit import FIRST_DELAY, GroupCommit
from offbook.persistence.memory_store import MemoryStore
from offbook.persistence.sql_store import SqlStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionWriter, Write, WriteResult
from tests.persistence.stores import sqlite_store
from tests.persistence.writes import completed, id_of, insert, loaded

PATIENCE = 60.0
"""Seconds that a test may wait for what is to happen."""


class Listener(ThreadingActor):
    """Whoever asked for writes; what comes back can be waited for."""

    def __init__(self, heard: queue.Queue[Any]) -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: object) -> None:
        self._heard.put(message)


class Unheard:
    """A message that is no write: the actor crashes."""

    reply_to = None


class Gate:
    """A writer before another: holds its first transaction back, is away when it is told to be."""

    def __init__(self, behind: ExecutionWriter) -> None:
        self._behind = behind
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.away = False
        self.sizes: list[int] = []

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        self.began.set()
        assert self.go_on.wait(PATIENCE)
        self.sizes.append(len(writes))
        if self.away:
            raise StorageUnavailable("unplugged")
        return self._behind.commit(writes)


class Worker:
    """The persistence of a worker: relay, actor, group; what is to happen later happens when the test says so."""

    def __init__(self, writer: ExecutionWriter) -> None:
        self.group = GroupCommit(writer)
        self.later: queue.Queue[tuple[float, Callable[[], None]]] = queue.Queue()
        self.crashes: queue.Queue[tuple[str, str]] = queue.Queue()
        self.relay = Relay(
            "persistence",
            lambda relay: PersistenceActor.start(relay, self.group),
            later=lambda seconds, function: self.later.put((seconds, function)),
            on_crash=lambda name, reason: self.crashes.put((name, reason)),
        )
        self.heard: queue.Queue[Any] = queue.Queue()
        self.listener: ActorRef[Any] = Listener.start(self.heard)
        self.relay.start()

    def tell(self, *writes: Write, keep: bool = False) -> None:
        for write in writes:
            self.relay.tell(StoreWrite(write, self.listener, keep_trying=keep))

    def hear(self) -> WriteDone | WriteFailed:
        answer: WriteDone | WriteFailed = self.heard.get(timeout=PATIENCE)
        return answer

    def pass_time(self) -> None:
        """Let the time pass that it wants to wait."""
        _, function = self.later.get(timeout=PATIENCE)
        function()

    def close(self) -> None:
        self.relay.stop(PATIENCE)
        self.listener.stop(timeout=PATIENCE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(sqlite_store(tmp_path)) as opened:
        yield opened


@pytest.fixture
def gate(store: SqlStore) -> Gate:
    return Gate(store.writer)


@pytest.fixture
def worker(gate: Gate) -> Iterator[Worker]:
    opened = Worker(gate)
    yield opened
    gate.away = False
    gate.go_on.set()
    opened.close()


def test_what_comes_during_a_transaction_is_the_next_one(worker: Worker, gate: Gate, store: SqlStore) -> None:
    gate.go_on.clear()
    worker.tell(insert(0))
    assert gate.began.wait(PATIENCE)
    worker.tell(*(insert(number) for number in range(1, 300)), *(completed(number) for number in range(300)))
    gate.go_on.set()
    answers = [worker.hear() for _ in range(600)]
    assert [answer.write.execution_id for answer in answers] == [  # type: ignore[union-attr]
        id_of(number) for number in [*range(300), *range(300)]
    ]
    assert all(isinstance(answer, WriteDone) and answer.result.applied for answer in answers)
    assert gate.sizes == [1, 599]
    assert store.transactions() == (0, 2)


def test_while_it_is_away_some_are_told_and_others_kept(worker: Worker, gate: Gate, store: SqlStore) -> None:
    worker.tell(insert(1))
    worker.hear()
    gate.away = True
    worker.tell(completed(1), keep=True)
    assert worker.later.get(timeout=PATIENCE)[0] == FIRST_DELAY
    worker.tell(insert(2))
    worker.pass_time()
    refused = worker.hear()
    assert isinstance(refused, WriteFailed)
    assert isinstance(refused.error, StorageUnavailable)
    assert worker.heard.empty()
    assert "unplugged" in str(worker.group.last_error)
    gate.away = False
    worker.relay.wake()
    done = worker.hear()
    assert isinstance(done, WriteDone)
    assert done.write == completed(1)
    assert loaded(store.reader, 1).status == "completed"
    assert store.reader.load(id_of(2)) is None


def test_it_tries_again_by_itself_and_waits_longer_each_time(worker: Worker, gate: Gate) -> None:
    gate.away = True
    worker.tell(insert(1), keep=True)
    delays = []
    for still_away in (True, True, True, False):
        delay, retry = worker.later.get(timeout=PATIENCE)
        gate.away = still_away
        delays.append(delay)
        retry()
    assert isinstance(worker.hear(), WriteDone)
    assert delays == [FIRST_DELAY * 2**each for each in range(4)]


def test_stop_stores_what_still_waits(gate: Gate, store: SqlStore) -> None:
    worker = Worker(gate)
    gate.go_on.clear()
    worker.tell(insert(1))
    assert gate.began.wait(PATIENCE)
    worker.tell(completed(1), insert(2))
    stopping = threading.Thread(target=worker.relay.stop, args=(PATIENCE,))
    stopping.start()
    gate.go_on.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert worker.relay.ref is not None
    assert not worker.relay.ref.is_alive()
    assert [loaded(store.reader, number).status for number in (1, 2)] == ["completed", "running"]
    assert [type(worker.hear()) for _ in range(3)] == [WriteDone] * 3
    worker.listener.stop(timeout=PATIENCE)


def test_write_that_cannot_be_stored_is_told_to_its_sender_and_harms_no_other(
    worker: Worker, store: SqlStore
) -> None:
    worker.tell(insert(1), insert(2, inputs={"premise": "\ud800"}), insert(3), keep=True)
    answers = {answer.write.execution_id: answer for answer in (worker.hear() for _ in range(3))}  # type: ignore[union-attr]
    assert [type(answers[id_of(number)]) for number in (1, 2, 3)] == [WriteDone, WriteFailed, WriteDone]
    assert len(store.reader.load_many([id_of(number) for number in (1, 2, 3)])) == 2
    assert worker.crashes.empty()


def test_nobody_has_to_wait_for_the_answer(worker: Worker, store: SqlStore) -> None:
    gone = Listener.start(queue.Queue())
    gone.stop()
    worker.relay.tell(StoreWrite(insert(1), gone))
    worker.relay.tell(StoreWrite(insert(2), None))
    worker.tell(insert(3))
    worker.hear()
    assert len(store.reader.load_many([id_of(number) for number in (1, 2, 3)])) == 3
    assert worker.crashes.empty()


def test_actor_that_is_started_again_has_what_the_one_before_it_had() -> None:
    store = MemoryStore()
    gate = Gate(store)
    worker = Worker(gate)
    gate.away = True
    worker.tell(insert(1), keep=True)
    worker.later.get(timeout=PATIENCE)
    worker.relay.tell(Unheard())
    worker.relay.wake()
    name, reason = worker.crashes.get(timeout=PATIENCE)
    assert (name, "AttributeError" in reason) == ("persistence", True)
    gate.away = False
    worker.relay.restart()
    # The message that it died of kills it once more, and is dropped then.
    worker.crashes.get(timeout=PATIENCE)
    worker.relay.restart()
    assert isinstance(worker.hear(), WriteDone)
    assert store.load(id_of(1)) is not None
    worker.close()
