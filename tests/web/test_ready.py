"""A status that is written in one piece is the response that aiohttp would have written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from offbook.workflows.values import ExecutionUser
from tests.web.dummy_service import DummyExecution, DummyService

ID = "0123456789abcdef" * 2

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def service() -> DummyService:
    service = DummyService()
    service.executions[ID] = DummyExecution(ID, ExecutionUser("ada"), "novella", {}, {}, None)
    return service


@pytest.fixture
async def url(service: DummyService) -> AsyncIterator[str]:
    async with serve_app(create_app(service)) as url:
        yield url


async def connect(url: str) -> Streams:
    return await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)


def request(*headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} /status/{ID} HTTP/{version}", "Host: localhost", *headers, "", ""]).encode()


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    return line, dict(each.split(": ", 1) for each in rest)


@pytest.mark.parametrize(
    ("other", "connection"),
    [(request("Connection: close"), "close"), (request("Connection: keep-alive", version="1.0"), "keep-alive")],
    ids=["to be closed", "HTTP/1.0"],
)
async def test_one_piece_says_what_aiohttp_says(url: str, other: bytes, connection: str) -> None:
    answers = []
    for text in (request(), other):
        reader, writer = await connect(url)
        writer.write(text)
        line, headers = await read_head(reader)
        body = await reader.readexactly(int(headers["Content-Length"]))
        writer.close()
        assert headers.pop("Date").endswith("GMT")
        answers.append((line.removeprefix("HTTP/1.0 ").removeprefix("HTTP/1.1 "), headers, body))
    assert answers[1][1].pop("Connection") == connection
    assert answers[0] == answers[1]


async def test_connection_serves_on_after_one_piece(url: str) -> None:
    reader, writer = await connect(url)
    writer.write(request() + request(method="HEAD") + request())
    for has_body in (True, False, True):
        line, headers = await read_head(reader)
        assert line == "HTTP/1.1 200 OK"
        size = int(headers["Content-Length"])
        assert size > 500
        if has_body:
            assert ID.encode() in await reader.readexactly(size)
    writer.close()


async def test_connection_that_is_to_be_closed_is_closed(url: str) -> None:
    reader, writer = await connect(url)
    writer.write(request("Connection: close"))
    assert ID.encode() in await reader.read()
    writer.close()


async def test_pages_of_allowed_origins_may_read_it(service: DummyService) -> None:
    settings = WebSettings(cors_origins=("https://app.example.com",))
    async with serve_app(create_app(service, settings)) as url:
        reader, writer = await connect(url)
        writer.write(request("Origin: https://app.example.com"))
        _, headers = await read_head(reader)
        writer.close()
    assert headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert headers["Vary"] == "Origin"


async def test_client_that_does_not_read_yet_gets_everything(service: DummyService, url: str) -> None:
    service.executions[ID].labels["long"] = "x" * 300_000
    reader, writer = await connect(url)
    for _ in range(30):
        writer.write(request())
    for _ in range(30):
        _, headers = await read_head(reader)
        await reader.readexactly(int(headers["Content-Length"]))
    writer.close()
