"""What every model provider understands: a request, an answer, and how they are exchanged. Calls nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from offbook.nodes.providers.script import Script
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, Usage


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str = field(repr=False)


OnText = Callable[[str], None]
OnUsage = Callable[[Usage], None]


def ignore_text(text: str) -> None:
    """Do nothing with a piece of text."""


def ignore_usage(usage: Usage) -> None:
    """Do nothing with figures."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. Neither key nor prompt is in its repr."""

    model: str
    """The provider's name for it, without the provider."""
    messages: tuple[Message, ...] = field(repr=False)
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    options: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)
    """Further fields for the provider, as they are: `repeat_penalty`, `seed`, ..."""
    api_key: str | None = field(default=None, repr=False)
    idempotency_key: str | None = None
    """The same for each repeat of one attempt."""
    script: Script | None = field(default=None, repr=False)
    """What the scripted provider does; nothing to others."""
    json_schema: JsonObject | None = field(default=None, repr=False)
    """What the answer must fit; for providers that can see to it themselves."""
    item: int | None = None
    attempt: int = 1
    on_usage: OnUsage = field(default=ignore_usage, repr=False, compare=False)
    """Hears the provider's own figures of what the call has used so far: they count if it breaks off."""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model answered."""

    text: str = field(repr=False)
    usage: Usage | None
    """The provider's own figures; None if it gave none."""
    finish_reason: str | None
    """`stop`, `length`, ... in the provider's words."""
    model: str
    """Which model answered, in the provider's words."""


class Provider(Protocol):
    """A service that runs models."""

    @property
    def name(self) -> str: ...

    @property
    def requires_key(self) -> bool: ...

    async def complete(self, request: ModelRequest, on_text: OnText, on_thought: OnText = ignore_text) -> ModelAnswer:
        """Call the model; hand over each piece of the answer, and of what it thinks, as it arrives.

        NodeFailure says what went wrong, without key or prompt. When cancelled, the connection is closed.
        """
        ...

    async def close(self) -> None:
        """Close connections; may be called more than once."""
        ...


class KeyResolver(Protocol):
    """Finds the key that a request is made with."""

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        """Return the key of this user for this provider; None if there is none."""
        ...


@runtime_checkable
class KeySource(KeyResolver, Protocol):
    """A resolver that knows more of the keys it finds. Any resolver may be one; none has to."""

    async def has_key(self, user: ExecutionUser | None, provider: str) -> bool | None:
        """Say at acceptance whether there is a key; None if that is not known. On the control loop: never block."""
        ...

    def where(self, user: ExecutionUser | None, provider: str) -> str:
        """Say what somebody is to do whose key is missing or was refused."""
        ...

    def refused(self, user: ExecutionUser | None, provider: str) -> None:
        """Hear that the provider refused the key: one that is kept may not be the newest."""
        ...
