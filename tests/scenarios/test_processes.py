"""Real processes that end, in good order or not: what the next one makes of what they left."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from offbook.nodes.llm import REFUSED
from offbook.workflows.values import JsonObject
from tests.cli.conftest import environment, line_with
from tests.scenarios.documents import book, llm, workflow
from tests.scenarios.fake_model import Asked, FakeModel, Reply
from tests.scenarios.worker import ADA, PATIENCE

Serve = Callable[..., Awaitable["Server"]]


class Server:
    """A `offbook serve` process and its URL."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode

    async def call(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body) as response,
        ):
            answered: JsonObject = await response.json()
            assert response.status in (200, 202), answered
            return answered

    async def until_status(self, execution_id: str, wanted: str) -> JsonObject:
        async with asyncio.timeout(PATIENCE):
            while (payload := await self.call("GET", f"/status/{execution_id}"))["status"] != wanted:
                await self.call("GET", f"/status/{execution_id}?since={payload['revision']}&wait=10")
        return payload


@pytest.fixture
async def serve(tmp_path: Path, model: FakeModel) -> AsyncIterator[Serve]:
    """Start servers over one data folder, one after the other; what still runs at the end is killed."""
    started: list[Server] = []

    async def start(*options: str, folder: str = "data", **variables: str) -> Server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "offbook.cli", "serve", "--port", "0", "--data-dir", folder),
            *("--drain-grace", "0.1", *options),
            cwd=tmp_path,
            env=environment(OFFBOOK_PROVIDERS=json.dumps(model.providers), **variables),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        url = (await line_with(process, "offbook serves")).split()[-1]
        started.append(Server(process, url))
        return started[-1]

    yield start
    for server in started:
        if server.process.returncode is None:
            await server.end(signal.SIGKILL)


def hangs_in_chapter_2(asked: Asked) -> Reply:
    return Reply(hangs=(asked.prompt, asked.number) == ("chapter 2.", 1))


async def start_book(server: Server, model: FakeModel, durability: str) -> str:
    """Start a book and wait until its chapter 2 hangs."""
    model.reply = hangs_in_chapter_2
    body = {"workflow": book(chapters=4), "user": ADA, "durability": durability}
    execution_id = (await server.call("POST", "/executions", body))["execution_id"]
    await model.until(lambda: model.count("chapter 2.") == 1)
    return str(execution_id)


BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT = {
    "outline": 1,
    "chapter 0.": 1,
    "chapter 1.": 1,
    "chapter 2.": 2,
    "chapter 3.": 1,
}


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_next_process_goes_on_where_one_was_told_to_end(
    serve: Serve, model: FakeModel, durability: str
) -> None:
    first = await serve()
    execution_id = await start_book(first, model, durability)
    assert await first.end(signal.SIGTERM) == 0
    await model.until(lambda: model.hung_up == 1)
    second = await serve()
    payload = await second.until_status(execution_id, "completed")
    assert model.counts == BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT
    assert (payload["receipt"]["repeated_calls"], payload["receipt"]["went_back_to"]) == (1, None)


async def test_next_process_goes_on_where_one_was_killed_and_repeats_only_what_was_in_flight(
    serve: Serve, model: FakeModel
) -> None:
    first = await serve()
    execution_id = await start_book(first, model, "sync")
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    second = await serve()
    payload = await second.until_status(execution_id, "completed")
    assert model.counts == BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT
    assert (payload["epoch"], payload["receipt"]["repeated_calls"]) == (2, 1)
    assert payload["user_id"] == "ada"


async def test_worker_whose_disk_is_lost_with_it_goes_on_from_a_journal_elsewhere(
    serve: Serve, model: FakeModel, tmp_path: Path
) -> None:
    elsewhere = ("--database", f"sqlite:///{tmp_path / 'offbook.db'}")
    variables = {"OFFBOOK_JOURNAL_URL": f"sqlite:///{tmp_path / 'journal.db'}", "OFFBOOK_WORKER_ID": "writer-1"}
    first = await serve(*elsewhere, **variables)
    execution_id = await start_book(first, model, "sync")
    await first.end(signal.SIGKILL)
    second = await serve(*elsewhere, folder="another", **variables)
    ended = await second.until_status(execution_id, "completed")
    assert (ended["epoch"], ended["receipt"]["repeated_calls"]) == (2, 1)
    assert model.counts == BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT


async def test_every_process_that_took_it_up_is_counted_in_what_it_cost_the_database(
    serve: Serve, model: FakeModel
) -> None:
    def asked_again(calls: int) -> bool:
        return model.count("chapter 2.") == calls

    def reply(asked: Asked) -> Reply:
        hangs = asked.prompt == "chapter 2." and asked.number in (2, 3, 4)
        return Reply(status=401 if (asked.prompt, asked.number) == ("chapter 2.", 1) else 200, hangs=hangs)

    model.reply = reply
    first = await serve()
    body = {"workflow": book(chapters=4), "user": ADA, "durability": "sync"}
    execution_id = (await first.call("POST", "/executions", body))["execution_id"]
    failed = await first.until_status(execution_id, "failed")
    # Answered once it is stored.
    await first.call("GET", f"/executions/{execution_id}/checkpoint")
    await first.end(signal.SIGKILL)
    # Resumed, killed; taken up, told to end; taken up, killed; taken up.
    second = await serve()
    await second.call("POST", f"/executions/{execution_id}/resume")
    for calls, end in ((2, signal.SIGKILL), (3, signal.SIGTERM), (4, signal.SIGKILL)):
        await model.until(partial(asked_again, calls))
        await second.end(end)
        second = await serve()
    completed = await second.until_status(execution_id, "completed")
    assert failed["db_ops"] == {"reads": 0, "writes": 2}
    # Written: the insert, the failure, the claim, the drain, the end.
    assert completed["db_ops"] == {"reads": 4, "writes": 5}
    assert model.counts == {**BILLED_ONCE_BUT_WHAT_WAS_IN_FLIGHT, "chapter 2.": 5}


async def test_killed_process_loses_in_exit_what_it_says_it_may_lose_and_owns_up_to_it(
    serve: Serve, model: FakeModel
) -> None:
    first = await serve()
    execution_id = await start_book(first, model, "exit")
    await first.end(signal.SIGKILL)
    second = await serve()
    payload = await second.until_status(execution_id, "completed")
    assert model.counts["outline"] == 2
    assert payload["receipt"]["went_back_to"] == "beginning"


async def test_reasons_of_failed_checks_outlive_a_kill(serve: Serve, model: FakeModel) -> None:
    loop = Reply(("the lamp went out and the sea came in ",) * 12)
    model.reply = lambda asked: loop if REFUSED not in asked.prompt else Reply(hangs=True)
    server = await serve()
    node = llm("chapter", "write it", model="fake/writer", checks=["repetition"])
    start = {"workflow": workflow(node), "user": ADA, "durability": "sync"}
    execution_id = (await server.call("POST", "/executions", start))["execution_id"]
    await model.until(lambda: len(model.asked) == 2)
    await server.end(signal.SIGKILL)
    server = await serve()
    await model.until(lambda: len(model.asked) == 3)
    # The attempt that was in flight, with what it was told.
    assert model.asked[2].prompt == model.asked[1].prompt
    payload = await server.call("GET", f"/status/{execution_id}")
    entry = payload["node_results"]["chapter"]
    assert (entry["attempt"], entry["check_failures"][0]["times"]) == (2, 1)
