"""A service that keeps executions in a dict and runs nothing: for tests of what is in front of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from offbook.actors.event_ring import frame
from offbook.web.service import Stream
from offbook.workflows.caller import Caller
from offbook.workflows.errors import (
    BudgetNotFound,
    CheckpointNotFound,
    ExecutionNotFound,
    ExecutionUserMissing,
    Forbidden,
    IdempotencyConflict,
    NodeNotFound,
    NotResumable,
    Problem,
    ValidationFailed,
    WorkflowNotFound,
)
from offbook.workflows.key_errors import KeyNotFound, UserNotFound
from offbook.workflows.records import ExecutionFilter
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue
from tests.web.dummy_forks import DummyForks

EPOCH = 2**32


@dataclass(frozen=True, slots=True)
class DummyAnswer:
    body: bytes
    revision: int


@dataclass
class DummyExecution:
    """One execution as a test sets it up."""

    execution_id: str
    user: ExecutionUser
    workflow: str | JsonObject
    inputs: JsonObject
    labels: dict[str, str]
    durability: str | None
    status: str = "running"
    revision: int = EPOCH + 1
    epoch: int = 1
    nodes: JsonObject = field(default_factory=dict)
    steps: list[JsonObject] = field(default_factory=list)
    error: JsonObject | None = None
    result: JsonValue = None
    signals: list[tuple[str, JsonValue]] = field(default_factory=list)
    guidance: str = ""
    budget: JsonObject | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, **values: JsonValue) -> None:
        """Set fields, count the revision up and wake whoever waits."""
        for name, value in values.items():
            setattr(self, name, value)
        self.revision += 1
        self.changed.set()
        self.changed = asyncio.Event()

    def payload(self, since: int | None) -> JsonObject:
        return {
            "execution_id": self.execution_id,
            "workflow": {"name": "dummy", "fingerprint": "f" * 64},
            "status": self.status,
            "waiting": None,
            "source": "memory",
            "partial": since is not None,
            "revision": self.revision,
            "epoch": self.epoch,
            "user_id": self.user.id,
            "labels": self.labels,
            "result": self.result,
            "progress": {"percent": 50.0, "completed": 1, "total": 2, "current": ["chapters"]},
            "node_results": self.nodes,
            "processing_steps": self.steps,
            "first_seq": 1,
            "last_output_node": None,
            "usage": {"input_tokens": 1, "output_tokens": 2, "estimated": False},
            "cost": None,
            "db_ops": {"reads": 0, "writes": 1},
            "durability": self.durability or "async",
            "journal": {"records": 0, "bytes": 0, "lag_ms": 0.0},
            "checkpoint": {"saved": self.status == "failed", "failed_at_node": None, "completed_nodes": []},
            "receipt": None,
            "error": self.error,
            "created_at": "2026-11-23T16:32:05.123Z",
            "started_at": None,
            "finished_at": None,
        }


def _nothing(execution: DummyExecution) -> None:
    """Run nothing."""


class DummyWatching:
    """Tells a whole snapshot whenever an execution has changed."""

    def __init__(self, service: DummyService) -> None:
        self._service = service

    async def watch(
        self, execution_id: str, stream: Stream, *, caller: Caller, after: tuple[int, int] | None
    ) -> bool:
        execution = self._service.find(execution_id, caller)
        await stream.open()
        while not stream.cut.done():
            changed = asyncio.ensure_future(execution.changed.wait())
            payload = execution.payload(None)
            stream.send(frame("snapshot", orjson.dumps(payload), (execution.revision, 0)))
            if ExecutionStatus(execution.status).ended:
                stream.send(frame("end", b'{"status": "%s"}' % execution.status.encode(), (execution.revision, 1)))
                changed.cancel()
                return True
            await asyncio.wait((changed, stream.cut), return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
        return True


class DummyKeys:
    """Keys in the open, by user and provider."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.raises: Exception | None = None
        """Raised by the next `put`."""

    async def put(self, user_id: str, provider: str, key: str, *, caller: Caller) -> None:
        _check(user_id, caller)
        if self.raises is not None:
            raise self.raises
        self.kept[user_id, provider] = key

    async def delete(self, user_id: str, provider: str, *, caller: Caller) -> None:
        _check(user_id, caller)
        if self.kept.pop((user_id, provider), None) is None:
            raise KeyNotFound(user_id, provider)

    async def list_keys(self, user_id: str, *, caller: Caller) -> list[JsonObject]:
        _check(user_id, caller)
        at = "2026-11-23T16:32:05.123Z"
        return [{"provider": place[1], "created_at": at} for place in sorted(self.kept) if place[0] == user_id]

    async def rotate(self, *, caller: Caller) -> JsonObject:
        if not caller.is_operator:
            raise Forbidden(None, "for operators")
        return {"resealed": len(self.kept), "unreadable": []}


def _check(user_id: str, caller: Caller) -> None:
    if not caller.may_see(user_id):
        raise UserNotFound(user_id)


class DummySpending:
    """Budgets by user, scope and unit; nothing was spent."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], JsonObject] = {}
        self.of_executions: dict[str, JsonObject] = {}

    async def usage(
        self, user_id: str, *, caller: Caller, first: str | None = None, last: str | None = None
    ) -> JsonObject:
        _check(user_id, caller)
        return {"user_id": user_id, "from": first, "to": last, "input_tokens": 0, "cost": None}

    async def budgets(self, user_id: str, *, caller: Caller) -> JsonObject:
        _check(user_id, caller)
        kept = [budget for place, budget in self.kept.items() if place[0] == user_id]
        return {"user_id": user_id, "currency": "USD", "budgets": kept}

    async def put_budget(self, user_id: str, data: JsonObject, *, caller: Caller) -> JsonObject:
        _check_operator(caller)
        unit = "tokens" if "tokens" in data else "money"
        self.kept[user_id, data["scope"], unit] = data
        return data

    async def delete_budget(self, user_id: str, scope: str, unit: str, *, caller: Caller) -> None:
        _check_operator(caller)
        if self.kept.pop((user_id, scope, unit), None) is None:
            raise BudgetNotFound(user_id, scope, unit)

    async def set_execution_budget(self, execution_id: str, data: JsonObject, *, caller: Caller) -> None:
        _check_operator(caller)
        self.of_executions[execution_id] = data


def _check_operator(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden(None, "for operators")


class DummyFeed:
    """Tells the list once."""

    def __init__(self, service: DummyService) -> None:
        self._service = service

    async def follow(self, stream: Stream, *, caller: Caller, where: ExecutionFilter, after: str) -> None:
        await stream.open()
        stream.send(b"id: dummy-0\nevent: ready\ndata: {}\n\n")
        page = await self._service.list_executions(caller=caller)
        for number, row in enumerate(page["executions"], 1):
            data = orjson.dumps(row).decode()
            stream.send(f"id: dummy-{number}\nevent: execution\ndata: {data}\n\n".encode())
        await asyncio.wait((stream.cut,))


class DummyService:
    """Answers like a worker; records what it was asked in `calls`."""

    def __init__(self) -> None:
        self.watching = DummyWatching(self)
        self.feed = DummyFeed(self)
        self.executions: dict[str, DummyExecution] = {}
        self.forks = DummyForks(self)
        self.requests: dict[str, tuple[JsonValue, str]] = {}
        self.keys = DummyKeys()
        self.spending = DummySpending()
        self.workflows: dict[str, JsonObject] = {}
        self.calls: list[tuple[str, JsonObject]] = []
        self.looked_up: list[str] = []
        self.raises: BaseException | None = None
        """Raised by the next `health`."""
        self.hold: asyncio.Event | None = None
        """If set, `health` waits for it."""
        self.held = asyncio.Semaphore(0)
        """Released for each `health` that waits."""
        self.asked = asyncio.Event()
        """Set by the first `status`."""
        self.views = DummyViews(self)
        self.is_ready = True
        self.drained: list[float | None] = []
        self.on_start: Callable[[DummyExecution], None] = _nothing
        """Called with each new execution."""

    async def start(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        if isinstance(workflow, str) and workflow not in self.workflows:
            raise WorkflowNotFound(workflow)
        user = user or caller.as_execution_user()
        if user is None:
            raise ExecutionUserMissing(None)
        request = [workflow, inputs]
        if idempotency_key in self.requests:
            known, execution_id = self.requests[idempotency_key]
            if known != request:
                raise IdempotencyConflict(idempotency_key, execution_id)
            return execution_id
        execution_id = f"{len(self.executions) + 1:032x}"
        execution = DummyExecution(execution_id, user, workflow, inputs, labels or {}, durability, budget=budget)
        self.executions[execution_id] = execution
        if idempotency_key:
            self.requests[idempotency_key] = (request, execution_id)
        self.on_start(execution)
        return execution_id

    def add(self, user_id: str = "ada", **values: JsonValue) -> DummyExecution:
        """Put an execution there without a request."""
        execution_id = f"{len(self.executions) + 1:032x}"
        execution = DummyExecution(execution_id, ExecutionUser(user_id), "dummy", {}, {}, None, **values)
        self.executions[execution_id] = execution
        return execution

    def find(self, execution_id: str, caller: Caller) -> DummyExecution:
        self.looked_up.append(execution_id)
        execution = self.executions.get(execution_id)
        if execution is None or not caller.may_see(execution.user.id):
            raise ExecutionNotFound(execution_id)
        return execution

    async def status(
        self, execution_id: str, *, caller: Caller, since: int | None = None, wait: float | None = None
    ) -> DummyAnswer:
        execution = self.find(execution_id, caller)
        self.calls.append(("status", {"since": since, "wait": wait}))
        self.asked.set()
        if wait and since is not None and execution.revision <= since:
            try:
                async with asyncio.timeout(wait):
                    await execution.changed.wait()
            except TimeoutError:
                pass
        return DummyAnswer(orjson.dumps(execution.payload(since)), execution.revision)

    async def resume(
        self,
        execution_id: str,
        *,
        caller: Caller,
        guidance: str = "",
        user: ExecutionUser | None = None,
        as_other_user: bool = False,
    ) -> JsonObject:
        execution = self.find(execution_id, caller)
        if user is not None and user.id != execution.user.id:
            if not as_other_user:
                raise Forbidden(execution_id, "it runs for another user")
            execution.user = user
        if execution.status == "completed":
            raise NotResumable(execution_id, "completed")
        execution.guidance = guidance
        execution.change(status="running", epoch=execution.epoch + 1)
        return {"execution_id": execution_id, "epoch": execution.epoch}

    async def cancel(self, execution_id: str, *, caller: Caller) -> None:
        self.find(execution_id, caller).change(status="cancelled")

    async def pause(self, execution_id: str, *, caller: Caller) -> None:
        self.find(execution_id, caller).change(status="paused")

    async def signal(self, execution_id: str, name: str, payload: JsonValue, *, caller: Caller) -> None:
        self.find(execution_id, caller).signals.append((name, payload))

    async def delete(self, execution_id: str, *, caller: Caller) -> None:
        self.find(execution_id, caller)
        del self.executions[execution_id]

    async def output(self, execution_id: str, node_id: str, item: int | None = None, *, caller: Caller) -> JsonValue:
        self.find(execution_id, caller)
        if node_id != "chapters":
            raise NodeNotFound(execution_id, node_id, "no such node or item, or it has no output")
        outputs = ["one", "two"]
        return outputs if item is None else outputs[item]

    async def checkpoint(self, execution_id: str, *, caller: Caller) -> JsonObject:
        execution = self.find(execution_id, caller)
        if execution.status != "failed":
            raise CheckpointNotFound(execution_id)
        return {"execution_id": execution_id, "completed_nodes": ["outline"]}

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
        asked = {"statuses": statuses, "workflow": workflow, "user": user, "labels": labels, "limit": limit}
        self.calls.append(("list", {**asked, "parent": parent, "cursor": cursor}))
        rows = [
            {
                "execution_id": each.execution_id,
                "workflow": {"name": "dummy", "fingerprint": "f" * 64},
                "status": each.status,
                "percent": 50.0,
                "user_id": each.user.id,
                "created_at": "2026-11-23T16:32:05.123Z",
            }
            for each in self.executions.values()
            if caller.may_see(each.user.id) and (not statuses or each.status in statuses)
        ]
        return {"executions": rows[:limit], "next_cursor": "more" if len(rows) > limit else None}

    async def put_workflow(self, document: str | JsonObject) -> JsonObject:
        problems = await self.validate(document)
        if problems:
            raise ValidationFailed(problems)
        self.calls.append(("put_workflow", {"document": document}))
        self.workflows["dummy"] = {"name": "dummy", "fingerprint": "f" * 64, "document": document}
        return {"name": "dummy", "fingerprint": "f" * 64}

    async def list_workflows(
        self, *, name: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> JsonObject:
        self.calls.append(("list_workflows", {"name": name, "cursor": cursor, "limit": limit}))
        rows = [{"name": each, "fingerprint": kept["fingerprint"]} for each, kept in self.workflows.items()]
        return {"workflows": rows[:limit], "next_cursor": "more" if len(rows) > limit else None}

    async def workflow(self, reference: str) -> JsonObject:
        if reference not in self.workflows:
            raise WorkflowNotFound(reference)
        return self.workflows[reference]

    async def validate(self, document: str | JsonObject) -> list[Problem]:
        if "nodes" in document:
            return []
        return [
            Problem("missing-nodes", "there are no nodes", "nodes", line=1, hint="add one"),
            Problem("missing-name", "there is no name", "name", line=1),
        ]

    async def needs(self, document: str | JsonObject) -> JsonObject:
        return {"user": ["outline"], "keys": {"openai": ["outline"]}}

    async def schema(self) -> JsonObject:
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}

    async def drain(self, grace: float | None = None) -> None:
        self.drained.append(grace)

    async def actors(self, *, search: str = "", limit: int | None = None) -> JsonObject:
        return {"actors": [], "dead_letters": 0, "counts": {"executions": {}}}

    async def health(self) -> JsonObject:
        if self.raises is not None:
            raise self.raises
        if self.hold is not None:
            self.held.release()
            await self.hold.wait()
        return {"status": "ok"}

    async def ready(self) -> tuple[bool, JsonObject]:
        return self.is_ready, {"status": "ready" if self.is_ready else "unready"}


class DummyViews:
    """Answers for pages with what it was asked."""

    def __init__(self, service: DummyService) -> None:
        self._service = service

    async def picture(self, reference: str) -> JsonObject:
        return {"name": reference, "nodes": [], "edges": []}

    async def picture_of_document(self, document: str | JsonObject) -> JsonObject:
        return {"name": "document", "nodes": [], "edges": []}

    async def plan(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
    ) -> JsonObject:
        return {"repeats": [], "estimated": {"calls": 0}, "inputs": inputs}

    async def text(self, reference: str) -> str:
        return f"name: {reference}\n"

    async def difference(self, before: str, after: str) -> JsonObject:
        return {"lines": [["-", before], ["+", after]]}

    async def inputs(self, execution_id: str, *, caller: Caller) -> JsonObject:
        return self._service.find(execution_id, caller).inputs

    async def node(
        self, execution_id: str, node_id: str, *, caller: Caller, first: int = 0, limit: int = 1000
    ) -> JsonObject:
        execution = self._service.find(execution_id, caller)
        if node_id not in execution.nodes:
            raise NodeNotFound(execution_id, node_id, "the workflow has no such node")
        return {**execution.nodes[node_id], "first": first, "limit": limit}
