"""Clients of a worker that comes and goes: they start books, answer approvals, cancel, and ask how it went.

A client that got no answer does not know what happened, and asks again, as clients do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import aiohttp

from offbook.workflows.values import JsonObject
from tests.chaos.book import APPROVED, Call, document, is_cancelled, needs_approval
from tests.chaos.ledger import Ledger
from tests.chaos.lives import Lives

ADA = {"id": "ada"}
CANCELLED_AT = Call("chapters", 5, 1)
ENDED = ("completed", "cancelled", "failed")
AT_ONCE = 100
"""Books that are followed to their end at once."""
BACKOFF = 0.05
"""Seconds that a client leaves a server alone which has just refused it."""
PATIENCE = 900.0
"""Seconds after which a book is stuck."""
NO_ANSWER = (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError)


class Clients:
    """Keeps so many books under way, and notes what was promised to them."""

    def __init__(self, lives: Lives, ledger: Ledger, session: aiohttp.ClientSession, *, durability: str) -> None:
        self.accepted: dict[int, str] = {}
        """The id that the 202 gave, for each book."""
        self.cancelled: dict[int, int] = {}
        """In which life the cancel of a book was accepted."""
        self.signalled: set[int] = set()
        """Books whose approval was accepted."""
        self.refusals: dict[str, int] = {}
        """How often a request was refused for now, by problem."""
        self._lives = lives
        self._ledger = ledger
        self._session = session
        self._durability = durability
        self._wanted = 0
        self._next = 0
        self._under_way: set[int] = set()
        self._steered: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        """Set when a book is accepted, or a client has failed."""
        ledger.on_begin = self._begun
        ledger.on_end = self._ended

    @property
    def live(self) -> int:
        """How many accepted books are not at their end, as far as the calls tell."""
        return sum(1 for number in self._under_way if number in self.accepted)

    def keep(self, wanted: int) -> None:
        """Keep so many books under way from here on; 0 starts no more."""
        self._wanted = wanted
        while len(self._under_way) < self._wanted:
            number, self._next = self._next, self._next + 1
            self._under_way.add(number)
            self._do(self._start(number))

    async def until_live(self, count: int) -> None:
        """Wait until so many books are accepted and under way."""
        async with asyncio.timeout(PATIENCE):
            while self.live < count:
                self._news.clear()
                await self._news.wait()
                self._raise_failures()

    async def finish(self) -> dict[int, JsonObject]:
        """Wait until every book is at rest and stored; return the last status of each."""
        self.keep(0)
        async with asyncio.timeout(PATIENCE):
            while self._tasks:
                await asyncio.gather(*self._tasks)
            asking = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                tasks = {number: group.create_task(self._rest(number, asking)) for number in self.accepted}
            return {number: task.result() for number, task in tasks.items()}

    async def listed(self) -> set[str]:
        """Return the ids of all executions that the worker knows."""
        found: set[str] = set()
        cursor = ""
        while True:
            status, page = await self._ask("GET", f"/executions?limit=500{cursor}")
            assert status == 200, page
            found.update(each["execution_id"] for each in page["executions"])
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def steer_again(self) -> None:
        """Repeat what was accepted, because the journal that had it has been damaged."""
        for number in self.signalled:
            self._do(self._approve(number, self.accepted[number]))
        cancelled, self.cancelled = self.cancelled, {}
        for number in cancelled:
            self._do(self._cancel(number, self.accepted[number]))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the calls tell

    def _begun(self, number: int, execution_id: str, call: Call) -> None:
        if call == CANCELLED_AT and is_cancelled(number) and number not in self._steered:
            self._steered.add(number)
            self._do(self._cancel(number, execution_id))

    def _ended(self, number: int, execution_id: str, call: Call) -> None:
        if call.node == "outline" and needs_approval(number) and number not in self._steered:
            self._steered.add(number)
            self._do(self._approve(number, execution_id))
        if call.node == "close":
            self._left(number)

    def _left(self, number: int) -> None:
        self._under_way.discard(number)
        self.keep(self._wanted)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        else:
            self._news.set()

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()

    # What clients do

    async def _start(self, number: int) -> None:
        body = {
            "workflow": document(),
            "inputs": {"number": number},
            "user": ADA,
            "durability": self._durability,
            "labels": {"number": str(number)},
        }
        status, answer = await self._ask("POST", "/executions", body, {"Idempotency-Key": f"book-{number}"})
        assert status == 202, answer
        self.accepted[number] = answer["execution_id"]
        self._news.set()

    async def _approve(self, number: int, execution_id: str) -> None:
        path = f"/status/{execution_id}"
        while True:
            _, seen = await self._ask("GET", path)
            review = seen["node_results"]["review"]["status"]
            if review in ("completed", "cancelled") or seen["status"] in ENDED:
                return  # it was accepted, and the answer lost
            if review == "waiting":
                status, answer = await self._ask("POST", f"/executions/{execution_id}/signals/review", APPROVED)
                if status == 202:
                    self.signalled.add(number)
                    return
                # A restart has put it back, and nothing waits for it yet.
                assert status == 409, answer
            await self._ask("GET", f"{path}?since={seen['revision']}&wait=5")

    async def _cancel(self, number: int, execution_id: str) -> None:
        status, answer = await self._ask("POST", f"/executions/{execution_id}/cancel")
        if status == 202:
            self.cancelled[number] = self._ledger.life
        else:
            # It was accepted before, and the answer lost.
            assert status == 409, answer
        self._left(number)

    async def _rest(self, number: int, asking: asyncio.Semaphore) -> JsonObject:
        """Follow a book to its end; return its status then, with the whole result in it."""
        path = f"/status/{self.accepted[number]}"
        async with asking:
            _, seen = await self._ask("GET", path)
            while seen["status"] not in ENDED:
                _, seen = await self._ask("GET", f"{path}?since={seen['revision']}&wait=10")
            _, whole = await self._ask("GET", path)
            if whole["result"] is not None and "output_ref" in whole["result"]:
                _, whole["result"] = await self._ask("GET", whole["result"]["output_ref"]["url"])
        return whole

    async def _ask(
        self, method: str, path: str, body: JsonObject | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, JsonObject]:
        """Ask until there is an answer."""
        while True:
            await self._lives.is_up.wait()
            try:
                async with self._session.request(
                    method, self._lives.url + path, json=body, headers=headers
                ) as response:
                    answer = await response.json(content_type=None)
            except NO_ANSWER:
                await asyncio.sleep(BACKOFF)
                continue
            if response.status in (429, 503):
                problem = answer["type"].rsplit("/", 1)[-1]
                self.refusals[problem] = self.refusals.get(problem, 0) + 1
                await asyncio.sleep(BACKOFF)
                continue
            assert response.status < 500, answer
            return response.status, answer
