"""The composition root: builds a worker from its parts, starts it, and stops it in reverse order."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import orjson
from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.account import Desk
from offbook.actors.account_messages import LoadBudgets
from offbook.actors.accounts import AccountsActor, BudgetIndex
from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.drain import tell_how_it_goes_on
from offbook.actors.journal import JournalActor
from offbook.actors.key_check import KeyCheck
from offbook.actors.keys import KeyOperations
from offbook.actors.limit_settings import read_limits
from offbook.actors.loop import Dispatcher, LoopFuture
from offbook.actors.persistence import PersistenceActor
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.relay import Relay
from offbook.actors.runner import NodeRunner
from offbook.actors.service import ExecutionService
from offbook.actors.supervisor import Supervisor
from offbook.actors.supervisor_base import SupervisorLimits
from offbook.actors.supervisor_messages import DrainWorker, RecoverWorker, ServiceCrashed
from offbook.actors.surroundings import Surroundings
from offbook.nodes.prices import PriceTable
from offbook.nodes.providers import EnvironmentKeys, KeyFinder, KeyResolver, provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.folder import DataFolder
from offbook.persistence.group_commit import GroupCommit
from offbook.persistence.group_journal import GroupJournal
from offbook.persistence.journal import SqlJournal
from offbook.persistence.key_vault import KeyVault, read_masters
from offbook.persistence.sql_store import SqlStore
from offbook.persistence.stored_keys import StoredKeys
from offbook.settings import EngineSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.document import Workflow
from offbook.workflows.errors import OffbookError, StatusUnavailable
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.records import ExecutionStore, JournalStore
from offbook.workflows.values import ExecutionUser, JsonObject

READ_THREADS = 4
DRAIN_SECONDS = 30.0
"""Seconds that storing what is live may take."""
STOP_SECONDS = 30.0


class WorkerFailed(OffbookError):
    """A worker cannot go on, and its process must be started again."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"this worker cannot go on: {reason}; start it again: it goes on with what was live")


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
        journal: JournalStore | None = None,
        registry: NodeRegistry | None = None,
        keys: KeyResolver | None = None,
        clock: Callable[[], float] = time.time,
        goes_on: bool = True,
    ) -> None:
        """Build, without starting.

        A store or journal that is passed in is not closed; with a store no data folder is used, and without a
        journal beside it every execution has the durability `exit`. `keys` finds the key of each call to a model
        provider, in place of stored ones and of the environment's. `goes_on`: what a process before this one left
        unfinished goes on at once; else it waits for a resume.
        """
        self.settings = settings or EngineSettings.from_environment()
        self._store = store
        self._given_registry = registry
        self._given_keys = keys
        self._clock = clock
        self._journal = journal
        self._goes_on = goes_on
        self._grace: float | None = None
        self._has_drained = False
        """Whether what is live has had its time to be stored: the stop after it gives no more."""
        self.failure: str | None = None
        """Why this worker cannot go on; None while it can."""
        self._stack: AsyncExitStack | None = None
        self._service: ExecutionService | None = None

    @property
    def service(self) -> ExecutionService:
        """Everything that can be asked of this worker; RuntimeError before it is started."""
        if self._service is None:
            raise RuntimeError("the engine is not started: use `async with Engine(...) as engine`")
        return self._service

    async def __aenter__(self) -> Self:
        self._stop_wanted = asyncio.Event()
        self._loop_of_stop = asyncio.get_running_loop()
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
        dispatcher = Dispatcher(loop)
        stack.callback(dispatcher.close)
        for module in settings.imports:
            importlib.import_module(module)
        # First of all: with a master key that is none, nothing is to be opened or started.
        masters = read_masters(settings.master_key, settings.master_key_file)
        vault = KeyVault(masters)
        worker_id = "embedded"
        store, journal_store = self._store, self._journal
        if store is None:
            folder = DataFolder(settings.data_dir)
            folder.open()
            stack.callback(folder.close)
            worker_id = settings.worker_id or folder.worker_id
            store = await loop.run_in_executor(None, SqlStore.open, settings.database_url)
            stack.callback(store.close)
            if journal_store is None:
                journal_store = await loop.run_in_executor(None, self._open_journal, worker_id)
                stack.callback(journal_store.close)
        prices = PriceTable.load(settings.prices)
        registry = self._given_registry or NodeRegistry.with_builtins(
            provider_registry(settings.providers), prices=prices
        )
        if self._given_registry is None:
            registry.load_plugins()
            registry.load_checks()
        read_pool = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="offbook-read")
        stack.callback(read_pool.shutdown)
        providers = registry.providers
        keys: StoredKeys | None = None
        if providers is not None:
            keys = self._choose_keys(stack, providers.keys, partial(StoredKeys, store.reader, vault, read_pool))
            providers.keys.secrets.watch(lambda: [master for _, master in masters])
        if keys is not None:
            await loop.run_in_executor(read_pool, keys.look)
        runner = NodeRunner(
            registry,
            limits=read_limits(settings.limits, registry.names()),
            max_calls=settings.max_calls,
            prices=prices,
            clock=self._clock,
            loop_factory=type(loop),
        )
        runner.start()
        stack.push_async_callback(_in_thread, runner.close)

        def later(seconds: float, function: Callable[[], None]) -> None:
            try:
                loop.call_soon_threadsafe(loop.call_later, seconds, function)
            except RuntimeError:
                logger.debug("event loop is closed, nothing is tried again")

        def service_crashed(name: str, reason: str) -> None:
            around.supervisor.tell(ServiceCrashed(name, reason))

        def message_dropped(name: str, message: object, reason: str) -> None:
            detail = f"{name} crashed twice of {type(message).__name__}: {reason}"
            around.dead_letters.add(self._clock(), "poison", getattr(message, "execution_id", ""), detail)

        def start_service(name: str, start: Callable[[Relay], ActorRef[Any]]) -> Relay:
            relay = Relay(name, start, later=later, on_crash=service_crashed, on_drop=message_dropped)
            services.append(relay)
            stack.push_async_callback(_in_thread, relay.stop, STOP_SECONDS)
            return relay

        services: list[Relay] = []
        group = GroupCommit(store.writer)
        persistence = start_service("persistence", lambda relay: PersistenceActor.start(relay, group))
        around = Surroundings(worker_id, loop, self._clock, runner, persistence, give_up=self._give_up)
        around.currency = prices.currency
        if journal_store is not None:
            records = GroupJournal(journal_store, clock=self._clock, budget=settings.journal_budget)
            around.journal = start_service("journal", lambda relay: JournalActor.start(relay, records))
            around.journal_fault = lambda: records.fault
        catalogue = Catalogue(registry)
        directory = self._directory = ExecutionDirectory()
        recovery = WorkerRecovery(store.reader, journal_store, catalogue, worker_id, read_pool)
        limits = SupervisorLimits(
            settings.max_live, settings.max_queued, settings.retain_seconds, settings.retain_count
        )
        budgets = BudgetIndex(known=False)
        desk = Desk(self._clock, loop.call_later, directory, store.books, read_pool, prices.currency)
        accounts = AccountsActor.spawn(dispatcher, dispatcher, around, desk, budgets)
        around.accounts, around.budgets = accounts, budgets
        accounts.tell(LoadBudgets())
        stack.push_async_callback(_stopped, accounts)
        self._supervisor = Supervisor.spawn(
            dispatcher, dispatcher, around, limits, directory, recovery, services=services, goes_on=self._goes_on
        )
        for service in services:
            service.start()
        self._service = ExecutionService(
            around=around,
            directory=directory,
            catalogue=catalogue,
            reader=store.reader,
            recovery=recovery,
            read_pool=read_pool,
            books=store.books,
            transactions=store.transactions,
            reads_apart=store.reads_apart,
            on_drain=self.request_stop,
            keys=KeyOperations(around, store.reader, read_pool, vault, keys, providers),
            key_check=KeyCheck(registry, providers.keys if providers is not None else None),
        )
        stack.push_async_callback(self._stop_supervisor)
        if self._goes_on:
            self._supervisor.tell(RecoverWorker())

    def _choose_keys(
        self, stack: AsyncExitStack, finder: KeyFinder, stored: Callable[..., StoredKeys]
    ) -> StoredKeys | None:
        """Have nodes ask the application's resolver for keys, or, unless it has put one there, ours; return ours."""
        before = finder.resolver
        ours: StoredKeys | None = None
        if self._given_keys is not None:
            finder.use(self._given_keys)
        elif finder.is_default and isinstance(before, EnvironmentKeys):
            ours = stored(shared=before if self.settings.shared_keys else None)
            finder.use(ours)
        # The registry may be of use to another engine after this one.
        stack.callback(finder.use, before)
        return ours

    def _open_journal(self, worker_id: str) -> SqlJournal:
        settings = self.settings
        if settings.journal_url is not None:
            return SqlJournal.at(settings.journal_url, worker_id)
        return SqlJournal.in_folder(settings.data_dir, worker_id)

    # How it ends

    def request_stop(self, grace: float | None = None) -> None:
        """Have whoever waits in `stop_requested` drain this engine; asked again, an ongoing drain hurries."""
        self._grace = self.settings.drain_grace if grace is None else grace
        if self._service is not None:
            self._service.note_drain()
        if self._stop_wanted.is_set():
            self._supervisor.tell(DrainWorker())
        self._stop_wanted.set()

    async def stop_requested(self) -> None:
        """Wait until somebody asks for the end, by signal or `POST /drain`; WorkerFailed if it cannot go on."""
        await self._stop_wanted.wait()
        if self.failure is not None:
            raise WorkerFailed(self.failure)

    async def drain(self) -> None:
        """Admit nothing new, let calls in flight finish for the grace period, checkpoint what is live.

        What is not stored in time goes on from the journal at the next start; in `exit`, of which there is none, from
        its last checkpoint or its beginning.
        """
        grace = self._grace if self._grace is not None else self.settings.drain_grace
        await self._drain(grace)

    def _give_up(self, reason: str) -> None:
        """Note, from any thread, that this worker cannot go on."""
        logger.critical("worker cannot go on", why=reason)
        self.failure = self.failure or reason
        self._loop_of_stop.call_soon_threadsafe(self._stop_wanted.set)

    async def _drain(self, grace: float) -> None:
        try:
            async with asyncio.timeout(grace + DRAIN_SECONDS):
                drained = await self._supervisor.ask(DrainWorker(grace), block=False)
                while isinstance(drained, LoopFuture):
                    drained = await drained
            self._has_drained = True
            logger.info("worker drained", checkpointed=drained)
        except TimeoutError:
            self._has_drained = True
            logger.error("drain took too long: not everything is stored", seconds=DRAIN_SECONDS)
            tell_how_it_goes_on(self._directory)
        except ActorDeadError:
            logger.error("supervisor is gone: what is live is not stored")
            tell_how_it_goes_on(self._directory)

    async def _stop_supervisor(self) -> None:
        """Checkpoint what is live, then stop the actors."""
        if self.failure is None and not self._has_drained:
            await self._drain(0.0)
        await self._supervisor.stop(block=False)

    # The short way for Python

    async def start(
        self,
        workflow: str | JsonObject | Workflow,
        inputs: JsonObject | None = None,
        *,
        user: str | ExecutionUser,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Accept an execution; returns its id (32 hex digits) once it is stored."""
        named = ExecutionUser(user) if isinstance(user, str) else user
        return await self.service.start(
            workflow,
            inputs or {},
            caller=OPERATOR,
            user=named,
            labels=labels,
            durability=durability,
            budget=budget,
            idempotency_key=idempotency_key,
        )

    async def status(self, execution_id: str) -> JsonObject:
        """Return the status payload."""
        return _payload(await self.service.status(execution_id, caller=OPERATOR))

    async def resume(
        self,
        execution_id: str,
        *,
        guidance: str = "",
        user: str | ExecutionUser | None = None,
        as_other_user: bool = False,
    ) -> None:
        """Have an execution go on from what did not finish; `as_other_user`: as `user`, whose it is from then on."""
        named = ExecutionUser(user) if isinstance(user, str) else user
        await self.service.resume(
            execution_id, caller=OPERATOR, guidance=guidance, user=named, as_other_user=as_other_user
        )

    async def fork(
        self,
        execution_id: str,
        inputs: JsonObject | None = None,
        *,
        workflow: str | JsonObject | Workflow | None = None,
        outputs: JsonObject | None = None,
        guidance: str = "",
    ) -> str:
        """Start an execution that keeps what these changes of another, at rest, do not touch; return its id.

        `inputs` are those that change; `outputs` are given by hand, by node id or `chapters[2]`.
        """
        request = ForkRequest(inputs or {}, workflow, outputs, guidance)
        return await self.service.forks.start(execution_id, request, caller=OPERATOR)

    async def wait(self, execution_id: str, timeout: float | None = None) -> JsonObject:
        """Return the status payload once the execution is at rest and stored; StatusUnavailable past `timeout` s."""
        try:
            async with asyncio.timeout(timeout):
                await self.service.rest(execution_id)
                return await self.status(execution_id)
        except TimeoutError:
            raise StatusUnavailable(execution_id, timeout or 0.0) from None


async def _stopped(ref: ActorRef[Any]) -> None:
    """Have an actor stop, and wait for it."""
    await ref.stop(block=False)


async def _in_thread(function: Callable[..., None], *args: object) -> None:
    """Call what blocks on a thread, and wait for it."""
    await asyncio.get_running_loop().run_in_executor(None, partial(function, *args))


def _payload(answer: Any) -> JsonObject:
    payload: JsonObject = orjson.loads(answer.body)
    return payload
