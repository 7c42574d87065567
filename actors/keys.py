"""Provider keys of users, for whoever may ask: stored sealed, listed without a part of them, sealed anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from loguru import logger

from offbook.actors.stored_write import store
from offbook.actors.surroundings import Surroundings
from offbook.nodes.providers.keys import KEYLESS
from offbook.nodes.providers.registry import ProviderRegistry
from offbook.persistence.key_vault import KeyVault
from offbook.persistence.stored_keys import StoredKeys
from offbook.workflows.caller import Caller
from offbook.workflows.errors import Forbidden, Problem, ValidationFailed
from offbook.workflows.key_errors import (
    KeyNotFound,
    KeysKeptElsewhere,
    KeyUnreadable,
    MasterKeyMissing,
    UserNotFound,
)
from offbook.workflows.key_records import DeleteKey, KeyReader, PutKey, SealedKey
from offbook.workflows.report import did_you_mean
from offbook.workflows.values import JsonObject, format_time

T = TypeVar("T")

LONGEST_USER = 200
LONGEST_KEY = 4096
RESEALED_AT_ONCE = 100


class KeyOperations:
    """What can be asked of a worker about keys. Users are asked about theirs, operators about anybody's."""

    def __init__(
        self,
        around: Surroundings,
        reader: KeyReader,
        pool: Executor,
        vault: KeyVault,
        keys: StoredKeys | None,
        providers: ProviderRegistry | None,
    ) -> None:
        """`keys`: the resolver whose cache these keys are in; None: nodes ask another, and no key is stored."""
        self._around = around
        self._reader = reader
        self._pool = pool
        self._vault = vault
        self._keys = keys
        self._providers = providers

    async def put(self, user_id: str, provider: str, key: str, *, caller: Caller) -> None:
        """Store a user's key for a provider in place of the one before; every call from here on is made with it.

        MasterKeyMissing if there is nothing to seal it with, ValidationFailed if it cannot be a key of that provider.
        """
        _check_caller(user_id, caller)
        keys = self._stored()
        if not self._vault.has_master:
            raise MasterKeyMissing
        problems = [*_user_problems(user_id), *self._provider_problems(provider), *_key_problems(key)]
        if problems:
            raise ValidationFailed(problems)
        sealed = self._vault.seal(user_id, provider, key.strip())
        await store(self._around, PutKey(user_id, provider, sealed, self._around.clock()))
        keys.forget(user_id, provider)
        _audit("key stored", user_id, provider, caller)

    async def delete(self, user_id: str, provider: str, *, caller: Caller) -> None:
        """Forget a user's key for a provider; KeyNotFound if there is none."""
        _check_caller(user_id, caller)
        keys = self._stored()
        found = await store(self._around, DeleteKey(user_id, provider))
        keys.forget(user_id, provider)
        if not found.applied:
            raise KeyNotFound(user_id, provider)
        _audit("key deleted", user_id, provider, caller)

    async def list_keys(self, user_id: str, *, caller: Caller) -> list[JsonObject]:
        """Return for which providers a user has keys, and since when."""
        _check_caller(user_id, caller)
        rows = await self._read(self._reader.provider_keys, user_id)
        return [{"provider": row.provider, "created_at": format_time(row.created_at)} for row in rows]

    async def rotate(self, *, caller: Caller) -> JsonObject:
        """Seal every stored key under the first master key; return how many, and which could not be opened."""
        if not caller.is_operator:
            raise Forbidden(None, "only an operator seals the keys of all users anew")
        if not self._vault.has_master:
            raise MasterKeyMissing
        resealed, unreadable = 0, []
        after: tuple[str, str] | None = None
        while page := await self._read_page(after):
            for each in page:
                try:
                    resealed += await self._reseal(each)
                except KeyUnreadable as refused:
                    unreadable.append({"user_id": refused.user_id, "provider": refused.provider})
            after = (page[-1].user_id, page[-1].provider)
        logger.bind(audit=True).info("keys sealed anew", resealed=resealed, unreadable=len(unreadable))
        return {"resealed": resealed, "unreadable": unreadable}

    def figures(self) -> JsonObject:
        """Return what the cache of keys costs: reads of the database are the worker's, and no execution's."""
        return self._keys.figures() if self._keys is not None else {"reads": 0, "kept": 0}

    async def _reseal(self, each: SealedKey) -> bool:
        """Seal one key anew, unless its user has changed it since it was read."""
        sealed = await self._read(self._vault.reseal, each.user_id, each.provider, each.ciphertext)
        write = PutKey(each.user_id, each.provider, sealed, each.created_at, each.ciphertext)
        return (await store(self._around, write)).applied

    def _stored(self) -> StoredKeys:
        if self._keys is None:
            raise KeysKeptElsewhere
        return self._keys

    def _provider_problems(self, provider: str) -> list[Problem]:
        known = [] if self._providers is None else [each for each in self._providers.names() if each not in KEYLESS]
        if provider in known:
            return []
        hint = did_you_mean(provider, known) or "OFFBOOK_PROVIDERS configures more"
        message = f"there is no provider {provider[:64]!r} that takes a key; known: {', '.join(known) or 'none'}"
        return [Problem("unknown-provider", message, "provider", hint=hint)]

    async def _read(self, question: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, question, *args)

    async def _read_page(self, after: tuple[str, str] | None) -> Any:
        def question() -> Any:
            return self._reader.sealed_keys(after=after, limit=RESEALED_AT_ONCE)

        return await self._read(question)


def _check_caller(user_id: str, caller: Caller) -> None:
    if not caller.may_see(user_id):
        raise UserNotFound(user_id)


def _user_problems(user_id: str) -> list[Problem]:
    if user_id.strip() and len(user_id) <= LONGEST_USER and user_id.isprintable():
        return []
    message = f"a user id has 1 to {LONGEST_USER} printable characters"
    return [Problem("bad-user", message, "user_id")]


def _key_problems(key: str) -> list[Problem]:
    """Say what is wrong with a key, without a word of it."""
    stripped = key.strip()
    if stripped and len(stripped) <= LONGEST_KEY and stripped.isascii() and stripped.isprintable():
        return []
    message = f"a key has 1 to {LONGEST_KEY} printable ASCII characters, and no line breaks"
    return [Problem("bad-key", message, "key")]


def _audit(what: str, user_id: str, provider: str, caller: Caller) -> None:
    by = "operator" if caller.is_operator else "user"
    logger.bind(audit=True).info(what, user_id=user_id, provider=provider, by=by)
