"""A workflow compiled for running: nodes by index, edges both ways, ancestors. Computed once per fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

from offbook.workflows.checks import CheckSpec, resolve_checks
from offbook.workflows.document import (
    CONTAINER_TYPE,
    ForeachConfig,
    Node,
    NodeBody,
    RetryPolicy,
    Workflow,
    fingerprint_of,
)
from offbook.workflows.errors import OffbookError
from offbook.workflows.types import NodeTypes
from offbook.workflows.values import JsonObject, Usage


class UnknownNodeType(OffbookError):
    """A stored workflow uses a node type that this process does not have."""

    def __init__(self, node_id: str, type_name: str) -> None:
        self.node_id = node_id
        self.type_name = type_name
        super().__init__(
            f"node {node_id} has the type {type_name!r}, which is not registered in this process: "
            "install or import the module that defines it"
        )


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One node, ready to run. `index` is its place in document order."""

    index: int
    id: str
    type: str
    label: str
    body: NodeBody
    """What an attempt runs: the node itself, or the `do` of a foreach."""
    foreach: ForeachConfig | None
    retry: RetryPolicy
    continue_on_error: bool
    needs: tuple[int, ...]
    successors: tuple[int, ...]
    edge_conditions: tuple[str | bool | None, ...]
    condition: str | bool | None
    has_conditions: bool
    ancestors: int
    """Bit i is set if node i is upstream of this one."""
    produces_content: bool
    needs_user: bool
    estimate: Usage | None
    """What one attempt will use, at a guess; None: it never uses any tokens."""
    model: str
    """The one that an attempt calls, as far as that is written; empty: none, or nobody knows yet."""
    checks: tuple[CheckSpec, ...]
    """What an output must pass."""
    check_attempts: int
    """Attempts of one epoch whose output may fail its checks, the last of them for good."""
    max_regenerations: int

    def is_after(self, index: int) -> bool:
        return bool(self.ancestors >> index & 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """A workflow in the form a run works with."""

    workflow: Workflow
    document: JsonObject
    """The workflow as it is stored."""
    fingerprint: str
    nodes: tuple[PlanNode, ...]
    index: dict[str, int]
    roots: tuple[int, ...]
    is_paid: bool
    """Whether any node is known to use tokens."""

    def node(self, node_id: str) -> PlanNode:
        return self.nodes[self.index[node_id]]

    @property
    def nodes_needing_user(self) -> tuple[str, ...]:
        return tuple(node.id for node in self.nodes if node.needs_user)


def compile_plan(workflow: Workflow, types: NodeTypes) -> Plan:
    """Compile a valid workflow; raise UnknownNodeType if this process lacks one of its node types."""
    index = {node.id: position for position, node in enumerate(workflow.nodes)}
    successors: list[list[int]] = [[] for _ in workflow.nodes]
    for position, node in enumerate(workflow.nodes):
        for need in node.needs:
            successors[index[need.node]].append(position)
    ancestors = _ancestors(workflow, index)
    nodes = tuple(
        _plan_node(position, node, index, tuple(successors[position]), ancestors[position], workflow, types)
        for position, node in enumerate(workflow.nodes)
    )
    roots = tuple(node.index for node in nodes if not node.needs)
    document = workflow.to_json()
    is_paid = any(node.estimate is not None and node.estimate.tokens for node in nodes)
    return Plan(workflow, document, fingerprint_of(document), nodes, index, roots, is_paid)


def _plan_node(
    position: int,
    node: Node,
    index: dict[str, int],
    successors: tuple[int, ...],
    ancestors: int,
    workflow: Workflow,
    types: NodeTypes,
) -> PlanNode:
    foreach = ForeachConfig.model_validate(node.config) if node.type == CONTAINER_TYPE else None
    body: NodeBody = foreach.do if foreach else node
    info = types.get(body.type)
    if info is None:
        raise UnknownNodeType(node.id, body.type)
    conditions = tuple(need.when for need in node.needs)
    retry = body.retry if foreach is None or "retry" in foreach.do.model_fields_set else node.retry
    given = body.checks or "check_retry" in body.model_fields_set
    return PlanNode(
        index=position,
        id=node.id,
        type=node.type,
        label=node.label or node.id,
        body=body,
        foreach=foreach,
        retry=retry,
        continue_on_error=node.continue_on_error,
        needs=tuple(index[need.node] for need in node.needs),
        successors=successors,
        edge_conditions=conditions,
        condition=node.when,
        has_conditions=node.when is not None or any(when is not None for when in conditions),
        ancestors=ancestors,
        produces_content=info.produces_content,
        needs_user=info.needs_user,
        estimate=info.estimate(body.config),
        model=info.model_of(body.config),
        checks=resolve_checks(body.checks, workflow.checks) if body.checks else (),
        # A type may have a check of its own, as `json` of llm is: where nothing else is said it is tried as often.
        check_attempts=body.check_retry.attempts if given else retry.attempts,
        max_regenerations=body.max_regenerations,
    )


def _ancestors(workflow: Workflow, index: dict[str, int]) -> list[int]:
    """Bit sets of what is upstream of each node; the workflow has no cycle."""
    known: dict[int, int] = {}
    stack = list(range(len(workflow.nodes)))
    while stack:
        position = stack[-1]
        if position in known:
            stack.pop()
            continue
        needs = [index[need.node] for need in workflow.nodes[position].needs]
        missing = [need for need in needs if need not in known]
        if missing:
            stack.extend(missing)
            continue
        bits = 0
        for need in needs:
            bits |= known[need] | 1 << need
        known[position] = bits
        stack.pop()
    return [known[position] for position in range(len(workflow.nodes))]
