"""Forks of executions, and plans of forks and resumes: what is kept, what runs, what it costs. Holds no run state."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, TypeVar

import orjson
from loguru import logger

from offbook.actors.directory import ExecutionDirectory
from offbook.actors.slices import SliceTask
from offbook.actors.supervisor_messages import StartExecution
from offbook.actors.surroundings import Surroundings
from offbook.workflows.caller import Caller
from offbook.workflows.changes import WorkflowChanged, changes_between
from offbook.workflows.document import Workflow
from offbook.workflows.errors import CommandRefused, StorageUnavailable
from offbook.workflows.fork_plan import plan_fork
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.forking import Edition, fork_of, insert_of, read_edits, seed
from offbook.workflows.inputs import check_inputs
from offbook.workflows.plan import Plan
from offbook.workflows.resume_plan import resume_plan
from offbook.workflows.run import Run
from offbook.workflows.run_state import RunState
from offbook.workflows.states import Durability
from offbook.workflows.types import NodeTypes
from offbook.workflows.values import ExecutionUser, JsonObject

T = TypeVar("T")

EVALUATION_SECONDS = 60.0
"""How long the templates of a whole execution may take."""
STORE_SECONDS = 30.0


class Forks:
    """Starts executions that keep what they can of another one."""

    def __init__(
        self,
        around: Surroundings,
        directory: ExecutionDirectory,
        types: NodeTypes,
        *,
        new_id: Callable[[], str],
        plan_of: Callable[[str | JsonObject | Workflow], Awaitable[Plan]],
        execution_user: Callable[[Plan, Caller, ExecutionUser | None], ExecutionUser],
        check_keys: Callable[[Plan, ExecutionUser, Collection[str]], Awaitable[None]],
        durability: Callable[[Plan, str | None], Durability],
        check_caller: Callable[[str, Caller], Awaitable[None]],
        rest_soon: Callable[[str], Awaitable[None]],
        stored_run: Callable[[str], Awaitable[Run]],
        ask_supervisor: Callable[[object, float], Awaitable[Any]],
    ) -> None:
        """Take over what the ExecutionService knows how to do."""
        self._around = around
        self._directory = directory
        self._types = types
        self._new_id = new_id
        self._plan_of = plan_of
        self._execution_user = execution_user
        self._check_keys = check_keys
        self._durability = durability
        self._check_caller = check_caller
        self._rest_soon = rest_soon
        self._stored_run = stored_run
        self._ask_supervisor = ask_supervisor

    async def start(
        self,
        execution_id: str,
        request: ForkRequest,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Accept a fork and return its id once it is stored, with its own copy of all that it may keep.

        Labels, user and durability are those of the parent unless others are given. CommandRefused if the parent
        is not at rest.
        """
        parent = await self._parent(execution_id, caller)
        edition = await self._edition(parent, request, caller, user)
        mode = self._mode(parent, edition.plan, durability)
        reuse = await self.evaluate(seed(parent, edition, self._types))
        if edition.user is not None:
            kept = {place[0] for place in reuse.places if reuse.usable(place) is not None}
            await self._check_keys(edition.plan, edition.user, kept)
        run = fork_of(
            parent,
            edition,
            reuse,
            self._new_id(),
            labels=parent.labels if labels is None else labels,
            durability=mode.value,
            created_at=self._around.clock(),
        )
        request_hash = _request_hash(parent, run, edition) if idempotency_key else None
        insert = insert_of(run, self._around.worker_id, idempotency_key, request_hash)
        started = str(await self._ask_supervisor(StartExecution(run, insert), STORE_SECONDS))
        if run.user is not None and parent.user is not None and run.user.id != parent.user.id:
            logger.bind(audit=True).info(
                "execution forked for another user",
                execution_id=started,
                parent=execution_id,
                user=run.user.id,
                before=parent.user.id,
            )
        return started

    async def plan(
        self, execution_id: str, request: ForkRequest, *, caller: Caller, user: ExecutionUser | None = None
    ) -> JsonObject:
        """Say what such a fork would keep, run and perhaps run, and its likely cost; nothing is started."""
        parent = await self._parent(execution_id, caller)
        edition = await self._edition(parent, request, caller, user)
        return await self.evaluate(plan_fork(parent, edition, self._types, self._around.currency))

    async def plan_resume(self, execution_id: str, *, caller: Caller) -> JsonObject:
        """Say what a resume that came now would keep and repeat; NotResumable if it would be refused."""
        return resume_plan(await self._run(execution_id, caller), self._around.currency)

    async def check_workflow(
        self, execution_id: str, workflow: str | JsonObject | Workflow, *, caller: Caller
    ) -> None:
        """Raise WorkflowChanged, with what differs, unless this is the workflow that an execution runs."""
        runs = (await self._run(execution_id, caller)).plan
        sent = await self._plan_of(workflow)
        if sent.fingerprint != runs.fingerprint:
            shown = workflow.to_json() if isinstance(workflow, Workflow) else workflow
            raise WorkflowChanged(execution_id, changes_between(runs, sent), shown)

    async def evaluate(self, steps: Iterator[T | None]) -> T:
        """Have the node runner take steps that render templates; return what the last one gave."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def tell(value: T, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def done(value: T, error: Exception | None) -> None:
            loop.call_soon_threadsafe(tell, value, error)

        self._around.runner.submit(SliceTask(steps, done))
        try:
            async with asyncio.timeout(EVALUATION_SECONDS):
                return await future
        except TimeoutError:
            raise StorageUnavailable(f"its templates were not evaluated within {EVALUATION_SECONDS:g} s") from None

    async def _parent(self, execution_id: str, caller: Caller) -> Run:
        """Read an execution that is at rest: a copy, so that what happens to it from here on changes nothing."""
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        if entry is not None:
            if not entry.status.at_rest:
                advice = "pause or cancel it first, or wait until it has ended"
                raise CommandRefused(execution_id, "fork it", entry.status, advice)
            if not entry.saved:
                await self._rest_soon(execution_id)
        run = await self._stored_run(execution_id)
        if not run.status.at_rest:
            raise CommandRefused(execution_id, "fork it", run.status, "another worker has it: ask that one")
        return run

    async def _run(self, execution_id: str, caller: Caller) -> RunState:
        """Return an execution to be read before the next await: in memory its own state, else a copy."""
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        return entry.run if entry is not None else await self._stored_run(execution_id)

    async def _edition(
        self, parent: Run, request: ForkRequest, caller: Caller, user: ExecutionUser | None
    ) -> Edition:
        plan = parent.plan if request.workflow is None else await self._plan_of(request.workflow)
        kept = {name: value for name, value in parent.inputs.items() if name in plan.workflow.inputs}
        return Edition(
            plan=plan,
            inputs=check_inputs(plan.workflow, {**kept, **request.inputs}),
            edits=read_edits(plan, parent, request.outputs or {}),
            user=self._execution_user(plan, caller, user or (parent.user if caller.is_operator else None)),
            guidance=request.guidance,
        )

    def _mode(self, parent: Run, plan: Plan, asked: str | None) -> Durability:
        if asked is None and self._around.journal is not None:
            asked = parent.durability
        return self._durability(plan, asked)


def _request_hash(parent: Run, run: Run, edition: Edition) -> str:
    edits = [[node_id, item, value] for (node_id, item), value in edition.edits.items()]
    user = run.user.to_json() if run.user else None
    request = [parent.execution_id, run.plan.fingerprint, run.inputs, edits, edition.guidance, user, run.labels]
    return hashlib.sha256(orjson.dumps([*request, run.durability], option=orjson.OPT_SORT_KEYS)).hexdigest()
