"""Workflows that are registered, validated, shown and looked up. Starts none."""

from __future__ import annotations

from functools import partial

from offbook.actors.pages import MAX_PAGE, decode_cursor, encode_cursor
from offbook.actors.service_base import STORE_TIMEOUT, ServiceBase
from offbook.actors.supervisor_messages import KeepWorkflow
from offbook.workflows.document import Workflow
from offbook.workflows.errors import Problem, ValidationFailed, WorkflowNotFound
from offbook.workflows.plan import Plan
from offbook.workflows.records import PutWorkflow
from offbook.workflows.schema import workflow_schema
from offbook.workflows.values import JsonObject, format_time


class ServiceWorkflows(ServiceBase):
    """Keeps and finds workflows."""

    async def put_workflow(self, document: str | JsonObject | Workflow) -> JsonObject:
        """Register a workflow under its name; the newest of a name answers to it."""
        plan = self._accept(document)
        write = PutWorkflow(plan.fingerprint, plan.workflow.name, plan.document, self._around.clock())
        await self._ask_supervisor(KeepWorkflow(write), STORE_TIMEOUT)
        self._catalogue.name(plan)
        return {"name": plan.workflow.name, "fingerprint": plan.fingerprint}

    async def list_workflows(
        self, *, name: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> JsonObject:
        """Return a page of the registered workflows, newest first; of one name, its versions."""
        limit = max(1, min(limit, MAX_PAGE))
        after = decode_cursor(cursor)
        rows = await self._read(partial(self._reader.list_workflows, name=name, after=after, limit=limit + 1))
        page = rows[:limit]
        return {
            "workflows": [
                {"name": row.name, "fingerprint": row.fingerprint, "created_at": format_time(row.created_at)}
                for row in page
            ],
            "next_cursor": encode_cursor(page[-1].created_at, page[-1].fingerprint) if len(rows) > limit else None,
        }

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

    async def schema(self) -> JsonObject:
        """Return the JSON Schema of documents, with the node types of this worker."""
        return workflow_schema(self._catalogue.types)

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

    def _accept(self, document: str | JsonObject | Workflow) -> Plan:
        if isinstance(document, Workflow):
            return self._catalogue.accept_built(document)
        return self._catalogue.accept(document)
