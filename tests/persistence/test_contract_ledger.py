"""What every store does with the books: entered in a write's own transaction, once, kept when an execution is not."""

from __future__ import annotations

from offbook.workflows.ledger import NO_ITEM, Bookings, Entry, EntryKind, SettledEntry, Spent
from offbook.workflows.records import DeleteExecution, ExecutionFilter, ExecutionStore, WriteResult
from offbook.workflows.values import NO_USAGE, Usage
from tests.persistence.writes import BEGAN, claim, completed, failed, id_of, insert

DAY = 86_400.0
FIRST, SECOND, NEVER = "2026-09-21", "2026-09-22", "9999-12-31"


def settle(
    node: str, usage: Usage, *, item: int = NO_ITEM, epoch: int = 1, at: float = BEGAN, model: str = "a/b"
) -> Entry:
    return Entry(EntryKind.SETTLE, node, item, 1, epoch, at, model, usage)


def reserve(epoch: int, usage: Usage) -> Entry:
    return Entry(EntryKind.RESERVE, "", NO_ITEM, 0, epoch, BEGAN, "", usage)


def books(*entries: Entry, user: str = "ada", release: bool = False) -> Bookings:
    return Bookings(user, entries, release)


def spent(store: ExecutionStore, user: str = "ada") -> Usage:
    total = NO_USAGE
    for each in store.books.user_books(user, "", NEVER).spent:
        total = total + each.usage
    return total


def test_what_attempts_used_is_entered_with_the_save_and_summed_by_day_and_model(store: ExecutionStore) -> None:
    entries = (
        settle("outline", Usage(1, 2, cost=30)),
        settle("chapters", Usage(10, 20, cost=300, estimated=True), item=0),
        settle("chapters", Usage(100, 200, unpriced=True), item=1, model="c/d"),
        settle("book", Usage(1000, 2000, cost=30_000), at=BEGAN + DAY),
    )
    store.writer.commit([insert(1), completed(1, bookings=books(*entries))])
    found = store.books.user_books("ada", FIRST, SECOND)
    assert found.spent == (
        Spent(FIRST, "a/b", Usage(11, 22, estimated=True, cost=330)),
        Spent(FIRST, "c/d", Usage(100, 200, unpriced=True)),
        Spent(SECOND, "a/b", Usage(1000, 2000, cost=30_000)),
    )
    assert found.executions == 1
    assert [each.day for each in store.books.user_books("ada", SECOND, NEVER).spent] == [SECOND]
    assert store.books.user_books("bob", "", NEVER).spent == ()


def test_entry_whose_place_is_taken_stays_as_it_was(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), failed(1, bookings=books(settle("a", Usage(1, 2, estimated=True))))])
    again = books(settle("a", Usage(5, 5)), settle("a", Usage(3, 3), epoch=2))
    store.writer.commit([claim(1, 2), completed(1, epoch=2, save=4, bookings=again)])
    store.writer.commit([completed(1, epoch=2, save=4, bookings=again)])
    assert spent(store) == Usage(4, 5, estimated=True)


def test_save_that_brings_some_attempts_again_enters_only_the_others(store: ExecutionStore) -> None:
    first, second, third = (settle(node, Usage(1, 1, cost=5)) for node in ("a", "b", "c"))
    store.writer.commit([insert(1), failed(1, bookings=books(first, second))])
    store.writer.commit([failed(1, save=3, bookings=books(second, third))])
    late = failed(1, save=2, bookings=books(first, second))
    store.writer.commit([claim(1, 2), late])
    assert spent(store) == Usage(3, 3, cost=15)
    assert {each.entry for each in store.books.settled([id_of(1)])} == {first, second, third}


def test_what_a_resume_saved_is_entered_once_however_often_it_is_stored(store: ExecutionStore) -> None:
    saved = Entry(EntryKind.SAVED, "", NO_ITEM, 1, 2, BEGAN, "", Usage(40, cost=4))
    store.writer.commit([insert(1), failed(1), claim(1, 2), failed(1, epoch=2, save=4, bookings=books(saved))])
    store.writer.commit([failed(1, epoch=2, save=5, bookings=books(saved))])
    assert store.books.user_books("ada", FIRST, FIRST).saved == Usage(40, cost=4)


def test_attempts_come_back_as_they_were_entered(store: ExecutionStore) -> None:
    entries = [
        settle(f"n{item % 7}", Usage(item, 2 * item, item % 2 == 0, 3 * item, item % 3 == 0), item=item, model=model)
        for item in range(200)
        for model in ("a/b", "c/d")[item % 2 :]
    ]
    entries = list({entry.place: entry for entry in entries}.values())
    store.writer.commit([insert(1), completed(1, bookings=books(*entries))])
    found = store.books.settled([id_of(1)])
    assert sorted(each.entry for each in found) == sorted(entries)
    assert sum((entry.usage for entry in entries), NO_USAGE) == spent(store)


def test_reserve_is_given_back_by_the_save_that_settles(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, bookings=books(reserve(1, Usage(0, 500, cost=9))))])
    assert store.books.user_books("ada", FIRST, FIRST).reserved == Usage(0, 500, cost=9)
    store.writer.commit([failed(1, bookings=books(settle("a", Usage(1, 2)), release=True))])
    assert store.books.user_books("ada", FIRST, FIRST).reserved == NO_USAGE
    store.writer.commit([claim(1, 2, bookings=books(reserve(2, Usage(0, 300))))])
    assert store.books.user_books("ada", "", NEVER).reserved == Usage(0, 300)
    assert spent(store) == Usage(1, 2)


def test_late_save_of_an_earlier_epoch_leaves_the_reserve_of_the_later_and_what_it_used_counts(
    store: ExecutionStore,
) -> None:
    store.writer.commit([insert(1), failed(1), claim(1, 2, bookings=books(reserve(2, Usage(0, 300))))])
    late = failed(1, save=3, bookings=books(settle("a", Usage(7, 7)), release=True))
    assert store.writer.commit([late]) == [WriteResult(applied=False)]
    assert store.books.user_books("ada", "", NEVER).reserved == Usage(0, 300)
    assert spent(store) == Usage(7, 7)


def test_nothing_is_reserved_by_what_was_refused(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, idempotency_key="k", request_hash="h"), failed(1, epoch=1)])
    again = insert(2, idempotency_key="k", request_hash="h", bookings=books(reserve(1, Usage(0, 500))))
    assert store.writer.commit([again])[0].existing_id == id_of(1)
    assert store.writer.commit([claim(3, 2, bookings=books(reserve(2, Usage(0, 500))))]) == [WriteResult(False)]
    assert store.books.user_books("ada", "", NEVER).reserved == NO_USAGE


def test_deleted_execution_stays_in_the_books_but_for_its_reserve(store: ExecutionStore) -> None:
    store.writer.commit([insert(1, bookings=books(reserve(1, Usage(0, 500))))])
    store.writer.commit([failed(1, bookings=books(settle("a", Usage(7, 7)))), DeleteExecution(id_of(1))])
    assert spent(store) == Usage(7, 7)
    assert store.books.user_books("ada", "", NEVER).reserved == NO_USAGE


def test_what_resumes_saved_is_summed_apart(store: ExecutionStore) -> None:
    saved = Entry(EntryKind.SAVED, "", NO_ITEM, 1, 2, BEGAN, "", Usage(40, cost=4))
    store.writer.commit([insert(1), completed(1, bookings=books(saved))])
    found = store.books.user_books("ada", FIRST, FIRST)
    assert (found.saved, found.spent, found.executions) == (Usage(40, cost=4), (), 0)


def test_account_is_loaded_by_day_without_executions_that_are_told_apart(store: ExecutionStore) -> None:
    store.writer.commit(
        [
            insert(1),
            insert(2),
            completed(1, bookings=books(settle("a", Usage(1, 1)), settle("b", Usage(2, 2), at=BEGAN + DAY))),
            completed(2, bookings=books(settle("a", Usage(40, 40)))),
        ]
    )
    assert store.books.spent_by_day("ada", []) == {FIRST: Usage(41, 41), SECOND: Usage(2, 2)}
    assert store.books.spent_by_day("ada", [id_of(2)]) == {FIRST: Usage(1, 1), SECOND: Usage(2, 2)}
    assert store.books.settled([id_of(2), id_of(9)]) == [SettledEntry(id_of(2), settle("a", Usage(40, 40)))]


def test_model_may_have_any_name(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), completed(1, bookings=books(settle("a", Usage(1, 1), model="é" * 3000)))])
    assert store.books.user_books("ada", "", NEVER).spent[0].model == "é" * 3000


def test_books_are_read_apart_from_executions(store: ExecutionStore) -> None:
    before, apart = store.transactions(), store.reads_apart()
    spent(store)
    store.books.spent_by_day("ada", [])
    store.books.settled([id_of(1)])
    store.books.budgets()
    assert store.transactions() == before
    assert store.reads_apart() == apart + 4


def test_list_says_what_each_execution_used(store: ExecutionStore) -> None:
    entries = books(
        settle("a", Usage(1, 2, cost=3)), settle("b", Usage(10, 20, estimated=True)), reserve(1, Usage(9, 9))
    )
    store.writer.commit([insert(1), insert(2), insert(3)])
    store.writer.commit([completed(1, bookings=entries), failed(2, bookings=books(settle("a", Usage(5, 5))))])
    rows = store.reader.list_executions(ExecutionFilter(), before=None, limit=9)
    assert {row.execution_id: row.usage for row in rows} == {
        id_of(1): Usage(11, 22, estimated=True, cost=3),
        id_of(2): Usage(5, 5),
        id_of(3): NO_USAGE,
    }


def test_what_a_user_spent_is_told_without_any_number_of_executions(store: ExecutionStore) -> None:
    store.writer.commit([insert(1), completed(1, bookings=books(settle("a", Usage(1, 2))))])
    store.writer.commit([insert(2), completed(2, bookings=books(settle("a", Usage(10, 20))))])
    # More than a statement of SQLite or PostgreSQL takes parameters.
    live = frozenset({id_of(1), *(f"{number:032x}" for number in range(70_000))} - {id_of(2)})
    assert store.books.spent_by_day("ada", live) == {FIRST: Usage(10, 20)}
    assert store.books.spent_by_day("ada", frozenset()) == {FIRST: Usage(11, 22)}
