"""Requests to providers, and what came back piece by piece. Knows no provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers import Message, ModelAnswer, ModelRequest, Provider
from offbook.workflows.values import NodeError

PROMPT = "Tell me of the lighthouse keeper who counted ships."


def request(prompt: str = PROMPT, **more: Any) -> ModelRequest:
    return ModelRequest(**{"model": "writer", "messages": (Message("user", prompt),), **more})


class Hearing:
    """One call of a provider: its answer, and the pieces in which text and thoughts came."""

    def __init__(self, on_piece: Callable[[str], None] = lambda piece: None) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self._on_piece = on_piece

    async def ask(self, provider: Provider, asked: ModelRequest | None = None) -> ModelAnswer:
        return await provider.complete(asked or request(), self._on_text, self.thoughts.append)

    async def refused(self, provider: Provider, asked: ModelRequest | None = None) -> NodeError:
        """Ask, and return the error that it must end in."""
        return (await self.failure(provider, asked)).error

    async def failure(self, provider: Provider, asked: ModelRequest | None = None) -> NodeFailure:
        with pytest.raises(NodeFailure) as caught:
            await self.ask(provider, asked)
        return caught.value

    def _on_text(self, piece: str) -> None:
        self.texts.append(piece)
        self._on_piece(piece)
