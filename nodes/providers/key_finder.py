"""How nodes get at keys: through whichever resolver there is, and nobody hears a key afterwards. Stores none."""

from __future__ import annotations

from dataclasses import replace

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers.keys import KEYLESS, EnvironmentKeys
from offbook.nodes.providers.protocol import KeyResolver, KeySource, Provider
from offbook.nodes.providers.secrets import Secrets
from offbook.workflows.values import ExecutionUser


class KeyFinder:
    """Asks a resolver at each call, remembers what must not be shown, says where a missing key should come from."""

    def __init__(self, resolver: KeyResolver, *, is_default: bool = False) -> None:
        """`is_default`: nobody chose this resolver, so an engine may put its own before it."""
        self.is_default = is_default
        self.secrets = Secrets()
        self.use(resolver)

    @property
    def resolver(self) -> KeyResolver:
        return self._resolver

    def use(self, resolver: KeyResolver) -> None:
        """Ask this resolver from now on."""
        self._resolver = resolver
        self._source = resolver if isinstance(resolver, KeySource) else None
        if isinstance(resolver, EnvironmentKeys):
            self.secrets.watch(resolver.values)

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        """Return the key of a user for a provider; None if there is none."""
        if provider in KEYLESS:
            return None
        key = await self._resolver.resolve(user, provider)
        if key:
            self.secrets.remember(key)
        return key

    async def key_for(self, user: ExecutionUser | None, provider: Provider) -> str | None:
        """Return the key for a call; NodeFailure `invalid_key` if the provider requires one and there is none."""
        key = await self.resolve(user, provider.name)
        if key is None and provider.requires_key:
            whose = f" for the user {user.id}" if user else ""
            message = f"there is no key for the provider {provider.name}{whose}"
            raise NodeFailure.of("invalid_key", message, hint=self.where(user, provider.name))
        return key

    async def is_missing(self, user: ExecutionUser | None, provider: str) -> bool:
        """Say whether it is known that there is no key."""
        return self._source is not None and await self._source.has_key(user, provider) is False

    def refused(self, user: ExecutionUser | None, provider: str, failure: NodeFailure) -> NodeFailure:
        """Note that the provider refused the key that it was called with; return the failure with what to do."""
        if self._source is not None:
            self._source.refused(user, provider)
        hint = f"the key was refused; {self.where(user, provider)}"
        return NodeFailure(replace(failure.error, hint=hint), partial=failure.partial)

    def where(self, user: ExecutionUser | None, provider: str) -> str:
        """Say where a key should come from."""
        if self._source is None:
            return "the application that runs this worker keeps the keys: set it there"
        return self._source.where(user, provider)
