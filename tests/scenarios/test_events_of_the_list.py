"""Who has the list open hears which executions come, change and go: of those that are theirs to see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import orjson
import pytest

from offbook.actors import feed
from offbook.workflows.server_events import EventParser, ServerEvent
from offbook.workflows.values import JsonObject
from tests.scenarios.conftest import Open
from tests.scenarios.documents import approval, template, workflow
from tests.scenarios.worker import PATIENCE, Worker

WAITS = workflow(approval("go"), template("book", "done", needs=["go"]))


class ListReader:
    """A list that is kept up to date by events alone."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.rows: dict[str, JsonObject] = {}
        self.deleted: list[str] = []
        self.gaps = 0
        self.events: list[ServerEvent] = []
        self._response = response
        self._parser = EventParser()

    async def until(self, so: Callable[[ListReader], bool]) -> None:
        """Read until something is so of what was heard."""
        async with asyncio.timeout(PATIENCE):
            while not so(self):
                for event in self._parser.events(await self._response.content.readany()):
                    self._hear(event)

    def _hear(self, event: ServerEvent) -> None:
        self.events.append(event)
        said = orjson.loads(event.data)
        match event.name:
            case "execution":
                self.rows[said["execution_id"]] = said
            case "deleted":
                self.deleted.append(said["execution_id"])
            case "gap":
                self.gaps += 1

    def status(self, execution_id: str) -> str:
        row = self.rows.get(execution_id)
        return str(row["status"]) if row else ""


@asynccontextmanager
async def listing(worker: Worker, query: str = "", **headers: str) -> AsyncIterator[ListReader]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/events{query}", headers=sent) as answer:
        assert answer.status == 200, await answer.text()
        # It listens from here on.
        await answer.content.readuntil(b"id: ")
        yield ListReader(answer)


async def test_list_hears_of_what_comes_changes_ends_and_goes(worker: Worker) -> None:
    async with listing(worker) as reader:
        execution_id = await worker.start(WAITS)
        await reader.until(lambda heard: heard.status(execution_id) == "waiting")
        await worker.command(execution_id, "signals/go", {})
        await reader.until(lambda heard: heard.status(execution_id) == "completed")
        page = await worker.call("GET", "/executions")
        assert reader.rows[execution_id] == page.body["executions"][0]
        await worker.call("DELETE", f"/executions/{execution_id}")
        await reader.until(lambda heard: heard.deleted == [execution_id])


async def test_user_hears_of_their_own_alone(worker: Worker) -> None:
    async with listing(worker, X_Offbook_User="bob") as bobs, listing(worker) as all_:
        of_ada = await worker.start(WAITS)
        of_bob = await worker.start(WAITS, user={"id": "bob"})
        await all_.until(lambda heard: heard.status(of_ada) == heard.status(of_bob) == "waiting")
        await bobs.until(lambda heard: heard.status(of_bob) == "waiting")
        for execution_id in (of_ada, of_bob):
            await worker.command(execution_id, "cancel")
            await worker.rest(execution_id)
            await worker.call("DELETE", f"/executions/{execution_id}")
        await bobs.until(lambda heard: bool(heard.deleted))
        assert bobs.rows.keys() == {of_bob}
        assert bobs.deleted == [of_bob]
        await all_.until(lambda heard: heard.deleted == [of_ada, of_bob])


async def test_list_may_be_of_some_executions_alone(worker: Worker) -> None:
    async with listing(worker, "?label=order=7&workflow=story") as some, listing(worker, "?user=ada") as all_:
        other = await worker.start(WAITS)
        wanted = await worker.start(WAITS, labels={"order": "7"})
        await all_.until(lambda heard: heard.status(other) == heard.status(wanted) == "waiting")
        await some.until(lambda heard: heard.status(wanted) == "waiting")
        assert some.rows.keys() == {wanted}
    answer = await worker.call("GET", "/events?status=running")
    assert answer.status == 422


async def test_owner_hears_that_an_operator_deletes_what_has_left_memory(opened: Open) -> None:
    worker = await opened(retain_seconds=0.0)
    of_ada = await worker.start(workflow(template("book", "done")))
    await worker.evicted(of_ada)
    async with listing(worker, X_Offbook_User="ada") as adas, listing(worker, X_Offbook_User="bob") as bobs:
        assert (await worker.call("DELETE", f"/executions/{of_ada}")).status == 204
        await adas.until(lambda heard: heard.deleted == [of_ada])
        of_bob = await worker.start(WAITS, user={"id": "bob"})
        await bobs.until(lambda heard: heard.status(of_bob) == "waiting")
        assert bobs.deleted == []
        await worker.command(of_bob, "cancel")
        await worker.rest(of_bob)


async def test_changes_of_one_execution_are_gathered(worker: Worker) -> None:
    async with listing(worker) as reader:
        nodes = [template(f"n{number}", "x", needs=[f"n{number - 1}"] if number else []) for number in range(200)]
        began = time.monotonic()
        execution_id = await worker.start(workflow(*nodes))
        await reader.until(lambda heard: heard.status(execution_id) == "completed")
        assert len(reader.events) <= 2 * (time.monotonic() - began) + 2


async def test_who_comes_back_hears_what_was_missed(worker: Worker) -> None:
    async with listing(worker) as reader:
        first = await worker.start(WAITS)
        await reader.until(lambda heard: heard.status(first) == "waiting")
        last = reader.events[-1].id
        async with listing(worker) as other:
            second = await worker.start(WAITS)
            await other.until(lambda heard: heard.status(second) == "waiting")
        async with aiohttp.ClientSession() as session:
            headers = {"Last-Event-ID": last}
            async with session.get(f"{worker.url}/events", headers=headers) as answer:
                again = ListReader(answer)
                await again.until(lambda heard: heard.status(second) == "waiting")
        assert again.rows.keys() == {second}
        assert again.gaps == 0


@pytest.mark.parametrize("last", ["00000000-3", "4294967297.3"])
async def test_who_comes_back_too_late_is_told_to_load_the_list_anew(worker: Worker, last: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{worker.url}/events?after={last}") as answer:
        reader = ListReader(answer)
        await reader.until(lambda heard: heard.gaps == 1)


async def test_crash_and_recovery_of_an_actor_are_heard(worker: Worker) -> None:
    execution_id = await worker.start(WAITS)
    await worker.until_status(execution_id, "waiting")
    async with listing(worker) as reader:
        worker.crash(execution_id)
        await reader.until(
            lambda heard: heard.status(execution_id) == "waiting" and heard.rows[execution_id]["epoch"] == 2
        )


async def test_listening_costs_no_transaction_and_nothing_once_it_is_over(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LINGER_SECONDS", 0.0)
    around = worker.engine.service._around
    assert not around.feed
    execution_id = await worker.start(WAITS)
    await worker.until_status(execution_id, "waiting")
    before = await worker.transactions()
    async with listing(worker) as reader:
        await worker.command(execution_id, "signals/go", {})
        await reader.until(lambda heard: heard.status(execution_id) == "completed")
        assert await worker.transactions() == (before[0], before[1] + 1)
    async with asyncio.timeout(PATIENCE):
        while around.feed:
            await worker.status(execution_id)
