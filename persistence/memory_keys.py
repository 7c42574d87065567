"""Sealed provider keys in memory, as `sql_keys` keeps them in a database. Locks and counts nothing."""

from __future__ import annotations

from offbook.workflows.key_records import DeleteKey, KeyRow, PutKey, SealedKey


class MemoryKeys:
    """Keys by user and provider."""

    def __init__(self) -> None:
        self._sealed: dict[tuple[str, str], SealedKey] = {}

    def apply(self, write: PutKey | DeleteKey) -> bool:
        """Apply a write; return whether anything was there for it to apply to."""
        place = (write.user_id, write.provider)
        before = self._sealed.get(place)
        if isinstance(write, DeleteKey):
            return self._sealed.pop(place, None) is not None
        created_at = write.created_at
        if write.replaces is not None:
            if before is None or before.ciphertext != write.replaces:
                return False
            created_at = before.created_at
        self._sealed[place] = SealedKey(*place, created_at, write.ciphertext)
        return True

    def find(self, user_id: str, provider: str) -> bytes | None:
        sealed = self._sealed.get((user_id, provider))
        return sealed.ciphertext if sealed is not None else None

    def of_user(self, user_id: str) -> list[KeyRow]:
        """Return which keys a user has, by provider."""
        return [
            KeyRow(each.user_id, each.provider, each.created_at)
            for place, each in sorted(self._sealed.items())
            if place[0] == user_id
        ]

    def page(self, after: tuple[str, str] | None, limit: int) -> list[SealedKey]:
        """Return some of the keys of all users, after a cursor."""
        places = sorted(place for place in self._sealed if after is None or place > after)
        return [self._sealed[place] for place in places[:limit]]
