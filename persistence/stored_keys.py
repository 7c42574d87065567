"""Keys of users as nodes ask for them: from a cache, else from the database, else whoever is asked after it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from loguru import logger

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers.keys import EnvironmentKeys
from offbook.persistence.key_vault import KeyVault
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.key_errors import KeyUnreadable
from offbook.workflows.key_records import KeyReader
from offbook.workflows.values import ExecutionUser, JsonObject

FRESH_SECONDS = 30.0
"""How long a key that another process changed may be used here all the same."""
KEPT = 10_000
"""Users and providers whose keys, or that they have none, are kept in memory at most."""

Place = tuple[str, str]
"""A user and a provider."""


@dataclass(frozen=True, slots=True)
class _Kept:
    key: str | None = field(repr=False)
    readable: bool
    until: float


class _Reading:
    """A read under way; those who ask meanwhile wait for the same."""

    future: Future[_Kept]


class StoredKeys:
    """Implements `KeySource`. Callable from the loops of nodes and of control; reads on a pool of threads."""

    def __init__(
        self,
        reader: KeyReader,
        vault: KeyVault,
        pool: Executor,
        *,
        shared: EnvironmentKeys | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared`: the operator's keys, for users who have none of their own; None: there are none for them."""
        self._reader = reader
        self._vault = vault
        self._pool = pool
        self._shared = shared
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[Place, _Kept] = OrderedDict()
        self._reading: dict[Place, _Reading] = {}
        self._reads = 0
        self._looks = vault.has_master
        """Whether there may be stored keys."""

    def look(self) -> None:
        """See, where there is no master key, whether there are keys that need one. Blocks: for a thread."""
        if not self._looks and self._reader.sealed_keys(after=None, limit=1):
            self._looks = True
            logger.warning("keys are stored, and there is no master key to open them: set OFFBOOK_MASTER_KEY")

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        """Return the user's own key, or the operator's.

        NodeFailure `invalid_key` if the user's cannot be opened, `storage_unavailable` if it cannot be read now:
        neither is a reason to let the user use the operator's.
        """
        if user is not None and self._looks:
            kept = await self._find((user.id, provider))
            if not kept.readable:
                unreadable = KeyUnreadable(user.id, provider)
                raise NodeFailure.of("invalid_key", str(unreadable), hint=_store_it(user, provider))
            if kept.key is not None:
                return kept.key
        return self._shared.find(provider) if self._shared is not None else None

    async def has_key(self, user: ExecutionUser | None, provider: str) -> bool | None:
        """Say whether the user, or everybody, has a key; None if that cannot be read now."""
        if self._shared is not None and self._shared.find(provider) is not None:
            return True
        if user is None or not self._looks:
            return False
        try:
            # One that cannot be opened is there, and its own error says more.
            return (kept := await self._find((user.id, provider))).key is not None or not kept.readable
        except NodeFailure:
            return None

    def where(self, user: ExecutionUser | None, provider: str) -> str:
        everybody = f"for everybody: {self._shared.where(user, provider)}" if self._shared is not None else ""
        if user is None or not self._vault.has_master:
            return everybody or "set OFFBOOK_MASTER_KEY, so that keys of users can be stored"
        return f"{_store_it(user, provider)}; {everybody}" if everybody else _store_it(user, provider)

    def refused(self, user: ExecutionUser | None, provider: str) -> None:
        if user is not None:
            self.forget(user.id, provider)

    def forget(self, user_id: str, provider: str) -> None:
        """Read this key anew when it is asked for next: it was changed. From any thread."""
        with self._lock:
            self._kept.pop((user_id, provider), None)
            # What is being read now may be what was there before.
            self._reading.pop((user_id, provider), None)

    def figures(self) -> JsonObject:
        """Return how often the database was read, and how much is kept."""
        return {"reads": self._reads, "kept": len(self._kept)}

    async def _find(self, place: Place) -> _Kept:
        with self._lock:
            kept = self._kept.get(place)
            if kept is not None:
                self._kept.move_to_end(place)
                if self._monotonic() < kept.until:
                    return kept
            try:
                future = self._begin(place)
            except RuntimeError:
                raise _away(place) from None
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except StorageUnavailable as away:
            if kept is None:
                logger.warning("key cannot be read", user_id=place[0], provider=place[1], why=away.detail)
                raise _away(place) from None
            # What goes on while the database is away goes on with the key that it had.
            return kept

    def _begin(self, place: Place) -> Future[_Kept]:
        reading = self._reading.get(place)
        if reading is None:
            reading = self._reading[place] = _Reading()
            reading.future = self._pool.submit(self._read, place, reading)
        return reading.future

    def _read(self, place: Place, reading: _Reading) -> _Kept:
        found: _Kept | None = None
        try:
            found = self._load(place)
        finally:
            with self._lock:
                self._reads += 1
                if self._reading.get(place) is reading:
                    del self._reading[place]
                    if found is not None:
                        self._keep(place, found)
        return found

    def _load(self, place: Place) -> _Kept:
        sealed = self._reader.provider_key(*place)
        key, readable = None, True
        if sealed is not None:
            try:
                key = self._vault.open(*place, sealed)
            except KeyUnreadable:
                readable = False
                logger.warning("stored key opens with no master key", user_id=place[0], provider=place[1])
        return _Kept(key, readable, self._monotonic() + FRESH_SECONDS)

    def _keep(self, place: Place, found: _Kept) -> None:
        self._kept[place] = found
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _store_it(user: ExecutionUser, provider: str) -> str:
    return (
        f"store a key of {user.id}: PUT /users/{user.id}/keys/{provider}, or `offbook keys set {provider} "
        f"--user {user.id}`"
    )


def _away(place: Place) -> NodeFailure:
    message = f"the key of the user {place[0]} for the provider {place[1]} cannot be read now"
    return NodeFailure.of("storage_unavailable", message, retryable=True, hint="the database is away: try again")
