"""Clients of the application in front of a dummy service, over a real socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from offbook.web.app import create_app
from offbook.web.settings import WebSettings
from tests.web.dummy_service import DummyService

Client = TestClient[web.Request, web.Application]
Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def service() -> DummyService:
    return DummyService()


@pytest.fixture
def connect(aiohttp_client: Connect, service: DummyService) -> Connect:
    """Give `await connect(internal_token=..., ...)`: a client of an application with these settings."""

    async def open_client(**settings: object) -> Client:
        return await aiohttp_client(create_app(service, WebSettings(**settings)))  # type: ignore[arg-type]

    return open_client


@pytest.fixture
async def client(connect: Connect) -> Client:
    return await connect()
