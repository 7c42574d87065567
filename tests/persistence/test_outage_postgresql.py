"""PostgreSQL stops and starts while writes are under way: nothing is lost, nothing doubled, no error masked."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorRef, ThreadingActor

from offbook.actors.persistence import PersistenceActor
from offbook.actors.relay import Relay
from offbook.actors.storage_messages import StoreWrite, WriteDone
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.group_commit import FIRST_DELAY, GroupCommit
from offbook.persistence.sql_store import SqlStore
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionFilter, StoredOutput, Write
from tests.persistence.writes import claim, completed, failed, id_of, insert, loaded
from tests.postgres import Postgres
from tests.scenarios.worker import open_worker

PATIENCE = 60.0
OUTPUTS = (StoredOutput("outline", None, "paid for"),)


@pytest.fixture
def server(own_postgres: Postgres) -> Iterator[Postgres]:
    """A server of one's own, which runs again when the test ends."""
    yield own_postgres
    own_postgres.start()


@pytest.fixture
def store(server: Postgres) -> Iterator[SqlStore]:
    with closing(SqlStore.open(server.database())) as opened:
        yield opened


class Group:
    """A group commit and what its senders heard."""

    def __init__(self, store: SqlStore) -> None:
        self.commit = GroupCommit(store.writer)
        self.heard: list[object] = []

    def add(self, *writes: Write, keep: bool = True) -> None:
        for write in writes:
            self.commit.add(
                write,
                on_done=lambda result: self.heard.append(result.applied),
                on_refused=None if keep else self.heard.append,
                on_error=self.heard.append,
            )


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_writes_are_kept_while_it_is_stopped_and_stored_once_when_it_is_back(
    server: Postgres, store: SqlStore, mode: str
) -> None:
    group = Group(store)
    group.add(insert(1), insert(2))
    group.commit.flush()
    server.stop(mode=mode)
    group.add(failed(1, outputs=OUTPUTS), completed(2, outputs=OUTPUTS))
    group.add(insert(3), keep=False)
    assert [group.commit.flush(), group.commit.flush()] == [FIRST_DELAY, 2 * FIRST_DELAY]
    assert [type(each) for each in group.heard[2:]] == [StorageUnavailable]
    with pytest.raises(StorageUnavailable):
        store.reader.load(id_of(1))
    with pytest.raises(StorageUnavailable):
        store.reader.ping()
    server.start()
    assert group.commit.flush() is None
    assert group.heard[3:] == [True, True]
    assert group.commit.last_error is None
    assert [loaded(store.reader, number).outputs for number in (1, 2)] == [OUTPUTS, OUTPUTS]
    assert store.reader.load(id_of(3)) is None


def test_server_that_was_started_again_while_nothing_was_to_do_refuses_nothing(
    server: Postgres, store: SqlStore
) -> None:
    group = Group(store)
    group.add(insert(1), keep=False)
    group.commit.flush()
    assert store.reader.load_row(id_of(1)) is not None
    server.stop()
    server.start()
    group.add(insert(2), keep=False)
    assert group.commit.flush() is None
    assert group.heard == [True, True]
    assert store.reader.load_row(id_of(2)) is not None


def test_server_that_takes_no_writes_for_now_is_away(server: Postgres, store: SqlStore) -> None:
    """A standby before its promotion, or a disk that is nearly full: as good as away, and no fault of the writes."""
    group = Group(store)
    group.add(insert(1))
    group.commit.flush()
    url = store._writer_engine.url
    server.run(f"ALTER DATABASE {url.database} SET default_transaction_read_only = on")
    store._writer_engine.dispose()
    group.add(completed(1, outputs=OUTPUTS))
    assert group.commit.flush() == FIRST_DELAY
    assert "read-only" in str(group.commit.last_error)
    assert group.commit.pending == 1
    server.run(f"ALTER DATABASE {url.database} SET default_transaction_read_only = off")
    store._writer_engine.dispose()
    assert group.commit.flush() is None
    assert loaded(store.reader, 1).outputs == OUTPUTS


class Listener(ThreadingActor):
    """Whoever asked for writes."""

    def __init__(self, heard: queue.Queue[Any]) -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: object) -> None:
        self._heard.put(message)


class Timers:
    """Calls functions after a while on threads of their own."""

    def __init__(self) -> None:
        self._timers: list[threading.Timer] = []

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, function)
        self._timers.append(timer)
        timer.start()

    def end(self) -> None:
        for timer in self._timers:
            timer.cancel()
            timer.join()


def test_crash_amid_commits_loses_nothing_and_doubles_nothing(server: Postgres, store: SqlStore) -> None:
    """The server dies as a machine does, between a commit and its answer or not, while an actor writes and writes."""
    group, timers, heard = GroupCommit(store.writer, max_batch=20), Timers(), queue.Queue[Any]()
    listener: ActorRef[Any] = Listener.start(heard)
    relay = Relay(
        "persistence",
        lambda relay: PersistenceActor.start(relay, group),
        later=timers.later,
        on_crash=lambda name, reason: heard.put(reason),
    )
    relay.start()
    numbers = range(1, 601)
    for number in numbers:
        outputs = tuple(StoredOutput("chapters", item, f"{number} {item} " + "x" * 500) for item in range(3))
        relay.tell(StoreWrite(insert(number, idempotency_key=str(number)), listener, keep_trying=True))
        relay.tell(StoreWrite(failed(number, outputs=outputs[:2]), listener, keep_trying=True))
        relay.tell(StoreWrite(claim(number, 2), listener, keep_trying=True))
        relay.tell(StoreWrite(completed(number, epoch=2, save=4, outputs=outputs[2:]), listener, keep_trying=True))
    answers = [heard.get(timeout=PATIENCE) for _ in range(200)]
    for _ in range(2):
        server.stop(mode="immediate")
        assert relay.depth + group.pending > 0
        server.start()
        answers += [heard.get(timeout=PATIENCE) for _ in range(200)]
    answers += [heard.get(timeout=PATIENCE) for _ in range(4 * len(numbers) - len(answers))]
    assert {type(answer) for answer in answers} == {WriteDone}
    # Only the save of the epoch that a repeated batch has left behind already is refused.
    assert {type(answer.write).__name__ for answer in answers if not answer.result.applied} <= {"SaveState"}
    assert all(answer.result.applied or answer.write.epoch == 1 for answer in answers)
    stored = store.reader.load_many([id_of(number) for number in numbers])
    assert len(stored) == len(numbers)
    for each in stored:
        number = int(each.execution_id, 16)
        expected = tuple(StoredOutput("chapters", item, f"{number} {item} " + "x" * 500) for item in range(3))
        assert (each.status, each.epoch, each.checkpoint, each.outputs) == ("completed", 2, None, expected)
    relay.stop(PATIENCE)
    timers.end()
    listener.stop()
    assert heard.empty()


async def test_failure_while_it_is_stopped_keeps_its_own_error_and_is_saved_when_it_is_back(
    server: Postgres, store: SqlStore, tmp_path: Path
) -> None:
    functions = FunctionRegistry()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    began = asyncio.Event()

    async def break_down(ctx: NodeContext) -> None:
        loop.call_soon_threadsafe(began.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(stopped.wait(), loop))
        raise RuntimeError("the first error")

    functions.register(break_down)
    document = {
        "format": 1,
        "name": "outage",
        "nodes": [{"id": "breaks", "type": "python", "config": {"function": "break_down"}}],
    }
    async with open_worker(tmp_path, functions, store=store) as worker:
        execution_id = await worker.start(document)
        await asyncio.wait_for(began.wait(), PATIENCE)
        await asyncio.to_thread(server.stop)
        stopped.set()
        failing = await worker.until_status(execution_id, "failed")
        assert failing["checkpoint"]["saved"] is False
        assert "the first error" in failing["error"]["message"]
        refused = await worker.call("POST", "/executions", {"workflow": document, "user": {"id": "ada"}})
        assert (refused.status, refused.body["type"]) == (503, "/problems/storage-unavailable")
        await asyncio.to_thread(server.start)
        saved = await worker.rest(execution_id)
        assert saved["checkpoint"]["saved"] is True
        assert saved["error"] == failing["error"]
        assert (await worker.checkpoint(execution_id))["failed_node"] == "breaks"
        rows = await asyncio.to_thread(store.reader.list_executions, ExecutionFilter(), before=None, limit=9)
        assert [(row.execution_id, row.status) for row in rows] == [(execution_id, "failed")]
