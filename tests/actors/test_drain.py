"""A worker that is asked to go away: real processes, real signals. A model's server counts what it is asked.

Calls in flight may finish in the grace period; a second request hurries; the next start goes on at once, and nothing
that was recorded is asked for again.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from offbook.workflows.values import JsonObject
from tests.chaos.lives import Lives
from tests.scenarios.documents import book
from tests.scenarios.fake_model import FINE, Asked, FakeModel, Reply, serve_model

PATIENCE = 60.0
CHAPTERS = 3


class Client:
    """Asks a worker over HTTP, in whichever process it is now."""

    def __init__(self, lives: Lives, session: aiohttp.ClientSession) -> None:
        self._lives = lives
        self._session = session

    async def call(self, method: str, path: str, body: JsonObject | None = None) -> tuple[int, JsonObject]:
        async with self._session.request(method, self._lives.url + path, json=body) as response:
            answer: JsonObject = await response.json(content_type=None)
            return response.status, answer

    async def start(self, durability: str) -> str:
        body = {"workflow": book(chapters=CHAPTERS), "user": {"id": "ada"}, "durability": durability}
        status, answer = await self.call("POST", "/executions", body)
        assert status == 202, answer
        return str(answer["execution_id"])

    async def until(self, execution_id: str, reached: Callable[[JsonObject], bool]) -> JsonObject:
        path = f"/status/{execution_id}"
        async with asyncio.timeout(PATIENCE):
            while not reached(seen := (await self.call("GET", path))[1]):
                await self.call("GET", f"{path}?since={seen['revision']}&wait=10")
        return seen

    async def until_draining(self) -> JsonObject:
        """Wait until the worker says that it takes nothing new."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, report = await self.call("GET", "/readyz")
                if status == 503:
                    return report


@pytest.fixture
async def model() -> AsyncIterator[FakeModel]:
    async with serve_model() as served:
        yield served


@pytest.fixture
async def lives(tmp_path: Path, model: FakeModel) -> AsyncIterator[Lives]:
    lives = Lives(tmp_path, "--drain-grace", "600", variables={"OFFBOOK_PROVIDERS": json.dumps(model.providers)})
    yield lives
    if lives.runs:
        await lives.kill()


@pytest.fixture
async def client(lives: Lives) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(lives, session)


async def start_and_wait_in_chapter_1(
    lives: Lives, client: Client, model: FakeModel, durability: str, answer_when: asyncio.Event | None
) -> str:
    """Start a book whose chapter 1 is answered when the event is set; without one it never is, the first time."""

    def reply(asked: Asked) -> Reply:
        if asked.prompt != "chapter 1." or asked.number > 1:
            return FINE
        return Reply(words=("half ",), hangs=True) if answer_when is None else Reply(waits_for=answer_when)

    model.reply = reply
    await lives.start()
    execution_id = await client.start(durability)
    await model.until(lambda: model.count("chapter 1.") == 1)
    return execution_id


async def check_goes_on(lives: Lives, client: Client, execution_id: str) -> JsonObject:
    """The next process goes on by itself, and completes the book."""
    await lives.start()
    seen = await client.until(execution_id, lambda status: status["status"] == "completed")
    assert seen["result"] == " / ".join(["a fine text"] * CHAPTERS)
    assert await lives.terminate() == 0
    return seen


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_call_in_flight_finishes_in_the_grace_period_and_nothing_is_asked_again(
    lives: Lives, client: Client, model: FakeModel, durability: str
) -> None:
    answer = asyncio.Event()
    execution_id = await start_and_wait_in_chapter_1(lives, client, model, durability, answer)
    lives.send(signal.SIGTERM)
    report = await client.until_draining()
    refused = await client.call("POST", "/executions", {"workflow": book(), "user": {"id": "ada"}})
    answer.set()
    assert await lives.ended() == 0
    assert report["status"] == "draining"
    assert (refused[0], refused[1]["type"]) == (503, "/problems/draining")
    seen = await check_goes_on(lives, client, execution_id)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 1, "chapter 2.": 1}
    # The insert, the drain, and the end.
    assert seen["db_ops"]["writes"] == 3


@pytest.mark.parametrize("durability", ["async", "exit"])
async def test_second_signal_hurries_and_loses_nothing_that_was_recorded(
    lives: Lives, client: Client, model: FakeModel, durability: str
) -> None:
    execution_id = await start_and_wait_in_chapter_1(lives, client, model, durability, None)
    lives.send(signal.SIGTERM)
    await client.until_draining()
    assert model.under_way == 1
    lives.send(signal.SIGTERM)
    # The provider sees that nobody listens any more, long before the grace period is over.
    await model.until(lambda: model.hung_up == 1)
    assert await lives.ended() == 0
    seen = await check_goes_on(lives, client, execution_id)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}
    assert seen["receipt"]["repeated_calls"] == 1
    assert seen["node_results"]["chapters"]["items"] == {"completed": CHAPTERS, "failed": 0, "total": CHAPTERS}


async def test_drain_over_http_aborts_once_its_grace_is_over(lives: Lives, client: Client, model: FakeModel) -> None:
    execution_id = await start_and_wait_in_chapter_1(lives, client, model, "async", None)
    status, answer = await client.call("POST", "/drain", {"grace": 0.3})
    assert (status, answer) == (202, {"status": "draining"})
    assert await lives.ended() == 0
    assert model.hung_up == 1
    await check_goes_on(lives, client, execution_id)
    assert model.counts == {"outline": 1, "chapter 0.": 1, "chapter 1.": 2, "chapter 2.": 1}


async def test_drain_over_http_lets_calls_finish_and_hurries_when_asked_again(
    lives: Lives, client: Client, model: FakeModel
) -> None:
    execution_id = await start_and_wait_in_chapter_1(lives, client, model, "async", None)
    await client.call("POST", "/drain")
    await client.until_draining()
    shown = await client.call("GET", f"/status/{execution_id}")
    assert (shown[0], shown[1]["status"], model.hung_up) == (200, "running", 0)
    await client.call("POST", "/drain")
    assert await lives.ended() == 0
    assert model.hung_up == 1
    await check_goes_on(lives, client, execution_id)
    assert model.count("chapter 0.") == 1


async def test_execution_that_waits_for_a_person_is_stored_at_once(lives: Lives, client: Client) -> None:
    await lives.start()
    document = {"name": "asks", "nodes": [{"id": "yes", "type": "approval", "config": {}}]}
    _, started = await client.call("POST", "/executions", {"workflow": document, "user": {"id": "ada"}})
    await client.until(started["execution_id"], lambda status: status["status"] == "waiting")
    assert await lives.terminate() == 0
    await lives.start()
    seen = await client.until(started["execution_id"], lambda status: status["status"] == "waiting")
    assert (seen["epoch"], seen["waiting"]["name"]) == (2, "yes")
    await client.call("POST", f"/executions/{started['execution_id']}/signals/yes", {"ok": True})
    await client.until(started["execution_id"], lambda status: status["status"] == "completed")
    assert await lives.terminate() == 0
