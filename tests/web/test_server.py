"""Serving on real sockets: where, and how it ends."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from offbook.web.app import create_app
from offbook.web.server import SHUTDOWN_SECONDS, CannotListen, serve_app, url_of
from tests.web.dummy_service import EPOCH, DummyService


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_free_port_is_told_as_url_and_given_back(host: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with serve_app(create_app(DummyService()), host, 0) as url, session.get(f"{url}/healthz") as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/healthz")


async def test_long_poll_does_not_hold_the_server_up(service: DummyService) -> None:
    execution = service.add()
    async with aiohttp.ClientSession() as session:
        async with serve_app(create_app(service)) as url:
            poll = asyncio.create_task(
                session.get(f"{url}/status/{execution.execution_id}?since={2 * EPOCH}&wait=60")
            )
            await service.asked.wait()
            began = time.monotonic()
        assert time.monotonic() - began < 2 * SHUTDOWN_SECONDS + 5
        with pytest.raises(aiohttp.ClientError):
            await poll


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("example.com", "http://example.com:80")],
)
def test_url_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert url_of(host, 80) == url


async def test_port_that_is_taken_is_told(service: DummyService) -> None:
    async with serve_app(create_app(service)) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(CannotListen, match=f"port {port}"):
            async with serve_app(create_app(service), "127.0.0.1", port):
                pass
