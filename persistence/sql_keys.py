"""Sealed provider keys as SQL: what a batch does to them, and what is asked of them. Opens and seals none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, and_, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from offbook.persistence.tables import provider_keys
from offbook.workflows.key_records import DeleteKey, KeyRow, PutKey, SealedKey
from offbook.workflows.records import WriteResult

_THIS = and_(provider_keys.c.user_id == bindparam("of"), provider_keys.c.provider == bindparam("at"))
_DELETE = delete(provider_keys).where(_THIS)
_REPLACE = (
    update(provider_keys)
    .where(_THIS, provider_keys.c.ciphertext == bindparam("before"))
    .values(ciphertext=bindparam("after"))
)
NOT_APPLIED = WriteResult(applied=False)


class KeyWrites:
    """Stores, replaces and forgets keys within somebody's transaction."""

    def __init__(self, dialect: Dialect) -> None:
        put = (sqlite if dialect.name == "sqlite" else postgresql).insert(provider_keys)
        changed = {name: put.excluded[name] for name in ("ciphertext", "created_at")}
        self._put = put.on_conflict_do_update(index_elements=["user_id", "provider"], set_=changed)

    def apply(
        self, connection: Connection, writes: Sequence[tuple[int, PutKey | DeleteKey]], results: list[WriteResult]
    ) -> None:
        """Apply writes of which no two are of one key; note those that were not applied."""
        for place, write in writes:
            if not self._applied(connection, write):
                results[place] = NOT_APPLIED

    def _applied(self, connection: Connection, write: PutKey | DeleteKey) -> bool:
        this: dict[str, Any] = {"of": write.user_id, "at": write.provider}
        if isinstance(write, DeleteKey):
            return bool(connection.execute(_DELETE, this).rowcount)
        if write.replaces is not None:
            row = {**this, "before": write.replaces, "after": write.ciphertext}
            return bool(connection.execute(_REPLACE, row).rowcount)
        columns = ("user_id", "provider", "ciphertext", "created_at")
        connection.execute(self._put, {name: getattr(write, name) for name in columns})
        return True


def read_key(connection: Connection, user_id: str, provider: str) -> bytes | None:
    """Return the sealed key of a user for a provider."""
    found = connection.execute(select(provider_keys.c.ciphertext).where(_THIS), {"of": user_id, "at": provider})
    sealed = found.scalar()
    return bytes(sealed) if sealed is not None else None


def read_keys(connection: Connection, user_id: str) -> list[KeyRow]:
    """Return which keys a user has, by provider."""
    columns = (provider_keys.c.user_id, provider_keys.c.provider, provider_keys.c.created_at)
    rows = connection.execute(select(*columns).where(provider_keys.c.user_id == user_id))
    return sorted((KeyRow(*row) for row in rows), key=lambda row: row.provider)


def read_sealed_keys(connection: Connection, after: tuple[str, str] | None, limit: int) -> list[SealedKey]:
    """Return a page of the stored keys of all users."""
    user_id, provider = provider_keys.c.user_id, provider_keys.c.provider
    query = select(user_id, provider, provider_keys.c.created_at, provider_keys.c.ciphertext)
    if after is not None:
        query = query.where(or_(user_id > after[0], and_(user_id == after[0], provider > after[1])))
    rows = connection.execute(query.order_by(user_id, provider).limit(limit))
    return [SealedKey(row.user_id, row.provider, row.created_at, bytes(row.ciphertext)) for row in rows]
