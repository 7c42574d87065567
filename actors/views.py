"""What a page shows beside the status: pictures, inputs, what changed between two versions. Changes nothing."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import yaml

from offbook.actors.directory import ExecutionDirectory
from offbook.workflows.caller import Caller
from offbook.workflows.errors import ExecutionNotFound, NodeNotFound
from offbook.workflows.inputs import check_inputs
from offbook.workflows.node_detail import MAX_ITEMS, node_detail
from offbook.workflows.picture import picture_of
from offbook.workflows.plan import Plan
from offbook.workflows.resume_plan import resume_plan
from offbook.workflows.run import Run
from offbook.workflows.values import ExecutionUser, JsonObject

T = TypeVar("T")

PICTURES_KEPT = 200
CONTEXT_LINES = 3


class Views:
    """Answers for pages. Layout and comparison take long for large workflows, and are done on the pool."""

    def __init__(
        self,
        directory: ExecutionDirectory,
        *,
        plan: Callable[[str], Awaitable[Plan]],
        accept: Callable[[str | JsonObject], Plan],
        terms_of: Callable[..., Awaitable[Any]],
        check_caller: Callable[[str, Caller], Awaitable[None]],
        stored_run: Callable[[str], Awaitable[Run]],
        in_pool: Callable[..., Awaitable[Any]],
        currency: str,
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._accept = accept
        self._terms_of = terms_of
        self._check_caller = check_caller
        self._stored_run = stored_run
        self._in_pool = in_pool
        self._currency = currency
        self._pictures: OrderedDict[str, JsonObject] = OrderedDict()

    async def picture(self, reference: str) -> JsonObject:
        """Lay out a workflow that is known by its fingerprint or name."""
        return await self._picture(await self._plan(reference))

    async def picture_of_document(self, document: str | JsonObject) -> JsonObject:
        """Lay out a document that is not registered; ValidationFailed if it would be refused."""
        return await self._picture(self._accept(document))

    async def _picture(self, plan: Plan) -> JsonObject:
        known = self._pictures.get(plan.fingerprint)
        if known is None:
            known = self._pictures[plan.fingerprint] = await self._in_pool(picture_of, plan)
            while len(self._pictures) > PICTURES_KEPT:
                self._pictures.popitem(last=False)
        return known

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
        """Say what an execution would run, and what that is likely to cost; refuse what a start would refuse."""
        plan = await self._plan(workflow) if isinstance(workflow, str) else self._accept(workflow)
        checked = check_inputs(plan.workflow, inputs)
        await self._terms_of(plan, caller, user, durability, budget)
        run = Run(plan, "", user=None, inputs=checked, labels={}, durability="", created_at=0.0)
        planned: JsonObject = await self._in_pool(resume_plan, run, self._currency)
        return {name: planned[name] for name in ("repeats", "estimated")}

    async def text(self, reference: str) -> str:
        """Write a workflow as YAML."""
        plan = await self._plan(reference)
        text: str = await self._in_pool(_as_yaml, plan.document)
        return text

    async def difference(self, before: str, after: str) -> JsonObject:
        """Compare two workflows line by line, as YAML: `{before, after, lines: [[kind, text]]}`.

        The kinds are those of a unified diff: `@`, ` `, `-`, `+`.
        """
        old, new = await self._plan(before), await self._plan(after)
        lines = await self._in_pool(_compare, old.document, new.document)
        return {
            "before": {"name": old.workflow.name, "fingerprint": old.fingerprint},
            "after": {"name": new.workflow.name, "fingerprint": new.fingerprint},
            "lines": lines,
        }

    async def inputs(self, execution_id: str, *, caller: Caller) -> JsonObject:
        """Return what an execution was started with."""
        return (await self._run(execution_id, caller)).inputs

    async def node(
        self, execution_id: str, node_id: str, *, caller: Caller, first: int = 0, limit: int = MAX_ITEMS
    ) -> JsonObject:
        """Describe a node with its items: from memory, or from the database once its execution has left it."""
        run = await self._run(execution_id, caller)
        if node_id not in run.plan.index:
            raise NodeNotFound(execution_id, node_id, "the workflow has no such node")
        return node_detail(run, node_id, first=first, limit=limit)

    async def _run(self, execution_id: str, caller: Caller) -> Run:
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        run = entry.run if entry is not None else await self._stored_run(execution_id)
        if run.user is not None and not caller.may_see(run.user.id):
            raise ExecutionNotFound(execution_id)
        return run


def _as_yaml(document: JsonObject) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _compare(before: JsonObject, after: JsonObject) -> list[list[str]]:
    lines = difflib.unified_diff(
        _as_yaml(before).splitlines(), _as_yaml(after).splitlines(), lineterm="", n=CONTEXT_LINES
    )
    # The first two name files, which these are not.
    return [[line[:1], line if line.startswith("@") else line[1:]] for line in list(lines)[2:]]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that a difference is one of lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
