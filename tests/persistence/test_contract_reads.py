"""What every store answers: lists with filters and cursors, rows, what is unfinished, workflows by name."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from offbook.workflows.records import (
    DeleteExecution,
    ExecutionFilter,
    ExecutionRow,
    ExecutionStore,
    InsertExecution,
    StoredOutput,
    WorkflowRow,
    WriteResult,
)
from offbook.workflows.states import ExecutionStatus
from tests.persistence.writes import (
    ADA,
    BEGAN,
    BOB,
    claim,
    completed,
    document_of,
    failed,
    fingerprint_of,
    id_of,
    insert,
    put,
)

LONGEST = "".join(random.Random(7).choices([chr(code) for code in range(0x20000, 0x2A000)], k=500))
"""As long as a label may be on either side, of characters that take the most bytes."""


def listed(
    store: ExecutionStore, before: tuple[float, str] | None = None, limit: int = 100, **fields: Any
) -> list[int]:
    """The numbers of the executions in a list."""
    where = ExecutionFilter(**fields)
    rows = store.reader.list_executions(where, before=before, limit=limit)
    return [int(row.execution_id, 16) for row in rows]


def fill(store: ExecutionStore) -> None:
    """Six executions of two users, workflows and workers, in several states."""
    store.writer.commit(
        [
            insert(1, labels={"book": "a", "part": "1"}),
            insert(2, user=BOB, labels={"book": "a", "part": "2"}),
            insert(3, workflow="report", labels={"book": "b", "part": "1"}),
            insert(4, user=None, workflow="report"),
            insert(5, worker_id="w2", labels={"part": "book", "book": "1"}),
            insert(6, user=BOB, worker_id="w2"),
            failed(2),
            completed(3),
            failed(5, status="paused", error_type=None),
            failed(6, status="interrupted", error_type=None),
        ]
    )


# Rows


def test_row_has_the_columns_of_its_execution(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, labels={"book": "七"}, durability="sync"), claim(1, 2, "w2"), failed(1, epoch=2)])
    expected = ExecutionRow(
        execution_id=id_of(1),
        workflow_name="novella",
        fingerprint=fingerprint_of("novella"),
        status="failed",
        epoch=2,
        worker_id="w2",
        user_id="ada",
        labels={"book": "七"},
        durability="sync",
        percent=50.0,
        error_type="rate_limit",
        created_at=BEGAN + 1,
        started_at=BEGAN + 1.5,
        finished_at=BEGAN + 61,
    )
    assert store.reader.load_row(id_of(1)) == expected
    assert store.reader.list_executions(ExecutionFilter(), before=None, limit=9) == [expected]


def test_row_of_a_new_execution_has_nothing_done(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, user=None)])
    row = store.reader.load_row(id_of(1))
    assert row is not None
    assert (row.status, row.epoch, row.percent, row.user_id) == ("running", 1, 0.0, None)
    assert (row.error_type, row.started_at, row.finished_at) == (None, None, None)


def test_what_does_not_exist_is_none(store: ExecutionStore) -> None:
    assert store.reader.load(id_of(1)) is None
    assert store.reader.load_row(id_of(1)) is None
    assert store.reader.workflow("novella") is None


def test_several_are_loaded_at_once_without_those_that_do_not_exist(store: ExecutionStore) -> None:
    outputs = {number: (StoredOutput("a", None, f"of {number}"),) for number in (1, 2, 3)}
    store.writer.commit([insert(number, workflow=f"w{number}") for number in outputs])
    store.writer.commit([failed(1, outputs=outputs[1]), completed(2, outputs=outputs[2])])
    wanted = [id_of(number) for number in (2, 1, 9, 3, 1)]
    found = {stored.execution_id: stored for stored in store.reader.load_many(wanted)}
    assert sorted(found) == [id_of(1), id_of(2), id_of(3)]
    assert len(store.reader.load_many(wanted)) == 3
    assert [found[id_of(number)].outputs for number in (1, 2, 3)] == [outputs[1], outputs[2], ()]
    assert [found[id_of(number)].document for number in (1, 2, 3)] == [document_of(f"w{n}") for n in (1, 2, 3)]
    assert store.reader.load_many([]) == []


# Lists


def test_lists_are_newest_first(store: ExecutionStore) -> None:
    store.writer.commit([insert(2), insert(1), insert(10, created_at=BEGAN), insert(11, created_at=BEGAN)])
    assert listed(store) == [2, 1, 11, 10]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"statuses": ("running",)}, [4, 1]),
        ({"statuses": ("failed", "completed")}, [3, 2]),
        ({"statuses": ("cancelled",)}, []),
        ({"workflow": "report"}, [4, 3]),
        ({"workflow": fingerprint_of("novella")}, [6, 5, 2, 1]),
        ({"workflow": "nov"}, []),
        ({"user_id": "bob"}, [6, 2]),
        ({"user_id": ""}, []),
        ({"worker_id": "w2"}, [6, 5]),
        ({"labels": {"book": "a"}}, [2, 1]),
        ({"labels": {"part": "1"}}, [3, 1]),
        ({"labels": {"book": "a", "part": "1"}}, [1]),
        ({"labels": {"book": "1"}}, [5]),
        ({"labels": {"book": "c"}}, []),
        ({"labels": {"1": "part"}}, []),
        ({"statuses": ("running", "failed"), "workflow": "novella", "user_id": "bob", "worker_id": "w1"}, [2]),
        ({"user_id": "ada", "labels": {"part": "book"}, "statuses": ("paused",)}, [5]),
    ],
)
def test_list_shows_what_fits_all_filters(store: ExecutionStore, fields: dict[str, Any], expected: list[int]) -> None:
    fill(store)
    assert listed(store, **fields) == expected


def test_cursor_goes_on_after_the_last_row_also_among_equal_times(store: ExecutionStore) -> None:
    # Times that a decimal text would round.
    times = [BEGAN + 1 / 3, BEGAN + 1 / 3, BEGAN + 1 / 3, BEGAN + 2 / 3, BEGAN + 0.1]
    store.writer.commit([insert(number, created_at=created_at) for number, created_at in enumerate(times, 1)])
    pages, before = [], None
    while rows := store.reader.list_executions(ExecutionFilter(), before=before, limit=2):
        pages.append([int(row.execution_id, 16) for row in rows])
        before = (rows[-1].created_at, rows[-1].execution_id)
    assert pages == [[4, 3], [2, 1], [5]]


def test_cursor_and_filter_go_together(store: ExecutionStore) -> None:
    fill(store)
    assert listed(store, before=(BEGAN + 5, id_of(5)), limit=2, user_id="ada") == [3, 1]
    # What it named may be gone.
    store.writer.commit([DeleteExecution(id_of(5))])
    assert listed(store, before=(BEGAN + 5, id_of(5)), limit=1) == [4]


def test_deleted_execution_is_in_no_list(store: ExecutionStore) -> None:
    fill(store)
    store.writer.commit([DeleteExecution(id_of(1))])
    assert listed(store, labels={"book": "a"}) == [2]
    store.writer.commit([insert(1)])
    assert listed(store, labels={"book": "a"}) == [2]


@pytest.mark.parametrize(
    ("key", "value"), [("a\0b", "\0"), (LONGEST, LONGEST[::-1]), ("", ""), ("%_", "'; --"), ("k", "K")]
)
def test_label_of_any_text_is_kept_and_found(store: ExecutionStore, key: str, value: str) -> None:
    store.writer.commit([insert(1, labels={key: value, "other": "x"}), insert(2, labels={key: value + "x"})])
    assert listed(store, labels={key: value}) == [1]
    row = store.reader.load_row(id_of(1))
    assert row is not None
    assert row.labels == {key: value, "other": "x"}


def test_error_type_of_any_text_is_no_reason_to_refuse_a_save(store: ExecutionStore) -> None:
    outputs = (StoredOutput("a", None, "paid for"),)
    write = failed(1, error_type="odd\0" * 50, outputs=outputs)
    assert store.writer.commit([insert(1), write]) == [WriteResult()] * 2
    row = store.reader.load_row(id_of(1))
    assert row is not None
    assert (row.status, str(row.error_type)[:3]) == ("failed", "odd")


# Unfinished


def test_unfinished_are_those_a_worker_goes_on_with_oldest_first(store: ExecutionStore) -> None:
    store.writer.commit([insert(10 - at, created_at=BEGAN + at) for at in range(9)])
    store.writer.commit(
        [failed(10 - at, status=status.value) for at, status in enumerate(ExecutionStatus)],
    )
    states = list(ExecutionStatus)
    goes_on = {"queued", "running", "waiting", "interrupted", "recovering"}
    expected = [id_of(10 - at) for at, status in enumerate(states) if status in goes_on]
    assert store.reader.unfinished("w1") == expected
    assert store.reader.unfinished("w2") == []


def test_unfinished_of_the_same_time_are_ordered_by_id(store: ExecutionStore) -> None:
    store.writer.commit([insert(number, created_at=BEGAN) for number in (3, 1, 2)])
    assert store.reader.unfinished("w1") == [id_of(1), id_of(2), id_of(3)]


def test_claimed_execution_belongs_to_who_claimed_it(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), insert(2), claim(2, 2, "w2")])
    assert store.reader.unfinished("w1") == [id_of(1)]
    assert store.reader.unfinished("w2") == [id_of(2)]


# Workflows


def test_registered_workflow_answers_to_its_name_and_fingerprint(store: ExecutionStore) -> None:
    assert store.writer.commit([put("novella", BEGAN)]) == [WriteResult()]
    expected = (WorkflowRow(fingerprint_of("novella"), "novella", BEGAN), document_of("novella"))
    assert store.reader.workflow("novella") == expected
    assert store.reader.workflow(fingerprint_of("novella")) == expected
    assert store.reader.list_workflows(limit=100) == [expected[0]]


def test_name_means_what_was_registered_last(store: ExecutionStore) -> None:
    old, new = put("novella", BEGAN, "a" * 64), put("novella", BEGAN + 1, "b" * 64)
    store.writer.commit([new, old])
    assert store.reader.workflow("novella") == (WorkflowRow("b" * 64, "novella", BEGAN + 1), document_of("novella"))
    store.writer.commit([put("novella", BEGAN + 2, "a" * 64)])
    assert [row.fingerprint for row in store.reader.list_workflows(limit=100)] == ["a" * 64, "b" * 64]
    found = store.reader.workflow("novella")
    assert found is not None
    assert found[0].fingerprint == "a" * 64


def test_workflows_of_the_same_time_are_told_apart_the_same_way_everywhere(store: ExecutionStore) -> None:
    store.writer.commit([put("novella", BEGAN, each * 64) for each in "bac"])
    assert [row.fingerprint[0] for row in store.reader.list_workflows(limit=100)] == ["a", "b", "c"]
    found = store.reader.workflow("novella")
    assert found is not None
    assert found[0].fingerprint == "a" * 64


def test_workflows_are_listed_in_pages_and_by_name(store: ExecutionStore) -> None:
    store.writer.commit([put("novella", BEGAN, each * 64) for each in "bac"])
    store.writer.commit([put("story", BEGAN + 1, "d" * 64), put("novella", BEGAN + 2, "e" * 64)])

    def listed(name: str | None, after: tuple[float, str] | None = None) -> str:
        rows = store.reader.list_workflows(name=name, after=after, limit=2)
        return "".join(row.fingerprint[0] for row in rows)

    assert listed(None) == "ed"
    assert listed(None, (BEGAN + 1, "d" * 64)) == "ab"
    assert listed(None, (BEGAN, "b" * 64)) == "c"
    assert listed("novella") == "ea"
    assert listed("novella", (BEGAN, "a" * 64)) == "bc"
    assert listed("nothing") == ""


def test_fingerprint_wins_over_a_workflow_that_has_it_as_name(store: ExecutionStore) -> None:
    store.writer.commit([put("a" * 64, BEGAN + 9, "c" * 64), put("novella", BEGAN, "a" * 64)])
    found = store.reader.workflow("a" * 64)
    assert found is not None
    assert found[0].name == "novella"


def test_workflow_that_was_only_used_has_no_name_until_it_is_registered(store: ExecutionStore) -> None:
    store.writer.commit([insert(1)])
    assert store.reader.workflow("novella") is None
    assert store.reader.list_workflows(limit=100) == []
    used = store.reader.workflow(fingerprint_of("novella"))
    assert used == (WorkflowRow(fingerprint_of("novella"), "novella", BEGAN + 1), document_of("novella"))
    store.writer.commit([put("novella", BEGAN + 7)])
    assert store.reader.list_workflows(limit=100) == [WorkflowRow(fingerprint_of("novella"), "novella", BEGAN + 7)]


def test_workflow_registered_and_used_in_one_batch_is_registered(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), put("novella", BEGAN + 5), insert(2)])
    assert store.reader.list_workflows(limit=100) == [WorkflowRow(fingerprint_of("novella"), "novella", BEGAN + 5)]
    assert len(store.reader.load_many([id_of(1), id_of(2)])) == 2


# Transactions


def test_every_call_is_one_transaction(store: ExecutionStore) -> None:
    before = store.transactions()
    steps: list[Callable[[], object]] = [
        lambda: store.writer.commit([insert(number, labels={"a": "b"}) for number in range(1, 200)]),
        lambda: store.writer.commit([completed(number, outputs=(StoredOutput("a", None, 1),)) for number in (1, 2)]),
        lambda: store.writer.commit([failed(3), claim(3, 2), completed(3, epoch=2), DeleteExecution(id_of(3))]),
        lambda: store.writer.commit([insert(999, idempotency_key="k"), failed(4, epoch=0), put("w", BEGAN)]),
        lambda: store.writer.commit([]),
    ]
    for done, step in enumerate(steps, 1):
        step()
        assert store.transactions() == (before[0], before[1] + done)
    writes = store.transactions()[1]
    reads: list[Callable[[], object]] = [
        lambda: store.reader.load(id_of(1)),
        lambda: store.reader.load("0" * 32),
        lambda: store.reader.load_many([id_of(number) for number in range(1, 1100)]),
        lambda: store.reader.load_row(id_of(1)),
        lambda: store.reader.list_executions(ExecutionFilter(labels={"a": "b"}), before=None, limit=3),
        lambda: store.reader.unfinished("w1"),
        lambda: store.reader.workflow("w"),
        lambda: store.reader.list_workflows(limit=100),
        lambda: store.reader.ping(),
    ]
    for done, read in enumerate(reads, 1):
        read()
        assert store.transactions() == (before[0] + done, writes)


def test_transactions_of_several_threads_are_all_counted(store: ExecutionStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.reader.ping(), range(200)))
    assert store.transactions()[0] == 200


def test_readers_see_whole_transactions_while_others_are_written(store: ExecutionStore) -> None:
    """Each batch completes an execution and inserts the next one: there is always exactly one that runs."""
    last = 60
    store.writer.commit([insert(1)])
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            rows = store.reader.list_executions(ExecutionFilter(), before=None, limit=500)
            seen.append(sum(row.status == "running" for row in rows))
            newest = store.reader.load(rows[0].execution_id)
            assert newest is not None
            assert (newest.state is None) == (newest.status == "running")

    with ThreadPoolExecutor(3) as pool:
        looking = [pool.submit(look) for _ in range(3)]
        for number in range(1, last):
            following: InsertExecution = insert(number + 1, user=ADA)
            store.writer.commit([completed(number), following])
        over.set()
        for each in looking:
            each.result(10)
    assert set(seen) == {1}
