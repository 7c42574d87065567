"""The providers that a process can call, by name, and who finds the keys for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from offbook.nodes.node_type import source_of
from offbook.nodes.providers.key_finder import KeyFinder
from offbook.nodes.providers.keys import EnvironmentKeys
from offbook.nodes.providers.protocol import KeyResolver, Provider
from offbook.nodes.text import did_you_mean
from offbook.workflows.errors import OffbookError, Problem


class DuplicateProvider(OffbookError):
    """Two providers have one name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name = name
        super().__init__(f"the provider {name!r} is both {first} and {second}: rename or remove one")


class ProviderRegistry:
    """Providers by name."""

    def __init__(
        self,
        providers: Iterable[Provider] = (),
        keys: KeyResolver | None = None,
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Without `keys` they come from the environment; `variables` names those of providers that have their own."""
        self.keys = KeyFinder(EnvironmentKeys(variables) if keys is None else keys, is_default=keys is None)
        self._providers: dict[str, Provider] = {}
        for each in providers:
            self.register(each)

    def get(self, name: str) -> Provider | None:
        return self._providers.get(name)

    def names(self) -> Sequence[str]:
        return tuple(self._providers)

    def register(self, provider: Provider) -> None:
        """Add a provider; DuplicateProvider if its name is taken."""
        taken = self._providers.get(provider.name)
        if taken is not None:
            raise DuplicateProvider(provider.name, source_of(taken), source_of(provider))
        self._providers[provider.name] = provider

    def find(self, model: str) -> tuple[Provider, str] | Problem:
        """Split `provider/name` into the provider and its name for the model; a Problem says what is wrong."""
        provider_name, _, name = model.partition("/")
        if not model.strip():
            return Problem(
                "missing-model",
                "no model is chosen",
                path="model",
                hint=f"write it as provider/name; providers: {', '.join(self._providers)}",
            )
        if not provider_name or not name.strip():
            return Problem(
                "bad-model",
                f"{model!r} is not of the form provider/name",
                path="model",
                hint=f"providers: {', '.join(self._providers)}",
            )
        provider = self._providers.get(provider_name)
        if provider is None:
            return Problem(
                "unknown-provider",
                f"there is no provider {provider_name!r}; known: {', '.join(self._providers)}",
                path="model",
                hint=f"{did_you_mean(provider_name, self._providers)}; OFFBOOK_PROVIDERS configures more",
            )
        return provider, name

    async def close(self) -> None:
        """Close every provider, also if closing one of them fails."""
        async with AsyncExitStack() as stack:
            for provider in self._providers.values():
                stack.push_async_callback(provider.close)
