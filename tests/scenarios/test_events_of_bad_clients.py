"""Whoever listens badly, or not at all, harms nobody: neither the execution, nor those who listen beside them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from urllib.parse import urlsplit

import aiohttp
import pytest

from offbook.actors import event_ring
from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.web import event_stream
from offbook.workflows.caller import OPERATOR
from tests.scenarios.documents import approval, python, template, workflow
from tests.scenarios.listening import Listener, have_written, known, listen, listening, shown
from tests.scenarios.worker import PATIENCE, Worker

PIECE = "x" * 50_000
PIECES = 40
ALL_TOLD = "all told"


def talkative(functions: FunctionRegistry) -> threading.Event:
    """Register `talk`, which shows two megabytes, and ends when the event is set."""
    may_end = threading.Event()

    @functions.node
    async def talk(ctx: NodeContext) -> str:
        for _ in range(PIECES):
            ctx.text(PIECE)
            await asyncio.sleep(0.06)
        ctx.progress(0.9, ALL_TOLD)
        await asyncio.to_thread(may_end.wait, PATIENCE)
        return "done"

    return may_end


def has_heard_all(listener: Listener) -> bool:
    return any(ALL_TOLD in step["text"] for step in listener.state.steps.values())


async def deaf(worker: Worker, execution_id: str) -> tuple[socket.socket, bytes]:
    """Connect, read the first bytes, and no more."""
    loop = asyncio.get_running_loop()
    address = urlsplit(worker.url)
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_connect(connection, (address.hostname, address.port))
    request = f"GET /executions/{execution_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    await loop.sock_sendall(connection, request.encode())
    return connection, await loop.sock_recv(connection, 100)


async def read_to_the_end(connection: socket.socket) -> bytes:
    received = b""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionResetError):
        while chunk := await loop.sock_recv(connection, 65536):
            received += chunk
    return received


async def test_client_that_stops_reading_is_cut_off_and_told_so(
    worker: Worker, functions: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CUT_SECONDS", PATIENCE)
    may_end = talkative(functions)
    execution_id = await worker.start(workflow(python("talk", "talk")))
    connection, first = await deaf(worker, execution_id)
    assert first.startswith(b"HTTP/1.1 200")
    listener = Listener()
    with connection:
        async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener) as events:
            async for _ in events:
                if has_heard_all(listener):
                    break
        received = await asyncio.wait_for(read_to_the_end(connection), PATIENCE)
    assert received.endswith(event_stream.TOO_SLOW)
    # What was kept for it is bounded, whatever there was to tell.
    assert len(received) < event_stream.BACKLOG_BYTES + 2 * event_stream.SOCKET_BYTES + 4 * len(PIECE)
    may_end.set()
    await listen(worker, execution_id, listener)
    assert known(listener) == shown(await worker.status(execution_id))
    assert (await worker.status(execution_id))["status"] == "completed"


async def test_client_that_never_reads_again_is_dropped(
    worker: Worker, functions: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CUT_SECONDS", 0.2)
    may_end = talkative(functions)
    execution_id = await worker.start(workflow(python("talk", "talk")))
    connection, _ = await deaf(worker, execution_id)
    with connection:
        listener = Listener()
        async with asyncio.timeout(PATIENCE), listening(worker, execution_id, listener) as events:
            async for _ in events:
                if has_heard_all(listener):
                    break
        received = await asyncio.wait_for(read_to_the_end(connection), PATIENCE)
        assert event_stream.TOO_SLOW not in received
    may_end.set()


@asynccontextmanager
async def cutting(target: str, after: Callable[[], int]) -> AsyncIterator[str]:
    """Serve a proxy that passes on so many bytes of each answer, and then cuts the connection."""
    address = urlsplit(target)

    async def passing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(address.hostname, address.port)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        back.write(head.replace(urlsplit(url).netloc, address.netloc).encode())
        left = after()
        while left and (chunk := await there.read(left)):
            writer.write(chunk)
            left -= len(chunk)
        with suppress(ConnectionError):
            await writer.drain()
        for each in (writer, back):
            each.close()

    server = await asyncio.start_server(passing, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    url = f"http://{host}:{port}"
    async with server:
        yield url


async def test_proxy_that_cuts_anywhere_costs_no_word_and_doubles_none(
    worker: Worker, functions: FunctionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a hundred connections take longer than what is kept lasts.
    monkeypatch.setattr(event_ring, "RING_BYTES", 2**20)
    enough = have_written(functions, every=0.005)
    execution_id = await worker.start(workflow(approval("go"), python("book", "write", needs=["go"])))
    await worker.until_status(execution_id, "waiting")
    listener = Listener()
    async with listening(worker, execution_id, listener) as events:
        async for _ in events:
            break
    assert (await worker.command(execution_id, "signals/go", {})).status == 202
    # aiohttp tries again by itself where not even the head came.
    cuts = cycle(range(0, 1200, 11))
    async with cutting(worker.url, lambda: next(cuts)) as url:
        behind = Worker(worker.engine, url, worker._session)
        for _ in range(len(range(0, 1200, 11))):
            with suppress(aiohttp.ClientError):
                async with asyncio.timeout(PATIENCE), listening(behind, execution_id, listener) as events:
                    async for _ in events:
                        pass
    enough.set()
    await listen(worker, execution_id, listener)
    assert "gap" not in listener.names
    assert listener.names.count("text") > 20
    assert listener.text == (await worker.call("GET", f"/executions/{execution_id}/nodes/book/output")).body
    assert known(listener) == shown(await worker.status(execution_id))


async def test_a_thousand_watch_a_thousand_executions(worker: Worker) -> None:
    document = workflow(approval("go"), template("book", "done", needs=["go"]))
    ids = await asyncio.gather(*(worker.engine.start(document, user="ada") for _ in range(1000)))
    while (await worker.figures())["executions"]["waiting"] < len(ids):
        pass
    address = urlsplit(worker.url)
    before = await worker.transactions()

    async def connect(execution_id: str) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
        writer.write(f"GET /executions/{execution_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        open_ones.append(writer)
        await reader.readuntil(b"event: snapshot\n")
        return reader

    open_ones: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(60):
        readers = await asyncio.gather(*map(connect, ids))
        assert await worker.transactions() == before
        for execution_id in ids:
            await worker.engine.service.signal(execution_id, "go", {}, caller=OPERATOR)
        for reader in readers:
            assert b"event: end\n" in await reader.read()
    for writer in open_ones:
        writer.close()
