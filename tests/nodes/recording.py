"""Contexts for nodes without an engine: a sink that records, and attempts at the last node of a real plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from offbook.nodes.context import NodeContext
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.document import Workflow
from offbook.workflows.plan import compile_plan
from offbook.workflows.scope import Scope
from offbook.workflows.templates import render
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, Usage

ADA = ExecutionUser("ada")


class RecordingSink:
    """Keeps all that a node reports, and counts the plain functions that it had run."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.fractions: list[float] = []
        self.usages: list[Usage] = []
        self.models: list[str] = []
        self.plain_calls = 0
        self.turns: list[tuple[str, str | None, int]] = []

    def report(self, kind: str, text: str) -> None:
        self.reports.append((kind, text))

    def fraction(self, value: float) -> None:
        self.fractions.append(value)

    def usage(self, usage: Usage, model: str = "") -> None:
        self.usages.append(usage)
        self.models.append(model)

    async def call_plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.plain_calls += 1
        return await asyncio.to_thread(function, *args, **kwargs)

    @asynccontextmanager
    async def turn(self, provider: str, key: str | None, tokens: int) -> AsyncIterator[bool]:
        self.turns.append((provider, key, tokens))
        yield False

    @property
    def text(self) -> str:
        return "".join(text for kind, text in self.reports if kind == "text")


class Attempt:
    """One attempt at a node of this type and config, after a node `before` that gave `upstream`."""

    def __init__(
        self,
        registry: NodeRegistry,
        type_name: str,
        config: JsonObject,
        *,
        upstream: JsonValue = None,
        inputs: JsonObject | None = None,
        guidance: str = "",
        check_failures: tuple[str, ...] = (),
        checks: Sequence[JsonValue] = (),
        item: int | None = None,
        attempt: int = 1,
    ) -> None:
        workflow = Workflow.model_validate(
            {
                "name": "test",
                "nodes": [
                    {"id": "before", "type": "template", "config": {"text": ""}},
                    {"id": "node", "type": type_name, "needs": ["before"], "config": config, "checks": checks},
                ],
            }
        )
        plan = compile_plan(workflow, registry)
        self.sink = RecordingSink()
        self.scope = Scope(
            plan,
            plan.node("node"),
            inputs or {},
            {"before": upstream},
            ADA,
            guidance=guidance,
            check_failures=check_failures,
            last_output_node="before" if upstream is not None else None,
        )
        self.context = NodeContext("e" * 32, "node", item, attempt, self.scope, self.sink)
        found = registry.get(type_name)
        assert found is not None
        self.type = found

    async def run(self) -> JsonValue:
        """Render the config as the node runner does, and run the node."""
        rendered = render(self.scope.node.body.config, self.scope)
        return await self.type.run(self.context, self.type.config_model.model_validate(rendered))
