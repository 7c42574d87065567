"""Serving on real sockets: where, and how it ends."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from offbook.web.app import create_app
from offbook.web.server import CannotListen, serve_app, url_of
from offbook.web.settings import WebSettings
from offbook.workflows.caller import Caller
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
        # Long before it would have been answered.
        assert time.monotonic() - began < 30
        with pytest.raises(aiohttp.ClientError):
            await poll


class Slow(DummyService):
    """Takes its time with what changes something."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def cancel(self, execution_id: str, *, caller: Caller) -> None:
        self.begun.set()
        await self.go_on.wait()
        await super().cancel(execution_id, caller=caller)
        self.done.set()


async def free(session: aiohttp.ClientSession, url: str) -> None:
    """Wait until a server that handles one request at a time handles another."""
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{url}/healthz") as response:
                if response.status == 200:
                    return


async def test_long_poll_ends_with_the_client_that_goes_away(service: DummyService) -> None:
    execution = service.add()
    app = create_app(service, WebSettings(max_concurrent_requests=1))
    async with serve_app(app) as url, aiohttp.ClientSession() as session:
        poll = asyncio.create_task(session.get(f"{url}/status/{execution.execution_id}?since={2 * EPOCH}&wait=60"))
        await service.asked.wait()
        async with session.get(f"{url}/healthz") as refused:
            assert refused.status == 429
        poll.cancel()
        await free(session, url)


async def test_what_was_begun_is_seen_through_when_the_client_goes_away() -> None:
    service = Slow()
    execution = service.add()
    app = create_app(service, WebSettings(max_concurrent_requests=1))
    async with serve_app(app) as url, aiohttp.ClientSession() as session:
        request = asyncio.create_task(session.post(f"{url}/executions/{execution.execution_id}/cancel"))
        await service.begun.wait()
        request.cancel()
        await free(session, url)
        assert execution.status == "running"
        service.go_on.set()
        async with asyncio.timeout(60):
            await service.done.wait()
    assert execution.status == "cancelled"


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
