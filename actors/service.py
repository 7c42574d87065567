"""Everything that can be asked of a worker, for HTTP, command line and Python alike. Holds no run state."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import orjson
from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.feed import ExecutionFeed
from offbook.actors.forks import Forks
from offbook.actors.key_check import KeyCheck
from offbook.actors.keys import KeyOperations
from offbook.actors.loop import LoopFuture, LoopRef
from offbook.actors.messages import (
    AdoptExecution,
    CancelExecution,
    Command,
    DeleteStored,
    ForwardCommand,
    GetChange,
    GetOutput,
    GetRest,
    GetStatus,
    KeepWorkflow,
    ListActors,
    ListLive,
    PauseExecution,
    ResumeExecution,
    SignalExecution,
    StartExecution,
    StatusAnswer,
)
from offbook.actors.pages import decode_cursor, encode_cursor, row_json
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.spending import Spending, read_budget
from offbook.actors.surroundings import Surroundings
from offbook.actors.views import Views
from offbook.actors.watching import ExecutionWatching
from offbook.workflows.bookings import reservation
from offbook.workflows.caller import Caller
from offbook.workflows.checkpoint import checkpoint_document, unsaved_document
from offbook.workflows.document import Workflow
from offbook.workflows.errors import (
    CheckpointNotFound,
    ExecutionNotFound,
    ExecutionUserMissing,
    Forbidden,
    NodeNotFound,
    Problem,
    StatusUnavailable,
    StorageUnavailable,
    ValidationFailed,
    WorkflowNotFound,
)
from offbook.workflows.inputs import check_inputs
from offbook.workflows.ledger import LedgerReader
from offbook.workflows.plan import Plan
from offbook.workflows.records import (
    ExecutionFilter,
    ExecutionReader,
    ExecutionRow,
    InsertExecution,
    PutWorkflow,
)
from offbook.workflows.run import Run
from offbook.workflows.schema import workflow_schema
from offbook.workflows.states import Durability, ExecutionStatus
from offbook.workflows.status import NO_JOURNAL, StatusContext, status_payload
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, format_time

T = TypeVar("T")

ASK_TIMEOUT = 10.0
"""Seconds that an answer may take which needs no database."""
STORE_TIMEOUT = 30.0
"""Seconds that an answer may take which waits for a commit."""
SAVE_PATIENCE = 1.0
"""Seconds that a checkpoint may take to be stored before it is shown as it will be."""
RESTART_POLL = 0.02
"""Seconds between two looks at whether a crashed actor has been restarted."""
LAG_SAMPLE = 0.005
"""Seconds that the control loop is asked to come back after, to see how much later it does."""
MAX_PAGE = 500
GET_STATUS = GetStatus(None)
FINGERPRINT_LENGTH = 64
IDS_AT_ONCE = 256


class ExecutionService:
    """Starts, shows and steers executions on behalf of callers."""

    def __init__(
        self,
        *,
        around: Surroundings,
        directory: ExecutionDirectory,
        catalogue: Catalogue,
        reader: ExecutionReader,
        recovery: WorkerRecovery,
        read_pool: Executor,
        transactions: Callable[[], tuple[int, int]],
        on_drain: Callable[[float | None], None],
        keys: KeyOperations,
        key_check: KeyCheck,
        books: LedgerReader,
    ) -> None:
        """`on_drain(grace)` has whoever runs this worker drain and end it."""
        self._around = around
        self._directory = directory
        self._catalogue = catalogue
        self._reader = reader
        self._recovery = recovery
        self._read_pool = read_pool
        self._transactions = transactions
        self._on_drain = on_drain
        self.watching = ExecutionWatching(directory, self.status)
        """Events of executions, for those who watch."""
        self.feed = ExecutionFeed(around, directory)
        """Changes of the list of executions."""
        self.forks = Forks(
            around,
            directory,
            catalogue.types,
            new_id=lambda: next(_new_ids),
            plan_of=self._plan,
            execution_user=self._execution_user,
            check_keys=key_check.check,
            durability=self._durability,
            check_caller=self._check_caller,
            rest_soon=self._rest_soon,
            stored_run=self._stored_run,
            ask_supervisor=self._ask_supervisor,
        )
        self.keys = keys
        self._key_check = key_check
        self.spending = Spending(around, directory, books, read_pool, self._command)
        """What users spent, and may spend."""
        self._draining = False
        self._started = time.monotonic()
        self.views = Views(
            directory,
            plan=self._plan,
            accept=self._accept,
            check_caller=self._check_caller,
            stored_run=self._stored_run,
            in_pool=self._read,
            currency=around.currency,
        )

    # Executions

    async def start(
        self,
        workflow: str | JsonObject | Workflow,
        inputs: JsonObject,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Accept an execution and return its id once its row is committed.

        `workflow` is a name, a fingerprint, a document or a built workflow. With an idempotency key that was
        used before for the same request, the id is that of the execution it started. `budget` (`{tokens | money,
        mode}`) is what it may spend, in place of what its workflow says.
        """
        plan = await self._plan(workflow)
        checked = check_inputs(plan.workflow, inputs)
        execution_user = self._execution_user(plan, caller, user)
        await self._key_check.check(plan, execution_user)
        mode = self._durability(plan, durability)
        now = self._around.clock()
        own_budget = read_budget(budget) if budget is not None else None
        execution_id = next(_new_ids)
        run = Run(
            plan,
            execution_id,
            user=execution_user,
            inputs=checked,
            labels=labels or {},
            durability=mode.value,
            created_at=now,
        )
        run.budget = own_budget or run.budget
        insert = InsertExecution(
            execution_id=execution_id,
            workflow_name=plan.workflow.name,
            fingerprint=plan.fingerprint,
            document=plan.document,
            user=execution_user,
            labels=run.labels,
            inputs=checked,
            durability=mode.value,
            worker_id=self._around.worker_id,
            created_at=now,
            idempotency_key=idempotency_key,
            request_hash=_request_hash(plan, inputs, execution_user, labels, durability, budget)
            if idempotency_key
            else None,
            budget=own_budget.to_json() if own_budget is not None else None,
            bookings=reservation(run, run.epoch, now),
        )
        return str(await self._ask_supervisor(StartExecution(run, insert), STORE_TIMEOUT))

    async def status(
        self, execution_id: str, *, caller: Caller, since: int | None = None, wait: float | None = None
    ) -> StatusAnswer:
        """Answer the status payload, from the actor's memory, or from the database once it has gone.

        With `since`, only what changed after that revision; with `wait`, up to so many seconds later, as soon
        as there is something newer than `since`.
        """
        entry = self._directory.find(execution_id) or await self._entry(execution_id)
        if entry is None:
            return await self._stored_status(execution_id, caller, since)
        if not (caller.is_operator or caller.may_see(entry.user_id)):
            raise ExecutionNotFound(execution_id)
        ref = entry.ref
        if ref is None:
            if wait and since is not None and since >= entry.run.revision:
                left = await self._until_restarted(entry, None, wait)
                return await self.status(execution_id, caller=caller, since=since, wait=left)
            return _snapshot(entry, since, self._around.currency)
        until = time.monotonic() + wait if wait else 0.0
        try:
            if wait and since is not None:
                await self._wait_for_change(ref, since, wait)
            asked = cast("LoopRef", ref).ask_at_once(GET_STATUS if since is None else GetStatus(since))
            if not asked.done():
                # Mostly it is answered within this turn of the loop, and a timer would cost as much as the answer.
                await asyncio.sleep(0)
            answer: object = asked.get() if asked.done() else asked
            if isinstance(answer, LoopFuture):
                async with asyncio.timeout(ASK_TIMEOUT):
                    while isinstance(answer, LoopFuture):
                        answer = await answer
        except ActorDeadError:
            # It crashed or was evicted between the look-up and the answer.
            entry = self._directory.find(execution_id)
            if entry is None:
                return await self._stored_status(execution_id, caller, since)
            if wait and since is not None and since >= entry.run.revision:
                left = await self._until_restarted(entry, ref, until - time.monotonic())
                return await self.status(execution_id, caller=caller, since=since, wait=left)
            if entry.ref is not ref:
                return await self.status(execution_id, caller=caller, since=since)
            return _snapshot(entry, since, self._around.currency)
        except TimeoutError:
            raise StatusUnavailable(execution_id, ASK_TIMEOUT) from None
        assert isinstance(answer, StatusAnswer)
        return answer

    async def _wait_for_change(self, ref: ActorRef[Any], since: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                change = await ref.ask(GetChange(since, seconds), block=False)
                await change
        except TimeoutError:
            return

    async def _until_restarted(self, entry: Entry, dead: ActorRef[Any] | None, seconds: float) -> float:
        """Wait for the actor after a dead one; return how many of so many seconds are left."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if entry.ref not in (None, dead) or self._directory.find(entry.execution_id) is not entry:
                return left
            await asyncio.sleep(min(RESTART_POLL, left))
        return 0.0

    async def _entry(self, execution_id: str) -> Entry | None:
        """Find an execution in memory; one that is still to be recovered is recovered first."""
        directory = self._directory
        if execution_id in directory.recovering or (not directory.surveyed and execution_id not in directory):
            await self._ask_supervisor(AdoptExecution(execution_id), STORE_TIMEOUT)
        return self._directory.find(execution_id)

    async def rest(self, execution_id: str) -> None:
        """Wait until an execution is at rest and stored; one that is not in memory is."""
        while (entry := await self._entry(execution_id)) is not None:
            if entry.ref is not None:
                try:
                    at_rest = await entry.ref.ask(GetRest(), block=False)
                    await at_rest
                    return
                except ActorDeadError:
                    logger.debug("waited for an actor that is gone", execution_id=execution_id)
            await asyncio.sleep(RESTART_POLL)

    async def _rest_soon(self, execution_id: str) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self.rest(execution_id)
        except TimeoutError:
            raise StorageUnavailable(f"not stored within {STORE_TIMEOUT:g} s") from None

    async def resume(
        self,
        execution_id: str,
        *,
        caller: Caller,
        guidance: str = "",
        user: ExecutionUser | None = None,
        as_other_user: bool = False,
    ) -> JsonObject:
        """Have an execution go on from what did not finish; the same answer if it does already.

        `as_other_user`, for operators: it goes on on behalf of `user`, whose it is from then on.
        """
        if as_other_user and not caller.is_operator:
            raise Forbidden(execution_id, "only an operator resumes an execution as another user")
        epoch = await self._command(ResumeExecution(execution_id, guidance, user, as_other_user), caller)
        return {"execution_id": execution_id, "epoch": epoch, "status_url": f"/status/{execution_id}"}

    async def cancel(self, execution_id: str, *, caller: Caller) -> None:
        """Stop: calls in flight are aborted, partial text is kept, a checkpoint is saved."""
        await self._command(CancelExecution(execution_id), caller)

    async def pause(self, execution_id: str, *, caller: Caller) -> None:
        """Start nothing new; calls in flight finish and are kept; a checkpoint is saved."""
        await self._command(PauseExecution(execution_id), caller)

    async def signal(self, execution_id: str, name: str, payload: JsonValue, *, caller: Caller) -> None:
        """Answer what an execution waits for; ValidationFailed if the form refuses the payload."""
        await self._command(SignalExecution(execution_id, name, payload), caller)

    async def delete(self, execution_id: str, *, caller: Caller) -> None:
        """Forget an execution that is at rest, with its outputs and checkpoint."""
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        owner = entry.user_id if entry is not None else caller.user_id
        if not await self._ask_supervisor(DeleteStored(execution_id), STORE_TIMEOUT):
            raise ExecutionNotFound(execution_id)
        self.feed.deleted(execution_id, owner)

    async def output(self, execution_id: str, node_id: str, item: int | None = None, *, caller: Caller) -> JsonValue:
        """Return the whole output of a node or item."""
        await self._check_caller(execution_id, caller)
        entry = await self._entry(execution_id)
        if entry is not None and entry.ref is not None:
            return await entry.ref.ask(GetOutput(node_id, item), block=False)
        run = await self._stored_run(execution_id)
        try:
            return run.output(node_id, item)
        except KeyError:
            raise NodeNotFound(execution_id, node_id, "no such node or item, or it has no output") from None

    async def checkpoint(self, execution_id: str, *, caller: Caller) -> JsonObject:
        """Return the checkpoint, whole: as it is stored, or as it will be once the database takes it."""
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        if entry is not None and entry.status.at_rest and not entry.saved:
            # What has just come to rest is about to be stored, or its checkpoint to be deleted.
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_PATIENCE):
                    await self.rest(execution_id)
            entry = self._directory.find(execution_id)
            if entry is not None and entry.run.status.at_rest and not entry.saved:
                if entry.run.status is ExecutionStatus.COMPLETED:
                    raise CheckpointNotFound(execution_id)
                return unsaved_document(entry.run)
        stored = await self._read(self._reader.load, execution_id)
        if stored is None:
            raise ExecutionNotFound(execution_id)
        if stored.checkpoint is None:
            raise CheckpointNotFound(execution_id)
        return checkpoint_document(stored)

    async def list_executions(
        self,
        *,
        caller: Caller,
        statuses: tuple[str, ...] = (),
        workflow: str | None = None,
        user: str | None = None,
        labels: dict[str, str] | None = None,
        parent: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JsonObject:
        """Return a page, newest first: what is in memory from memory, the rest by one read."""
        limit = max(1, min(limit, MAX_PAGE))
        owner = user if caller.is_operator else caller.user_id
        where = ExecutionFilter(
            statuses=statuses, workflow=workflow, user_id=owner, labels=labels or {}, parent_id=parent
        )
        before = decode_cursor(cursor)
        live = await self._ask_supervisor(ListLive(where), ASK_TIMEOUT)
        rows = {
            row.execution_id: row for row in live if before is None or (row.created_at, row.execution_id) < before
        }
        stored = await self._read_page(where, before, limit + 1)
        for row in stored:
            # A row of ours that claims to be live but is not in memory lost its process.
            if row.execution_id in self._directory.recovering:
                rows[row.execution_id] = replace(row, status=ExecutionStatus.RECOVERING.value)
            elif row.execution_id not in self._directory:
                rows.setdefault(row.execution_id, row)
        page = sorted(rows.values(), key=lambda row: (row.created_at, row.execution_id), reverse=True)
        more = len(page) > limit
        page = page[:limit]
        return {
            "executions": [self._row_json(row) for row in page],
            "next_cursor": encode_cursor(page[-1]) if more else None,
        }

    def _row_json(self, row: ExecutionRow) -> JsonObject:
        entry = self._directory.find(row.execution_id)
        usage = row.usage if entry is None else entry.run.usage
        return row_json(row, usage, self._around.currency, live=entry is not None)

    # Workflows

    async def put_workflow(self, document: str | JsonObject | Workflow) -> JsonObject:
        """Register a workflow under its name; the newest of a name answers to it."""
        plan = self._accept(document)
        write = PutWorkflow(plan.fingerprint, plan.workflow.name, plan.document, self._around.clock())
        await self._ask_supervisor(KeepWorkflow(write), STORE_TIMEOUT)
        self._catalogue.name(plan)
        return {"name": plan.workflow.name, "fingerprint": plan.fingerprint}

    async def list_workflows(self) -> list[JsonObject]:
        """Return the registered workflows, newest first."""
        rows = await self._read(self._reader.list_workflows)
        return [
            {"name": row.name, "fingerprint": row.fingerprint, "created_at": format_time(row.created_at)}
            for row in rows
        ]

    async def workflow(self, reference: str) -> JsonObject:
        """Return a workflow by fingerprint or name, with its document."""
        found = await self._read(self._reader.workflow, reference)
        if found is None:
            raise WorkflowNotFound(reference)
        row, document = found
        return {
            "name": row.name,
            "fingerprint": row.fingerprint,
            "created_at": format_time(row.created_at),
            "document": document,
        }

    async def validate(self, document: str | JsonObject) -> list[Problem]:
        """Return everything that is wrong with a document; empty if it would be accepted."""
        try:
            self._accept(document)
        except ValidationFailed as refused:
            return list(refused.problems)
        return []

    async def needs(self, document: str | JsonObject) -> JsonObject:
        """Return which nodes of a valid document need a user, and which the key of which provider."""
        return self._key_check.describe(self._accept(document))

    async def schema(self) -> JsonObject:
        """Return the JSON Schema of documents, with the node types of this worker."""
        return workflow_schema(self._catalogue.types)

    # Operations

    async def recovered(self) -> None:
        """Wait until all that a process before this one left unfinished is in memory again."""
        await self._directory.recovered

    async def actors(self) -> JsonObject:
        """List every actor of this worker."""
        actors = await self._ask_supervisor(ListActors(), ASK_TIMEOUT)
        began = time.perf_counter()
        await asyncio.sleep(LAG_SAMPLE)
        lag_ms = round(1000 * max(0.0, time.perf_counter() - began - LAG_SAMPLE), 1)
        return {
            "actors": actors,
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
            return False, {"status": "unready", "database": str(away), **self._state(), "counts": self._figures()}
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
            **self._around.runner.figures(),
        }

    # How it is done

    async def _plan(self, workflow: str | JsonObject | Workflow) -> Plan:
        if not isinstance(workflow, str):
            return self._accept(workflow)
        known = self._catalogue.by_fingerprint(workflow) or self._catalogue.by_name(workflow)
        if known is not None:
            return known
        found = await self._read(self._reader.workflow, workflow)
        if found is None:
            raise WorkflowNotFound(workflow)
        row, document = found
        plan = self._catalogue.restore(document, row.fingerprint)
        if workflow != row.fingerprint:
            self._catalogue.name(plan)
        return plan

    def _durability(self, plan: Plan, asked: str | None) -> Durability:
        """Choose the mode: the one that is asked for, the workflow's, or `async`. Refuse what cannot be kept."""
        modes = [mode.value for mode in Durability]
        if asked is not None and asked not in modes:
            message = f"durability {asked!r} is not one of {', '.join(modes)}"
            raise ValidationFailed([Problem("bad-durability", message, "durability")])
        wanted = Durability(asked) if asked else plan.workflow.durability
        if self._around.journal is None:
            if wanted not in (None, Durability.EXIT):
                raise StorageUnavailable(f"this engine has no journal, so durability {wanted.value!r} cannot be kept")
            return Durability.EXIT
        mode = wanted or Durability.ASYNC
        fault = self._around.journal_fault()
        if fault is not None and mode is not Durability.EXIT:
            raise StorageUnavailable(
                f"the journal cannot be written ({fault}), so durability {mode.value!r} cannot be kept"
            )
        return mode

    def _accept(self, document: str | JsonObject | Workflow) -> Plan:
        if isinstance(document, Workflow):
            return self._catalogue.accept_built(document)
        return self._catalogue.accept(document)

    def _execution_user(self, plan: Plan, caller: Caller, named: ExecutionUser | None) -> ExecutionUser:
        if not caller.is_operator:
            if named is not None and named.id != caller.user_id:
                raise Forbidden("(new)", "only an operator starts an execution for another user")
            return named or ExecutionUser(caller.user_id or "", caller.role, caller.tier)
        if named is None or not named.id:
            raise ExecutionUserMissing(None, plan.nodes_needing_user)
        return named

    async def _check_caller(self, execution_id: str, caller: Caller) -> None:
        """Raise ExecutionNotFound unless the execution exists and is the caller's."""
        entry = await self._entry(execution_id)
        if entry is not None:
            owner = entry.user_id
        elif caller.is_operator:
            return
        else:
            row = await self._read(self._reader.load_row, execution_id)
            if row is None:
                raise ExecutionNotFound(execution_id)
            owner = row.user_id
        if not caller.may_see(owner):
            raise ExecutionNotFound(execution_id)

    async def _command(self, command: Command, caller: Caller) -> Any:
        """Send a command; ExecutionNotFound unless the execution exists and is the caller's."""
        await self._entry(command.execution_id)
        return await self._ask_supervisor(ForwardCommand(command, caller), STORE_TIMEOUT)

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

    async def _read_page(self, where: ExecutionFilter, before: tuple[float, str] | None, limit: int) -> Any:
        def question() -> Any:
            return self._reader.list_executions(where, before=before, limit=limit)

        return await self._read(question)

    async def _stored_run(self, execution_id: str) -> Run:
        found = await self._read(self._recovery.read, execution_id)
        if found is None:
            raise ExecutionNotFound(execution_id)
        return found[1]

    async def _stored_status(self, execution_id: str, caller: Caller, since: int | None) -> StatusAnswer:
        found = await self._read(self._recovery.read, execution_id)
        if found is None or not caller.may_see(found[0].user.id if found[0].user else None):
            raise ExecutionNotFound(execution_id)
        stored, run = found
        journal = {**NO_JOURNAL, "state": self._journal_state()}
        saved = stored.checkpoint is not None
        context = StatusContext("database", saved, journal, self._around.currency)
        return StatusAnswer(orjson.dumps(status_payload(run, context, since)), run.revision)


def _ids() -> Iterator[str]:
    """Yield ids that nobody can guess, 32 hex digits each; the system is asked for many at once."""
    while True:
        block = secrets.token_hex(16 * IDS_AT_ONCE)
        yield from (block[start : start + 32] for start in range(0, len(block), 32))


_new_ids = _ids()


def _snapshot(entry: Entry, since: int | None, currency: str) -> StatusAnswer:
    """Answer from the state that a crashed actor handed over, while it is restarted; what is at rest is so still."""
    run = entry.run
    # An actor that is restarted at rest has no news: nobody would hear that it recovers no more.
    status = None if run.status.at_rest else ExecutionStatus.RECOVERING
    saved = entry.saved and run.status.at_rest and run.status is not ExecutionStatus.COMPLETED
    context = StatusContext(status=status, checkpoint_saved=saved, currency=currency)
    return StatusAnswer(orjson.dumps(status_payload(run, context, since)), run.revision)


def _request_hash(
    plan: Plan,
    inputs: JsonObject,
    user: ExecutionUser,
    labels: dict[str, str] | None,
    durability: str | None,
    budget: JsonObject | None,
) -> str:
    request = [plan.fingerprint, inputs, user.to_json(), labels or {}, durability, budget]
    return hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).hexdigest()
