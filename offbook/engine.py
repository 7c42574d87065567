"""The composition root: builds a worker from its parts, starts it, and stops it in reverse order."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import orjson
from loguru import logger

from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.execution import Surroundings
from offbook.actors.loop import Dispatcher, LoopFuture
from offbook.actors.messages import DrainWorker, ExecutionLoaded
from offbook.actors.persistence import PersistenceActor
from offbook.actors.runner import NodeRunner
from offbook.actors.service import ExecutionService
from offbook.actors.supervisor import Supervisor, SupervisorLimits
from offbook.nodes.providers import provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.folder import DataFolder
from offbook.persistence.group_commit import GroupCommit
from offbook.persistence.sql_store import SqlStore
from offbook.settings import EngineSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.checkpoint import load_run
from offbook.workflows.document import Workflow
from offbook.workflows.errors import OffbookError, StatusUnavailable
from offbook.workflows.records import ExecutionStore
from offbook.workflows.values import ExecutionUser, JsonObject

READ_THREADS = 4
DRAIN_SECONDS = 30.0


class Engine:
    """A worker: one Supervisor and its actors, on the running event loop.

        async with Engine() as engine:
            execution_id = await engine.start(workflow, {"premise": "..."}, user="ada")
            status = await engine.wait(execution_id)

    Leaving it checkpoints what is live as `interrupted`.
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        store: ExecutionStore | None = None,
        registry: NodeRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Build, without starting. A store that is passed in is not closed; with one, no data folder is used."""
        self.settings = settings or EngineSettings.from_environment()
        self._store = store
        self._given_registry = registry
        self._clock = clock
        self._stack: AsyncExitStack | None = None
        self._service: ExecutionService | None = None

    @property
    def service(self) -> ExecutionService:
        """Everything that can be asked of this worker; RuntimeError before it is started."""
        if self._service is None:
            raise RuntimeError("the engine is not started: use `async with Engine(...) as engine`")
        return self._service

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        self._service = None
        if stack is not None:
            await stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        loop = asyncio.get_running_loop()
        for module in settings.imports:
            importlib.import_module(module)
        worker_id = "embedded"
        store = self._store
        if store is None:
            folder = DataFolder(settings.data_dir)
            folder.open()
            stack.callback(folder.close)
            worker_id = folder.worker_id
            store = await loop.run_in_executor(None, SqlStore.open, settings.database_url)
            stack.callback(store.close)
        registry = self._given_registry or NodeRegistry.with_builtins(provider_registry(settings.providers))
        if self._given_registry is None:
            registry.load_plugins()
        runner = NodeRunner(registry, max_calls=settings.max_calls, clock=self._clock, loop_factory=type(loop))
        runner.start()
        stack.push_async_callback(loop.run_in_executor, None, runner.close)
        read_pool = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="offbook-read")
        stack.callback(read_pool.shutdown)

        def later(seconds: float, function: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(loop.call_later, seconds, function)

        persistence = PersistenceActor.start(GroupCommit(store.writer), later=later)
        stack.push_async_callback(loop.run_in_executor, None, _stop_and_wait, persistence)
        dispatcher = Dispatcher(loop)
        catalogue = Catalogue(registry)
        directory = ExecutionDirectory()
        reader = store.reader

        def load(execution_id: str, reply: Callable[[ExecutionLoaded], None]) -> None:
            def read() -> None:
                reply(_load(execution_id))

            read_pool.submit(read)

        def _load(execution_id: str) -> ExecutionLoaded:
            try:
                stored = reader.load(execution_id)
                if stored is None:
                    return ExecutionLoaded(execution_id, None)
                plan = catalogue.restore(stored.document, stored.fingerprint)
                return ExecutionLoaded(execution_id, load_run(stored, plan))
            except OffbookError as error:
                return ExecutionLoaded(execution_id, None, error)

        limits = SupervisorLimits(
            settings.max_live, settings.max_queued, settings.retain_seconds, settings.retain_count
        )
        around = Surroundings(worker_id, loop, self._clock, runner, persistence)
        self._supervisor = Supervisor.spawn(dispatcher, dispatcher, around, limits, directory, load)
        self._service = ExecutionService(
            around=around,
            directory=directory,
            catalogue=catalogue,
            reader=reader,
            read_pool=read_pool,
            transactions=store.transactions,
        )
        stack.push_async_callback(self._stop_supervisor)

    async def _stop_supervisor(self) -> None:
        """Checkpoint what is live, then stop the actors."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                drained = await self._supervisor.ask(DrainWorker(), block=False)
                while isinstance(drained, LoopFuture):
                    drained = await drained
            logger.info("worker drained", checkpointed=drained)
        except TimeoutError:
            logger.error("drain took too long, what was not stored is lost", seconds=DRAIN_SECONDS)
        await self._supervisor.stop(block=False)

    # The short way for Python

    async def start(
        self,
        workflow: str | JsonObject | Workflow,
        inputs: JsonObject | None = None,
        *,
        user: str | ExecutionUser,
        labels: dict[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Accept an execution; returns its id (32 hex digits) once it is stored."""
        named = ExecutionUser(user) if isinstance(user, str) else user
        return await self.service.start(
            workflow, inputs or {}, caller=OPERATOR, user=named, labels=labels, idempotency_key=idempotency_key
        )

    async def status(self, execution_id: str) -> JsonObject:
        """Return the status payload."""
        return _payload(await self.service.status(execution_id, caller=OPERATOR))

    async def resume(self, execution_id: str, *, guidance: str = "", user: str | None = None) -> None:
        """Have an execution go on from what did not finish."""
        named = ExecutionUser(user) if user else None
        await self.service.resume(execution_id, caller=OPERATOR, guidance=guidance, user=named)

    async def wait(self, execution_id: str, timeout: float | None = None) -> JsonObject:
        """Return the status payload once the execution is at rest and stored; StatusUnavailable past `timeout` s."""
        try:
            async with asyncio.timeout(timeout):
                await self.service.rest(execution_id)
                return await self.status(execution_id)
        except TimeoutError:
            raise StatusUnavailable(execution_id, timeout or 0.0) from None

def _payload(answer: Any) -> JsonObject:
    payload: JsonObject = orjson.loads(answer.body)
    return payload


def _stop_and_wait(ref: Any) -> None:
    ref.stop(block=True, timeout=DRAIN_SECONDS)
