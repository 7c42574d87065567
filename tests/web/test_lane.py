"""The short way to a status says what the usual way says, and leaves everything else to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from pykka import ActorDeadError

from offbook.actors.loop import LoopFuture
from offbook.web.app import STATUS_LANE, create_app
from offbook.web.lane import IDLE_SWEEPS, StatusLane
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from offbook.workflows.caller import Caller
from offbook.workflows.values import ExecutionUser
from tests.web.dummy_service import DummyAnswer, DummyExecution, DummyService

ID = "0123456789abcdef" * 2
BODY = b'{"status":"running"}'


class LiveDummy(DummyService):
    """A service that has executions in memory, which answer at once or when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_live: list[str] = []
        self.futures: list[LoopFuture] = []
        self.answers_at_once = True
        self.came = asyncio.Event()
        self.body = BODY

    def live_status(self, execution_id: str, caller: Caller) -> LoopFuture | None:
        execution = self.executions.get(execution_id)
        if execution is None or not caller.may_see(execution.user.id):
            return None
        self.asked_live.append(execution_id)
        future = LoopFuture()
        self.futures.append(future)
        self.came.set()
        if self.answers_at_once:
            future.set(DummyAnswer(self.body, execution.revision))
        return future


@pytest.fixture
def live() -> LiveDummy:
    service = LiveDummy()
    service.executions[ID] = DummyExecution(ID, ExecutionUser("ada"), "novella", {}, {}, None)
    return service


@dataclass
class Client:
    """A connection on which a test writes bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lane: StatusLane

    def send(self, text: str) -> None:
        self.writer.write(text.encode())

    async def answer(self) -> tuple[str, dict[str, str], bytes]:
        """Return status line, headers and body of the next response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = dict(each.split(": ", 1) for each in rest)
        return line, headers, await self.reader.readexactly(int(headers.get("Content-Length", 0)))


@asynccontextmanager
async def connected(service: DummyService, **settings: object) -> AsyncIterator[Client]:
    app = create_app(service, WebSettings(**settings))  # type: ignore[arg-type]
    async with serve_app(app) as url:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        yield Client(reader, writer, app[STATUS_LANE])
        writer.close()
        await writer.wait_closed()


def request(*headers: str, path: str = f"/status/{ID}", method: str = "GET", version: str = "1.1") -> str:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""])


async def test_answer_has_the_head_that_the_usual_way_gives(live: LiveDummy) -> None:
    async with connected(live) as client:
        client.send(request())
        short = await client.answer()
        assert live.asked_live == [ID]
        client.send(request("X-Other: makes it a request for the usual way"))
        usual = await client.answer()
        assert live.asked_live == [ID]
    assert short[0] == usual[0] == "HTTP/1.1 200 OK"
    assert short[2] == BODY
    for headers in (short[1], usual[1]):
        del headers["Date"], headers["Content-Length"]
    assert short[1] == usual[1]


async def test_connection_that_asks_for_something_else_is_served_on(live: LiveDummy) -> None:
    async with connected(live) as client:
        client.send(request())
        await client.answer()
        assert len(client.lane.connections) == 1
        client.send(request(path="/healthz"))
        assert (await client.answer())[0] == "HTTP/1.1 200 OK"
        assert not client.lane.connections
        client.send(request())
        assert ID.encode() in (await client.answer())[2]
        assert live.asked_live == [ID]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (request(path=f"/status/{'f' * 32}"), "HTTP/1.1 404 Not Found"),
        (request(path=f"/status/{ID}?since=3"), "HTTP/1.1 200 OK"),
        (request(path=f"/status/{ID[:-1]}\udcff"), "HTTP/1.0 400 Bad Request"),
        (request("X-Offbook-User: eve"), "HTTP/1.1 404 Not Found"),
        (request("X-Offbook-User: "), "HTTP/1.1 401 Unauthorized"),
        (request("X-Offbook-User: ada", "X-Offbook-User: ada"), "HTTP/1.1 401 Unauthorized"),
        (request().replace("Host: localhost", "Host: elsewhere.example"), "HTTP/1.1 421 Misdirected Request"),
        (request('If-None-Match: "4294967297"'), "HTTP/1.1 304 Not Modified"),
        (request("Connection: close"), "HTTP/1.1 200 OK"),
        (request("Content-Length: 0"), "HTTP/1.1 200 OK"),
        (request(method="HEAD"), "HTTP/1.1 200 OK"),
        (request(version="1.0"), "HTTP/1.0 200 OK"),
        (request("Accept: a", " folded"), "HTTP/1.0 400 Bad Request"),
        (request("no colon"), "HTTP/1.0 400 Bad Request"),
    ],
)
async def test_what_is_not_a_plain_request_goes_the_usual_way(live: LiveDummy, text: str, line: str) -> None:
    async with connected(live) as client:
        client.writer.write(text.encode("utf-8", "surrogateescape"))
        assert (await client.reader.readline()).decode().strip() == line
        assert not client.lane.connections
    assert not live.asked_live


async def test_user_sees_their_own_execution_only(live: LiveDummy) -> None:
    async with connected(live) as client:
        client.send(request("X-Offbook-User: ada"))
        assert (await client.answer())[2] == BODY
        client.send(request("X-Offbook-User: eve"))
        assert (await client.answer())[0] == "HTTP/1.1 404 Not Found"


async def test_token_is_asked_for_each_time(live: LiveDummy) -> None:
    async with connected(live, internal_token="sesame") as client:
        for header in ("X-Internal-Auth: sesame", "Authorization: Bearer sesame"):
            client.send(request(header))
            assert (await client.answer())[2] == BODY
        assert len(live.asked_live) == 2
        client.send(request("X-Internal-Auth: simsim"))
        assert (await client.answer())[0] == "HTTP/1.1 401 Unauthorized"
        client.send(request())
        assert (await client.answer())[0] == "HTTP/1.1 401 Unauthorized"
    assert len(live.asked_live) == 2


async def test_requests_that_come_before_the_answer_are_answered_in_order(live: LiveDummy) -> None:
    live.answers_at_once = False
    async with connected(live) as client:
        client.send(request())
        await live.came.wait()
        client.send(request())
        client.send(request(path="/healthz"))
        await client.writer.drain()
        live.futures[0].set(DummyAnswer(BODY, 7))
        assert (await client.answer())[1]["Etag"] == '"7"'
        live.answers_at_once = True
        assert (await client.answer())[1]["Etag"] == '"4294967297"'
        assert b"ok" in (await client.answer())[2]


async def test_two_requests_in_one_packet_are_both_answered(live: LiveDummy) -> None:
    async with connected(live) as client:
        client.send(request() + request(path="/healthz"))
        assert (await client.answer())[0] == "HTTP/1.1 200 OK"
        assert b"ok" in (await client.answer())[2]


async def test_request_in_two_pieces_is_answered(live: LiveDummy) -> None:
    text = request()
    async with connected(live) as client:
        client.send(text[:60])
        # One that came later has its answer: the first piece has been seen.
        reader, writer = await asyncio.open_connection(*client.writer.get_extra_info("peername")[:2])
        writer.write(request(path="/healthz").encode())
        await reader.readuntil(b"ok")
        writer.close()
        assert not client.lane.connections
        client.send(text[60:])
        assert (await client.answer())[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("answer", [LoopFuture(), ActorDeadError("gone")], ids=["one to wait for", "a dead actor"])
async def test_what_has_no_plain_answer_is_asked_the_usual_way(live: LiveDummy, answer: object) -> None:
    live.answers_at_once = False
    async with connected(live) as client:
        client.send(request())
        await live.came.wait()
        if isinstance(answer, ActorDeadError):
            live.futures[0].set_exception((ActorDeadError, answer, None))
        else:
            live.futures[0].set(answer)
        line, _, body = await client.answer()
        assert line == "HTTP/1.1 200 OK"
        assert ID.encode() in body
        assert not client.lane.connections


async def test_idle_connections_are_closed_and_busy_ones_are_not(live: LiveDummy) -> None:
    async with connected(live) as client:
        client.send(request())
        await client.answer()
        for _ in range(IDLE_SWEEPS):
            client.lane.sweep()
            client.send(request())
            await client.answer()
        for _ in range(IDLE_SWEEPS + 1):
            client.lane.sweep()
        assert await client.reader.read() == b""


async def test_end_of_the_server_closes_connections_that_wait_for_nothing(live: LiveDummy) -> None:
    app = create_app(live)
    async with serve_app(app) as url:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        writer.write(request().encode())
        await reader.readuntil(BODY)
    assert await reader.read() == b""
    writer.close()


async def test_pages_of_other_origins_go_the_usual_way_always(live: LiveDummy) -> None:
    assert STATUS_LANE not in create_app(live, WebSettings(cors_origins=("https://app.example.com",)))


async def test_client_that_does_not_read_yet_gets_everything_in_order(live: LiveDummy) -> None:
    live.body = b'{"text":"' + b"x" * 500_000 + b'"}'
    async with connected(live) as client:
        for _ in range(40):
            client.send(request())
            await client.writer.drain()
        answers = [await client.answer() for _ in range(40)]
    assert {line for line, _, _ in answers} == {"HTTP/1.1 200 OK"}
