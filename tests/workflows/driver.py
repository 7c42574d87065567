"""Drives a Run by hand: what a node runner would answer is said by the test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from offbook.nodes.checks import CheckRegistry
from offbook.workflows.document import Workflow
from offbook.workflows.effects import Effect, StartNode
from offbook.workflows.errors import Problem
from offbook.workflows.messages import NodeFailed, NodeFinished, Recovered, RunMessage
from offbook.workflows.plan import compile_plan
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.types import Sight
from offbook.workflows.values import NO_USAGE, ExecutionUser, NodeError, Usage


class AnyConfig(BaseModel):
    model_config = ConfigDict(extra="allow")


class AnyType:
    """A node type that accepts every config."""

    config_model: type[BaseModel] = AnyConfig
    needs_last_output = False
    needs_user = False
    expression_fields: frozenset[str] = frozenset()
    sees = Sight.EVERYTHING

    def __init__(self, name: str, *, produces_content: bool) -> None:
        self.name = name
        self.produces_content = produces_content

    def check_config(self, config: object) -> Iterable[Problem]:
        return ()

    def estimate(self, config: Mapping[str, object]) -> Usage | None:
        tokens = config.get("estimate")
        return Usage(0, tokens, estimated=True) if isinstance(tokens, int) else NO_USAGE

    def model_of(self, config: Mapping[str, object]) -> str:
        return str(config.get("model", ""))

    def keys_needed(self, config: object) -> Iterable[str]:
        return ()


class AnyTypes:
    """Every node type there is; `output`, `wait` and `gate` produce no content."""

    checks = CheckRegistry.with_builtins()

    def get(self, name: str) -> AnyType:
        return AnyType(name, produces_content=name not in ("output", "wait", "gate"))

    def names(self) -> Iterable[str]:
        return ("text", "output")


def workflow(*nodes: dict[str, Any], **more: Any) -> Workflow:
    return Workflow.model_validate({"name": "test", "nodes": [{"type": "text", **node} for node in nodes], **more})


class Drive:
    """A run with a clock of its own, and the effects of the last message."""

    def __init__(self, definition: Workflow, *, inputs: dict[str, Any] | None = None, begin: bool = True) -> None:
        self.now = 1000.0
        self.run = Run(
            compile_plan(definition, AnyTypes()),
            "e" * 32,
            user=ExecutionUser("ada"),
            inputs=inputs or {},
            labels={},
            durability="exit",
            created_at=self.now,
        )
        self.effects: list[Effect] = []
        self.log: list[Effect] = []
        if begin:
            self.apply(Recovered(1, self.now))

    def apply(self, message: RunMessage) -> list[Effect]:
        self.effects = self.run.apply(message)
        self.log.extend(self.effects)
        return self.effects

    def pass_time(self, seconds: float) -> float:
        self.now += seconds
        return self.now

    def started(self) -> list[tuple[str, int | None, int]]:
        """The attempts that the last message started."""
        return [(e.node_id, e.item, e.attempt) for e in self.effects if isinstance(e, StartNode)]

    def finish(
        self, node_id: str, output: Any = None, *, item: int | None = None, usage: Usage = NO_USAGE
    ) -> list[Effect]:
        value = f"output of {node_id}" if output is None else output
        return self.apply(
            NodeFinished(node_id, item, self.attempt(node_id, item), self.run.epoch, value, usage, self.pass_time(1))
        )

    def fail(
        self,
        node_id: str,
        error: str = "dropped",
        *,
        item: int | None = None,
        retryable: bool = False,
        partial: str = "",
        retry_after: float | None = None,
        jitter: float = 1.0,
    ) -> list[Effect]:
        return self.apply(
            NodeFailed(
                node_id,
                item,
                self.attempt(node_id, item),
                self.run.epoch,
                NodeError(error, "on cue", retryable, retry_after),
                self.pass_time(1),
                partial=partial,
                jitter=jitter,
            )
        )

    def fail_check(
        self, node_id: str, *reasons: str, item: int | None = None, partial: str = "as it was"
    ) -> list[Effect]:
        """An output was produced, and did not pass."""
        return self.apply(
            NodeFailed(
                node_id,
                item,
                self.attempt(node_id, item),
                self.run.epoch,
                NodeError("check_failed", "; ".join(reasons), retryable=True),
                self.pass_time(1),
                usage=Usage(10, 20),
                partial=partial,
                reasons=reasons,
            )
        )

    def attempt(self, node_id: str, item: int | None = None) -> int:
        work = self.run.works[self.run.plan.index[node_id]]
        if item is not None:
            assert work.items is not None
            work = work.items[item]
        return work.attempt

    def status(self) -> ExecutionStatus:
        """Where the execution stands; a call, so that type checkers expect it to change."""
        return self.run.status

    def status_of(self, node_id: str, item: int | None = None) -> str:
        work = self.run.works[self.run.plan.index[node_id]]
        if item is not None:
            assert work.items is not None
            work = work.items[item]
        return work.status.value
