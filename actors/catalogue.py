"""Workflows that this worker knows, compiled: by fingerprint, and the newest of each name. A bounded cache."""

from __future__ import annotations

from collections import OrderedDict

from offbook.workflows.document import Workflow, fingerprint_of
from offbook.workflows.errors import ValidationFailed
from offbook.workflows.loading import load_workflow
from offbook.workflows.plan import Plan, compile_plan
from offbook.workflows.types import NodeTypes
from offbook.workflows.validation import validate_workflow
from offbook.workflows.values import JsonObject

PLANS_KEPT = 1000


class Catalogue:
    """Validates and compiles documents once each."""

    def __init__(self, types: NodeTypes) -> None:
        self.types = types
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._names: dict[str, str] = {}
        self._read: OrderedDict[str, str] = OrderedDict()
        """Fingerprints by the hash of the documents as they were sent: most come again and again."""

    def by_fingerprint(self, fingerprint: str) -> Plan | None:
        plan = self._plans.get(fingerprint)
        if plan is not None:
            self._plans.move_to_end(fingerprint)
        return plan

    def by_name(self, name: str) -> Plan | None:
        """Return the newest workflow of this name that this worker has seen registered."""
        fingerprint = self._names.get(name)
        return self.by_fingerprint(fingerprint) if fingerprint else None

    def name(self, plan: Plan) -> None:
        """Let the workflow's name mean this version from now on."""
        self._names[plan.workflow.name] = plan.fingerprint

    def accept(self, document: str | JsonObject) -> Plan:
        """Compile a document that somebody sends; ValidationFailed with every problem at once."""
        sent = fingerprint_of(document) if isinstance(document, dict) else None
        known = self.by_fingerprint(self._read.get(sent, sent)) if sent is not None else None
        if known is not None:
            return known
        workflow = load_workflow(document, types=self.types)
        plan = self.by_fingerprint(workflow.fingerprint) or self._keep(compile_plan(workflow, self.types))
        if sent is not None:
            self._read[sent] = plan.fingerprint
            while len(self._read) > PLANS_KEPT:
                self._read.popitem(last=False)
        return plan

    def accept_built(self, workflow: Workflow) -> Plan:
        """Compile a workflow that was built in Python; ValidationFailed with every problem at once."""
        known = self.by_fingerprint(workflow.fingerprint)
        if known is not None:
            return known
        problems = validate_workflow(workflow, self.types)
        if problems:
            raise ValidationFailed(problems)
        return self._keep(compile_plan(workflow, self.types))

    def restore(self, document: JsonObject, fingerprint: str) -> Plan:
        """Compile a document that was validated when it was stored."""
        return self.by_fingerprint(fingerprint) or self._keep(
            compile_plan(Workflow.model_validate(document), self.types)
        )

    def _keep(self, plan: Plan) -> Plan:
        self._plans[plan.fingerprint] = plan
        while len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan
