"""Forks of the dummy service: they note what was asked, and keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offbook.workflows.caller import Caller
from offbook.workflows.changes import WorkflowChanged, WorkflowChanges
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.values import ExecutionUser, JsonObject

if TYPE_CHECKING:
    from tests.web.dummy_service import DummyService


COST = {"amount": "0.0125", "currency": "USD", "partial": False}
RUNS: JsonObject = {
    "node_id": "chapters",
    "item": 6,
    "count": 1,
    "why": "it failed: rate_limit: too many",
    "estimate": {"tokens": 900, "cost": COST, "basis": "items"},
}
PLAN: JsonObject = {
    "keeps": {
        "nodes": 1,
        "items": 6,
        "calls": 7,
        "tokens": 6300,
        "cost": COST,
        "seconds": 40.0,
        "node_ids": ["outline"],
    },
    "estimated": {"calls": 1, "tokens": 900, "cost": COST, "unknown": 0},
}


class DummyForks:
    """Answers like a worker's forks."""

    def __init__(self, service: DummyService) -> None:
        self._service = service
        self.asked: list[ForkRequest] = []

    async def plan(
        self, execution_id: str, request: ForkRequest, *, caller: Caller, user: ExecutionUser | None = None
    ) -> JsonObject:
        self._service.find(execution_id, caller)
        self.asked.append(request)
        return {"execution_id": execution_id, **PLAN, "runs": [RUNS], "may_run": [], "at_most": PLAN["estimated"]}

    async def plan_resume(self, execution_id: str, *, caller: Caller) -> JsonObject:
        execution = self._service.find(execution_id, caller)
        return {"execution_id": execution_id, "status": execution.status, **PLAN, "repeats": [RUNS]}

    async def check_workflow(self, execution_id: str, workflow: str | JsonObject, *, caller: Caller) -> None:
        parent = self._service.find(execution_id, caller)
        if workflow != parent.workflow:
            changes = WorkflowChanges({"chapters": ("config.prompt",)}, (), (), ())
            raise WorkflowChanged(execution_id, changes, workflow)

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
        parent = self._service.find(execution_id, caller)
        self.asked.append(request)
        return await self._service.start(
            {"nodes": []},
            request.inputs,
            caller=caller,
            user=user or parent.user,
            labels=parent.labels if labels is None else labels,
            durability=durability,
            idempotency_key=idempotency_key,
        )
