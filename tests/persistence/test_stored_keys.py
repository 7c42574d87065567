"""Keys of users as nodes get them: cached, fresh after a change, never another's, and away with the database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers import EnvironmentKeys, KeySource
from offbook.persistence.key_vault import KeyVault, new_master_key
from offbook.persistence.memory_store import MemoryStore
from offbook.persistence.stored_keys import FRESH_SECONDS, KEPT, StoredKeys
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.key_records import DeleteKey, PutKey
from offbook.workflows.values import ExecutionUser

ADA, EVE = ExecutionUser("ada"), ExecutionUser("eve")
VAULT = KeyVault([("OFFBOOK_MASTER_KEY", new_master_key())])
SHARED = EnvironmentKeys(environment={"OFFBOOK_KEY_OPENAI": "sk-of-everybody"})
NONE = EnvironmentKeys(environment={})


class Store(MemoryStore):
    """A database that may be away, or slow to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.read_begun = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def provider_key(self, user_id: str, provider: str) -> bytes | None:
        if self.away:
            raise StorageUnavailable("it is away")
        found = super().provider_key(user_id, provider)
        self.read_begun.set()
        assert self.may_answer.wait(60)
        return found

    def put(self, user: str, key: str, vault: KeyVault = VAULT) -> None:
        self.commit([PutKey(user, "openai", vault.seal(user, "openai", key), 0.0)])

    @property
    def reads(self) -> int:
        return self.transactions()[0]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4, thread_name_prefix="offbook-read") as opened:
        yield opened


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(store: Store, pool: ThreadPoolExecutor, clock: Clock) -> StoredKeys:
    return StoredKeys(store, VAULT, pool, shared=SHARED, monotonic=clock)


async def error_of(keys: StoredKeys, user: ExecutionUser = ADA) -> tuple[str, bool, str]:
    with pytest.raises(NodeFailure) as failed:
        await keys.resolve(user, "openai")
    error = failed.value.error
    return error.type, error.retryable, error.hint


def test_it_is_a_key_source(keys: StoredKeys) -> None:
    assert isinstance(keys, KeySource)
    assert isinstance(SHARED, KeySource)


async def test_each_user_gets_the_own_key_and_else_that_of_everybody(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-of-ada")
    assert await keys.resolve(ADA, "openai") == "sk-of-ada"
    assert await keys.resolve(EVE, "openai") == "sk-of-everybody"
    assert await keys.resolve(None, "openai") == "sk-of-everybody"
    assert await keys.resolve(EVE, "local") is None


async def test_nobody_gets_the_key_of_everybody_where_it_is_not_shared(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    keys = StoredKeys(store, VAULT, pool, shared=None)
    assert await keys.resolve(EVE, "openai") is None
    assert await keys.has_key(EVE, "openai") is False
    assert "everybody" not in keys.where(EVE, "openai")


async def test_database_is_read_once_until_what_was_read_is_old(store: Store, keys: StoredKeys, clock: Clock) -> None:
    store.put("ada", "sk-of-ada")
    for _ in range(5):
        assert await keys.resolve(ADA, "openai") == "sk-of-ada"
        assert await keys.resolve(EVE, "openai") == "sk-of-everybody"
    assert store.reads == keys.figures()["reads"] == 2
    store.put("ada", "sk-new")
    assert await keys.resolve(ADA, "openai") == "sk-of-ada"
    clock.now += FRESH_SECONDS
    assert await keys.resolve(ADA, "openai") == "sk-new"
    assert store.reads == 3


async def test_those_who_ask_at_once_wait_for_one_read(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-of-ada")
    store.may_answer.clear()
    asking = [asyncio.create_task(keys.resolve(ADA, "openai")) for _ in range(20)]
    await asyncio.to_thread(store.read_begun.wait, 10)
    # One that gives up does not spoil it for the others.
    asking[0].cancel()
    store.may_answer.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert set(answers[1:]) == {"sk-of-ada"}
    assert store.reads == 1


async def test_changed_key_is_used_at_once(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-of-ada")
    assert await keys.resolve(ADA, "openai") == "sk-of-ada"
    store.put("ada", "sk-new")
    keys.forget("ada", "openai")
    assert await keys.resolve(ADA, "openai") == "sk-new"
    store.commit([DeleteKey("ada", "openai")])
    keys.forget("ada", "openai")
    assert await keys.resolve(ADA, "openai") == "sk-of-everybody"


async def test_read_that_began_before_a_change_is_not_kept(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-old")
    store.may_answer.clear()
    early = asyncio.create_task(keys.resolve(ADA, "openai"))
    await asyncio.to_thread(store.read_begun.wait, 10)
    store.put("ada", "sk-new")
    keys.forget("ada", "openai")
    store.may_answer.set()
    assert await early == "sk-old"
    assert await keys.resolve(ADA, "openai") == "sk-new"


async def test_refused_key_is_read_again(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-old")
    assert await keys.resolve(ADA, "openai") == "sk-old"
    store.put("ada", "sk-changed-by-another-process")
    keys.refused(ADA, "openai")
    keys.refused(None, "openai")
    assert await keys.resolve(ADA, "openai") == "sk-changed-by-another-process"


async def test_key_that_cannot_be_opened_is_never_replaced_by_that_of_everybody(
    store: Store, keys: StoredKeys
) -> None:
    store.put("ada", "sk-of-ada", KeyVault([("OFFBOOK_MASTER_KEY", new_master_key())]))
    kind, retryable, hint = await error_of(keys)
    assert (kind, retryable) == ("invalid_key", False)
    assert "PUT /users/ada/keys/openai" in hint
    await error_of(keys)
    assert store.reads == 1


async def test_database_that_is_away_is_no_reason_for_the_key_of_everybody(store: Store, keys: StoredKeys) -> None:
    store.away = True
    kind, retryable, _ = await error_of(keys)
    assert (kind, retryable) == ("storage_unavailable", True)
    store.away = False
    store.put("ada", "sk-of-ada")
    assert await keys.resolve(ADA, "openai") == "sk-of-ada"


async def test_what_goes_on_while_the_database_is_away_keeps_its_key(
    store: Store, keys: StoredKeys, clock: Clock
) -> None:
    store.put("ada", "sk-of-ada")
    await keys.resolve(ADA, "openai")
    store.away = True
    clock.now += 10 * FRESH_SECONDS
    assert await keys.resolve(ADA, "openai") == "sk-of-ada"


async def test_without_a_master_key_the_database_is_asked_only_if_there_are_keys(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    keys = StoredKeys(store, KeyVault(), pool, shared=SHARED)
    keys.look()
    assert await keys.resolve(ADA, "openai") == "sk-of-everybody"
    assert store.reads == 1
    store.put("ada", "sk-of-ada")
    keys.look()
    assert (await error_of(keys))[0] == "invalid_key"
    assert await keys.resolve(EVE, "openai") == "sk-of-everybody"


async def test_it_is_known_who_has_a_key(store: Store, pool: ThreadPoolExecutor) -> None:
    keys = StoredKeys(store, VAULT, pool, shared=NONE)
    store.put("ada", "sk-of-ada")
    assert await keys.has_key(ADA, "openai") is True
    assert await keys.has_key(EVE, "openai") is False
    store.away = True
    assert await keys.has_key(ADA, "openai") is True
    assert await keys.has_key(ExecutionUser("bob"), "openai") is None


async def test_what_is_kept_is_bounded(keys: StoredKeys) -> None:
    for number in range(KEPT + 5):
        await keys.resolve(ExecutionUser(f"u{number}"), "local")
    assert keys.figures()["kept"] == KEPT


async def test_key_is_in_no_repr(store: Store, keys: StoredKeys) -> None:
    store.put("ada", "sk-of-ada")
    await keys.resolve(ADA, "openai")
    assert "sk-of-ada" not in repr(vars(keys))
