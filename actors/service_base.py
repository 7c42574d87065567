"""What can be asked of a worker as a whole, and how its Supervisor and its database are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

from pykka import ActorDeadError

from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.keys import KeyOperations
from offbook.actors.listing import list_members
from offbook.actors.loop import LoopFuture
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.supervisor_messages import AdoptExecution, ListServices
from offbook.actors.surroundings import Surroundings
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.records import ExecutionReader
from offbook.workflows.values import JsonObject

T = TypeVar("T")

ASK_TIMEOUT = 10.0
"""Seconds that an answer may take which needs no database."""

STORE_TIMEOUT = 30.0
"""Seconds that an answer may take which waits for a commit."""

LAG_SAMPLE = 0.005
"""Seconds that the control loop is asked to come back after, to see how much later it does."""


class ServiceBase:
    """Answers for the worker itself; what it works with is set by `ExecutionService`."""

    _around: Surroundings
    _directory: ExecutionDirectory
    _catalogue: Catalogue
    _reader: ExecutionReader
    _recovery: WorkerRecovery
    _read_pool: Executor
    _transactions: Callable[[], tuple[int, int]]
    _reads_apart: Callable[[], int]
    _on_drain: Callable[[float | None], None]
    _draining: bool
    _started: float
    keys: KeyOperations

    async def _entry(self, execution_id: str) -> Entry | None:
        """Find an execution in memory; one that is still to be recovered is recovered first."""
        directory = self._directory
        if execution_id in directory.recovering or (not directory.surveyed and execution_id not in directory):
            await self._ask_supervisor(AdoptExecution(execution_id), STORE_TIMEOUT)
        return self._directory.find(execution_id)

    async def recovered(self) -> None:
        """Wait until all that a process before this one left unfinished is in memory again."""
        await self._directory.recovered

    async def actors(self, *, search: str = "", limit: int | None = None) -> JsonObject:
        """List the actors of this worker: what serves it, and of the others those asked for, at most `limit`."""
        services = await self._ask_supervisor(ListServices(), ASK_TIMEOUT)
        members = await list_members(self._around, self._directory, search=search, limit=limit)
        began = time.perf_counter()
        await asyncio.sleep(LAG_SAMPLE)
        lag_ms = round(1000 * max(0.0, time.perf_counter() - began - LAG_SAMPLE), 1)
        return {
            "actors": services + members.lines,
            "left_out": members.left_out,
            "dead_letters": self._around.dead_letters.to_json(),
            "counts": self._figures(),
            "loop_lag_ms": lag_ms,
            "limits": self._around.runner.limit_figures(),
        }

    async def health(self) -> JsonObject:
        """Say that the control loop answers."""
        return {"status": "ok", "uptime_seconds": round(time.monotonic() - self._started, 3)}

    async def ready(self) -> tuple[bool, JsonObject]:
        """Say whether new executions can be taken: the database answers and nothing drains."""
        try:
            await self._read(self._reader.ping)
        except StorageUnavailable as away:
            return False, {"status": "unready", "database": away.detail, **self._state(), "counts": self._figures()}
        ready = not self._draining
        return ready, {
            "status": "ready" if ready else "draining",
            "database": "ok",
            **self._state(),
            "counts": self._figures(),
        }

    async def drain(self, grace: float | None = None) -> None:
        """Have the worker checkpoint what is live and end; returns at once. Asked again it hurries."""
        self._on_drain(grace)

    def note_drain(self) -> None:
        """Say from here on that nothing new is admitted, whoever asked for the end."""
        self._draining = True

    def _state(self) -> JsonObject:
        fault = self._around.journal_fault()
        return {
            "journal": self._journal_state(),
            "journal_fault": fault,
            "recovering": len(self._directory.recovering),
        }

    def _journal_state(self) -> str:
        if self._around.journal is None:
            return "off"
        return "degraded" if self._around.journal_fault() else "ok"

    def _figures(self) -> JsonObject:
        reads, writes = self._transactions()
        return {
            "executions": self._directory.count(),
            "dead_letters": self._around.dead_letters.count,
            "transactions": {"reads": reads, "writes": writes},
            "keys": self.keys.figures(),
            "ledger": {"reads": self._reads_apart()},
            **self._around.runner.figures(),
        }

    async def _ask_supervisor(self, message: object, timeout: float) -> Any:
        """Ask, and follow futures of futures to the answer."""
        try:
            async with asyncio.timeout(timeout):
                answer = await self._around.supervisor.ask(message, block=False)
                while isinstance(answer, LoopFuture):
                    answer = await answer
                return answer
        except TimeoutError:
            raise StorageUnavailable(f"no answer within {timeout:g} s") from None
        except ActorDeadError:
            raise StorageUnavailable("the worker is stopping") from None

    async def _read(self, question: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._read_pool, question, *args)
