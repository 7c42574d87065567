"""What every store does with sealed keys: one per user and provider, replaced, forgotten, listed, gone through."""

from __future__ import annotations

from offbook.workflows.key_records import DeleteKey, KeyRow, PutKey, SealedKey
from offbook.workflows.records import ExecutionStore, Write, WriteResult
from tests.persistence.writes import BEGAN, insert, put

NOT_APPLIED = WriteResult(applied=False)


def key(user: str, provider: str, text: bytes, at: float = BEGAN, replaces: bytes | None = None) -> PutKey:
    return PutKey(user, provider, text, at, replaces)


def test_key_is_found_by_user_and_provider(store: ExecutionStore) -> None:
    store.writer.commit([key("ada", "openai", b"\0one"), key("ada", "local", b"two"), key("bob", "openai", b"three")])
    reader = store.reader
    assert reader.provider_key("ada", "openai") == b"\0one"
    assert reader.provider_key("bob", "openai") == b"three"
    assert reader.provider_key("bob", "local") is None
    assert reader.provider_key("openai", "ada") is None
    assert reader.provider_keys("ada") == [KeyRow("ada", "local", BEGAN), KeyRow("ada", "openai", BEGAN)]
    assert reader.provider_keys("eve") == []


def test_last_key_of_a_batch_is_the_one_that_stays(store: ExecutionStore) -> None:
    writes: list[Write] = [
        key("ada", "openai", b"one"),
        key("ada", "openai", b"two", BEGAN + 1),
        DeleteKey("ada", "openai"),
    ]
    results = store.writer.commit([*writes, key("ada", "openai", b"three", BEGAN + 2)])
    assert results == [WriteResult()] * 4
    assert store.reader.provider_key("ada", "openai") == b"three"
    assert store.reader.provider_keys("ada") == [KeyRow("ada", "openai", BEGAN + 2)]


def test_key_that_is_put_again_takes_the_place_and_the_time_of_the_one_before(store: ExecutionStore) -> None:
    store.writer.commit([key("ada", "openai", b"one")])
    store.writer.commit([key("ada", "openai", b"two", BEGAN + 5)])
    assert store.reader.provider_key("ada", "openai") == b"two"
    assert store.reader.provider_keys("ada") == [KeyRow("ada", "openai", BEGAN + 5)]


def test_forgotten_key_is_gone_and_cannot_be_forgotten_again(store: ExecutionStore) -> None:
    store.writer.commit([key("ada", "openai", b"one"), key("bob", "openai", b"two")])
    assert store.writer.commit([DeleteKey("ada", "openai")]) == [WriteResult()]
    assert store.writer.commit([DeleteKey("ada", "openai")]) == [NOT_APPLIED]
    assert store.reader.provider_key("ada", "openai") is None
    assert store.reader.provider_key("bob", "openai") == b"two"


def test_key_is_replaced_only_if_it_is_the_one_that_was_meant(store: ExecutionStore) -> None:
    store.writer.commit([key("ada", "openai", b"one")])
    again = key("ada", "openai", b"sealed anew", BEGAN + 9, replaces=b"one")
    assert store.writer.commit([again]) == [WriteResult()]
    # Resealed, it is the same key: since when the user has it does not change.
    assert store.reader.provider_keys("ada") == [KeyRow("ada", "openai", BEGAN)]
    assert store.writer.commit([again]) == [NOT_APPLIED]
    changed = key("ada", "openai", b"of the user's own", BEGAN + 10)
    late = key("ada", "openai", b"late", BEGAN + 11, replaces=b"sealed anew")
    assert store.writer.commit([changed, late]) == [WriteResult(), NOT_APPLIED]
    assert store.reader.provider_key("ada", "openai") == b"of the user's own"
    assert store.writer.commit([key("eve", "openai", b"x", replaces=b"y")]) == [NOT_APPLIED]
    assert store.reader.provider_keys("eve") == []


def test_all_keys_are_gone_through_in_pages(store: ExecutionStore) -> None:
    places = [(user, provider) for user in ("ada", "Bob", "eve", "é", "z-9") for provider in ("local", "openai")]
    store.writer.commit([key(user, provider, f"{user}/{provider}".encode()) for user, provider in places])
    found: list[SealedKey] = []
    while page := store.reader.sealed_keys(after=(found[-1].user_id, found[-1].provider) if found else None, limit=3):
        assert len(page) <= 3
        found += page
    assert sorted((each.user_id, each.provider) for each in found) == sorted(places)
    assert all(each.ciphertext == f"{each.user_id}/{each.provider}".encode() for each in found)


def test_keys_are_stored_with_whatever_else_waits_in_one_transaction(store: ExecutionStore) -> None:
    before = store.transactions()
    results = store.writer.commit([insert(1), key("ada", "openai", b"one"), put("novella", BEGAN)])
    assert results == [WriteResult()] * 3
    assert store.transactions() == (before[0], before[1] + 1)


def test_each_question_about_keys_is_one_read(store: ExecutionStore) -> None:
    before = store.transactions()
    store.reader.provider_key("ada", "openai")
    store.reader.provider_keys("ada")
    store.reader.sealed_keys(after=None, limit=10)
    assert store.transactions() == (before[0] + 3, before[1])
