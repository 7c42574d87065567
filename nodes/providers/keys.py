"""Provider keys from environment variables, one per provider for all users. Keeps none of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from offbook.workflows.values import ExecutionUser

VARIABLE_PREFIX = "OFFBOOK_KEY_"
KEYLESS = frozenset({"scripted"})
"""Providers that are no service: nobody has a key for them, and nobody looks for one."""


def key_variable(provider: str) -> str:
    """Name the variable of a provider's key: OFFBOOK_KEY_<PROVIDER>."""
    return f"{VARIABLE_PREFIX}{provider.upper().replace('-', '_')}"


class EnvironmentKeys:
    """Reads a provider's key at each request, so that a changed one is used at once."""

    def __init__(
        self, variables: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Take other variable names, by provider, than OFFBOOK_KEY_<PROVIDER>."""
        self._variables = dict(variables or {})
        self._environment = os.environ if environment is None else environment

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        return self.find(provider)

    async def has_key(self, user: ExecutionUser | None, provider: str) -> bool:
        return self.find(provider) is not None

    def where(self, user: ExecutionUser | None, provider: str) -> str:
        return f"set {self._variable(provider)}"

    def refused(self, user: ExecutionUser | None, provider: str) -> None:
        """Do nothing: a changed variable is seen without being told."""

    def find(self, provider: str) -> str | None:
        """Return the key of a provider; None if its variable is not set."""
        return self._environment.get(self._variable(provider), "").strip() or None

    def values(self) -> Iterable[str]:
        """Return every key that there is."""
        named = set(self._variables.values())
        found = [
            text.strip()
            for name, text in self._environment.items()
            if name.startswith(VARIABLE_PREFIX) or name in named
        ]
        return [text for text in found if text]

    def _variable(self, provider: str) -> str:
        return self._variables.get(provider) or key_variable(provider)
