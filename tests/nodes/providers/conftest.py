"""A model server, and the provider that speaks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from offbook.nodes.providers import OpenAIProvider, ProviderSettings
from tests.nodes.providers.model_server import ModelServer, serve


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with serve() as served:
        yield served


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[OpenAIProvider]:
    opened = OpenAIProvider(ProviderSettings(name="fake", base_url=f"{server.url}/v1"))
    yield opened
    await opened.close()
