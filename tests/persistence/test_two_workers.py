"""Two workers on one database: of what both want at the same moment, one has it, and both know who."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from offbook.persistence.sql_store import SqlStore
from offbook.workflows.records import DeleteExecution, ExecutionFilter, StoredOutput, Write, WriteResult
from tests.persistence.stores import DATABASES, postgresql_store
from tests.persistence.writes import ADA, claim, completed, failed, id_of, insert, loaded

ROUNDS = 25


@pytest.fixture(params=DATABASES)
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two stores on one database."""
    with (
        closing(DATABASES[request.param](tmp_path)) as first,
        closing(SqlStore(first._writer_engine.url)) as second,
    ):
        yield first, second


def at_once(workers: tuple[SqlStore, SqlStore], *batches: list[Write]) -> list[list[WriteResult]]:
    """Have each worker commit its batch at the same moment."""
    together = threading.Barrier(2)

    def commit(store: SqlStore, batch: list[Write]) -> list[WriteResult]:
        together.wait()
        return store.writer.commit(batch)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(commit, workers, batches))


def test_key_that_both_want_is_one_workers(workers: tuple[SqlStore, SqlStore]) -> None:
    for number in range(1, ROUNDS):
        users = (ADA, None)[number % 2]
        ids = (number, number + 1000)
        batches: list[list[Write]] = [
            [insert(each, user=users, idempotency_key=f"k{number}", request_hash=str(each))] for each in ids
        ]
        ((first,), (second,)) = at_once(workers, *batches)
        assert first.applied != second.applied
        winner, refusal = (ids[0], second) if first.applied else (ids[1], first)
        assert refusal == WriteResult(False, id_of(winner), str(winner))
    rows = workers[0].reader.list_executions(ExecutionFilter(), before=None, limit=500)
    assert len(rows) == ROUNDS - 1


def test_epoch_that_both_claim_is_one_workers(workers: tuple[SqlStore, SqlStore]) -> None:
    numbers = range(1, ROUNDS)
    workers[0].writer.commit([insert(number) for number in numbers])
    for number in numbers:
        ((first,), (second,)) = at_once(workers, [claim(number, 2, "w1")], [claim(number, 2, "w2")])
        assert first.applied != second.applied
        assert loaded(workers[1].reader, number).worker_id == ("w1" if first.applied else "w2")


def test_save_and_claim_of_the_next_epoch_leave_what_the_later_of_them_wrote(
    workers: tuple[SqlStore, SqlStore],
) -> None:
    output = (StoredOutput("outline", None, "late or not"),)
    numbers = range(1, ROUNDS)
    workers[0].writer.commit([insert(number) for number in numbers])
    for number in numbers:
        ((saved,), (claimed,)) = at_once(workers, [failed(number, outputs=output)], [claim(number, 2, "w2")])
        assert claimed.applied
        stored = loaded(workers[0].reader, number)
        assert (stored.status, stored.epoch, stored.worker_id) == ("running", 2, "w2")
        assert stored.outputs == (output if saved.applied else ())


def test_same_new_workflows_in_another_order_are_no_deadlock(workers: tuple[SqlStore, SqlStore]) -> None:
    for at in range(ROUNDS):
        names = [f"{at} {each}" for each in range(8)]
        batches: list[list[Write]] = [
            [insert(at * 100 + each, workflow=name) for each, name in enumerate(names)],
            [insert(at * 100 + 50 + each, workflow=name) for each, name in enumerate(reversed(names))],
        ]
        for results in at_once(workers, *batches):
            assert all(result.applied for result in results)


def test_delete_waits_for_a_save_under_way_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    with closing(postgresql_store(tmp_path)) as store:
        store.writer.commit([insert(1)])
        url = store._writer_engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as saving, psycopg.connect(url, autocommit=True) as watching:
            saving.execute("UPDATE executions SET status = 'failed'")
            saving.execute("INSERT INTO outputs VALUES (%s, 1, 2, 0, '')", [id_of(1)])
            with ThreadPoolExecutor(1) as pool:
                deleted = pool.submit(store.writer.commit, [DeleteExecution(id_of(1))])
                while not deleted.done():
                    waits = watching.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
                    if waits is not None and waits[0]:
                        break
                saving.commit()
                assert deleted.result(10) == [WriteResult()]
            assert watching.execute("SELECT count(*) FROM outputs").fetchone() == (0,)


def test_document_that_the_other_worker_stored_is_used(workers: tuple[SqlStore, SqlStore]) -> None:
    workers[0].writer.commit([insert(1), completed(1)])
    workers[1].writer.commit([insert(2)])
    assert loaded(workers[1].reader, 2).document == loaded(workers[0].reader, 1).document
