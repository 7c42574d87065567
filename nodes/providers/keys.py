"""Provider keys from environment variables, one per provider for all users. Keeps none of them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from offbook.workflows.values import ExecutionUser


def key_variable(provider: str) -> str:
    """Name the variable of a provider's key: OFFBOOK_KEY_<PROVIDER>."""
    return f"OFFBOOK_KEY_{provider.upper().replace('-', '_')}"


class EnvironmentKeys:
    """Reads a provider's key at each request, so that a changed one is used at once."""

    def __init__(
        self, variables: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Take other variable names, by provider, than OFFBOOK_KEY_<PROVIDER>."""
        self._variables = dict(variables or {})
        self._environment = os.environ if environment is None else environment

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        variable = self._variables.get(provider) or key_variable(provider)
        return self._environment.get(variable, "").strip() or None
