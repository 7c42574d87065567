"""Everything that can be asked of a worker, for HTTP, command line and Python alike. Holds no run state."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import orjson

from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.execution_ids import execution_ids
from offbook.actors.execution_messages import (
    CancelExecution,
    Command,
    PauseExecution,
    ResumeExecution,
    SignalExecution,
)
from offbook.actors.feed import ExecutionFeed
from offbook.actors.forks import Forks
from offbook.actors.key_check import KeyCheck
from offbook.actors.keys import KeyOperations
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.service_base import STORE_TIMEOUT
from offbook.actors.service_status import ServiceStatus
from offbook.actors.spending import Spending, read_budget
from offbook.actors.supervisor_messages import DeleteStored, ForwardCommand, StartExecution
from offbook.actors.surroundings import Surroundings
from offbook.actors.views import Views
from offbook.actors.watching import ExecutionWatching
from offbook.workflows.bookings import reservation
from offbook.workflows.budgets import Budget
from offbook.workflows.caller import Caller
from offbook.workflows.document import Workflow
from offbook.workflows.errors import (
    CommandRefused,
    ExecutionNotFound,
    ExecutionUserMissing,
    Forbidden,
    Problem,
    StorageUnavailable,
    ValidationFailed,
)
from offbook.workflows.inputs import check_inputs
from offbook.workflows.ledger import LedgerReader
from offbook.workflows.plan import Plan
from offbook.workflows.records import ExecutionReader, InsertExecution
from offbook.workflows.run import Run
from offbook.workflows.states import Durability, ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue


class ExecutionService(ServiceStatus):
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
        reads_apart: Callable[[], int],
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
        self._reads_apart = reads_apart
        self._on_drain = on_drain
        self._ids = execution_ids()
        self.watching = ExecutionWatching(directory, self.status)
        """Events of executions, for those who watch."""
        self.feed = ExecutionFeed(around, directory)
        """Changes of the list of executions."""
        self.forks = Forks(
            around,
            directory,
            catalogue.types,
            new_id=partial(next, self._ids),
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
            terms_of=self._terms,
            check_caller=self._check_caller,
            stored_run=self._stored_run,
            in_pool=self._read,
            currency=around.currency,
        )

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
        execution_user, mode, own_budget = await self._terms(plan, caller, user, durability, budget)
        now = self._around.clock()
        execution_id = next(self._ids)
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
        if entry is not None and entry.status.at_rest and not entry.saved:
            # It has just come to rest, and is about to be stored.
            await self._rest_soon(execution_id)
        owner = entry.user_id if entry is not None else caller.user_id
        if entry is None:
            row = await self._read(self._reader.load_row, execution_id)
            # Whose open lists are to hear of it.
            owner = row.user_id if row is not None else owner
            if (
                row is not None
                and not ExecutionStatus(row.status).at_rest
                and row.worker_id != self._around.worker_id
            ):
                advice = f"worker {row.worker_id} has it: cancel it there first"
                raise CommandRefused(execution_id, "delete", row.status, advice)
        if not await self._ask_supervisor(DeleteStored(execution_id), STORE_TIMEOUT):
            raise ExecutionNotFound(execution_id)
        self.feed.deleted(execution_id, owner)

    async def needs(self, document: str | JsonObject) -> JsonObject:
        """Return which nodes of a valid document need a user, and which the key of which provider."""
        return self._key_check.describe(self._accept(document))

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

    async def _terms(
        self,
        plan: Plan,
        caller: Caller,
        user: ExecutionUser | None,
        durability: str | None,
        budget: JsonObject | None,
    ) -> tuple[ExecutionUser, Durability, Budget | None]:
        """Say for whom an execution would run, how durably, with which budget of its own; refuse what may not be."""
        execution_user = self._execution_user(plan, caller, user)
        await self._key_check.check(plan, execution_user)
        mode = self._durability(plan, durability)
        return execution_user, mode, read_budget(budget) if budget is not None else None

    def _execution_user(self, plan: Plan, caller: Caller, named: ExecutionUser | None) -> ExecutionUser:
        own = caller.as_execution_user()
        if own is not None:
            if named is not None and named.id != own.id:
                raise Forbidden(None, "only an operator starts an execution for another user")
            return named or own
        if named is None or not named.id:
            raise ExecutionUserMissing(None, plan.nodes_needing_user)
        return named

    async def _command(self, command: Command, caller: Caller) -> Any:
        """Send a command; ExecutionNotFound unless the execution exists and is the caller's."""
        await self._entry(command.execution_id)
        return await self._ask_supervisor(ForwardCommand(command, caller), STORE_TIMEOUT)


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
