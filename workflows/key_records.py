"""What is kept of provider keys, sealed, and the protocol of who reads them. Never holds a key that can be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PutKey:
    """Write: this is the user's key for a provider from now on."""

    user_id: str
    provider: str
    ciphertext: bytes = field(repr=False)
    created_at: float
    replaces: bytes | None = field(default=None, repr=False)
    """Only in place of this one; refused (not applied) if another is stored, or none. None: whatever is stored."""


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """Write: forget the user's key for a provider; not applied if there is none."""

    user_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """That a user has a key for a provider."""

    user_id: str
    provider: str
    created_at: float


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key as it is stored."""

    user_id: str
    provider: str
    created_at: float
    ciphertext: bytes = field(repr=False)


class KeyReader(Protocol):
    """Answers questions about stored keys, each in one read transaction; callable from several threads."""

    def provider_key(self, user_id: str, provider: str) -> bytes | None:
        """Return the sealed key of a user for a provider; None if there is none."""
        ...

    def provider_keys(self, user_id: str) -> list[KeyRow]:
        """Return which keys a user has, by provider."""
        ...

    def sealed_keys(self, *, after: tuple[str, str] | None, limit: int) -> list[SealedKey]:
        """Return keys of all users, strictly after the cursor `(user_id, provider)`, in an order of its own."""
        ...
