"""What every store does when an execution goes on as another user: its row, lists and keys of requests follow."""

from __future__ import annotations

from dataclasses import replace

from offbook.workflows.records import DeleteExecution, ExecutionFilter, ExecutionStore, WriteResult
from tests.persistence.writes import ADA, BOB, claim, completed, failed, id_of, insert, loaded, summary


def owners(store: ExecutionStore, user: str) -> list[int]:
    """The numbers of the executions of a user."""
    rows = store.reader.list_executions(ExecutionFilter(user_id=user), before=None, limit=100)
    return sorted(int(row.execution_id, 16) for row in rows)


def test_claim_for_another_user_makes_it_theirs_with_role_and_tier(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1), insert(2), failed(2)])
    store.writer.commit([replace(claim(1, 2), user=BOB), claim(2, 2)])
    assert (loaded(store.reader, 1).user, loaded(store.reader, 2).user) == (BOB, ADA)
    assert (owners(store, "bob"), owners(store, "ada")) == ([1], [2])
    # The checkpoint is of whom it was saved for, until the next one.
    checkpoint = loaded(store.reader, 1).checkpoint
    assert checkpoint is not None
    assert checkpoint.user == ADA


def test_stale_claim_makes_it_nobodys(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1), claim(1, 5)])
    assert store.writer.commit([replace(claim(1, 3), user=BOB)]) == [WriteResult(applied=False)]
    assert loaded(store.reader, 1).user == ADA


def test_save_says_whose_it_is_only_if_it_names_somebody(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1), replace(claim(1, 2), user=BOB)])
    store.writer.commit([failed(1, epoch=3, save=3, user=ADA, checkpoint=summary())])
    assert loaded(store.reader, 1).user == ADA
    store.writer.commit([replace(claim(1, 4), user=BOB), completed(1, epoch=4, save=5)])
    assert loaded(store.reader, 1).user == BOB


def test_saves_with_and_without_a_user_share_a_transaction(store: ExecutionStore) -> None:
    store.writer.commit([insert(number) for number in (1, 2, 3)])
    before = store.transactions()
    results = store.writer.commit(
        [failed(1), failed(2, epoch=2, user=BOB), failed(3, epoch=1, save=2), failed(9, epoch=2, user=BOB)]
    )
    assert [each.applied for each in results] == [True, True, True, False]
    assert store.transactions() == (before[0], before[1] + 1)
    assert [loaded(store.reader, number).user for number in (1, 2, 3)] == [ADA, BOB, ADA]


def test_key_of_the_request_stays_with_the_user_who_sent_it(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, idempotency_key="k", request_hash="h"), failed(1)])
    store.writer.commit([replace(claim(1, 2), user=BOB)])
    again = store.writer.commit([insert(2, idempotency_key="k", request_hash="h")])
    assert again[0].existing_id == id_of(1)
    assert store.writer.commit([insert(3, user=BOB, idempotency_key="k", request_hash="h")])[0].applied
    assert store.writer.commit([DeleteExecution(id_of(1))]) == [WriteResult()]
    assert store.writer.commit([insert(4, idempotency_key="k", request_hash="h")])[0].applied
