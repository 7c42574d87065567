"""A fork as a run: its parent's outputs as a seed, and edits. `seed` renders templates: for the node runner."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from offbook.workflows.bookings import reservation
from offbook.workflows.checkpoint import to_state
from offbook.workflows.effective import Hashes, definition_of, effective_of
from offbook.workflows.errors import OffbookError, Problem, ValidationFailed
from offbook.workflows.json_values import json_problems
from offbook.workflows.plan import Plan
from offbook.workflows.receipt import Receipt
from offbook.workflows.records import InsertExecution, StoredOutput
from offbook.workflows.report import did_you_mean
from offbook.workflows.reuse import CHANGED, EDITED, Kept, Place, Reuse
from offbook.workflows.run import Run
from offbook.workflows.run_state import RunState
from offbook.workflows.savings import seconds_taken, spent
from offbook.workflows.states import NodeStatus
from offbook.workflows.types import NodeTypes
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue

_ITEM = re.compile(r"([a-z][a-z0-9_]{0,63})(?:\[(0|[1-9][0-9]{0,5})\])?")

Edits = Mapping[Place, JsonValue]
"""Outputs that are given by hand."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What a fork changes of its parent, checked: the workflow, the inputs, outputs."""

    plan: Plan
    inputs: JsonObject
    """All of them, checked."""
    edits: Edits
    user: ExecutionUser | None
    guidance: str = ""


def read_edits(plan: Plan, parent: RunState, outputs: JsonObject) -> dict[Place, JsonValue]:
    """Read outputs that are given by hand, as `node` or `chapters[2]`; ValidationFailed with all problems.

    A list for a foreach is one output for each of its items.
    """
    edits: dict[Place, JsonValue] = {}
    problems = [Problem(code, message, path) for code, path, message in json_problems(outputs, "outputs")]
    for name, value in outputs.items():
        try:
            edits.update(_edit(plan, parent, name, value))
        except _Refused as refused:
            problems.append(Problem("bad-output", f"outputs.{name}: {refused}", f"outputs.{name}", hint=refused.hint))
    if problems:
        raise ValidationFailed(problems)
    return edits


class _Refused(Exception):
    def __init__(self, message: str, hint: str) -> None:
        self.hint = hint
        super().__init__(message)


def _edit(plan: Plan, parent: RunState, name: str, value: JsonValue) -> dict[Place, JsonValue]:
    match = _ITEM.fullmatch(name)
    if match is None:
        raise _Refused("is no node and no item of one", "write `node`, or `node[2]` for an item of a foreach")
    node_id, item = match[1], match[2]
    if node_id not in plan.index:
        raise _Refused(
            f"the workflow has no node {node_id}", did_you_mean(node_id, plan.index) or "give the id of a node"
        )
    node = plan.node(node_id)
    if node.foreach is None:
        if item is not None:
            raise _Refused(f"{node_id} is no foreach and has no items", f"write `{node_id}`")
        return {(node_id, None): value}
    count = _count(plan, parent, node_id)
    if item is not None:
        if count is not None and int(item) >= count:
            raise _Refused(f"{node_id} has {count} items", "items are counted from 0")
        return {(node_id, int(item)): value}
    if not isinstance(value, list):
        raise _Refused(f"{node_id} is a foreach", f"give a list of its items' outputs, or `{node_id}[2]`")
    if count is not None and len(value) != count:
        raise _Refused(f"{node_id} has {count} items, not {len(value)}", "give an output for each")
    return {(node_id, number): each for number, each in enumerate(value)}


def _count(plan: Plan, parent: RunState, node_id: str) -> int | None:
    """How many items a foreach has, where the parent knows and its workflow is the fork's."""
    if plan.fingerprint != parent.plan.fingerprint:
        return None
    items = parent.works[parent.plan.index[node_id]].items
    return len(items) if items is not None else None


def seed(parent: RunState, edition: Edition, types: NodeTypes) -> Iterator[Reuse | None]:
    """Work out what a fork may keep: None after each place, so that others have their turn, then the seed, once."""
    places: dict[Place, Kept] = {}
    hashes: Hashes = {}
    seconds = seconds_taken(parent)
    for place in finished_places(parent):
        if place[0] in edition.plan.index and place not in edition.edits:
            places[place] = _kept(parent, edition.plan, place, seconds[place], types, hashes)
            yield None
    places.update(
        (place, kept) for place, kept in handed_on(parent, edition.plan).items() if place not in edition.edits
    )
    for place, value in edition.edits.items():
        places[place] = Kept(EDITED, output=value)
    yield Reuse(parent.execution_id, places)


def finished_places(run: RunState) -> Iterator[Place]:
    """Yield the nodes and items of a run that have an output of their own."""
    for node in run.plan.nodes:
        for item, each in run.each_of(node.index):
            if each.status is NodeStatus.COMPLETED and (node.foreach is None or item is not None):
                yield node.id, item


def handed_on(parent: RunState, plan: Plan) -> dict[Place, Kept]:
    """Return what a parent that is a fork itself could keep, and has not come to: its own forks may keep it."""
    if parent.reuse is None:
        return {}
    finished = set(finished_places(parent))
    found: dict[Place, Kept] = {}
    for place, kept in parent.reuse.places.items():
        node_id, item = place
        if place in finished or node_id not in plan.index:
            continue
        node = plan.node(node_id)
        if (item is None) is (node.foreach is None):
            same = kept.fingerprint != EDITED or definition_of(parent.plan, parent.plan.node(node_id)) == (
                definition_of(plan, node)
            )
            found[place] = kept if same else Kept(CHANGED, kept.usage, kept.seconds)
    return found


def _kept(parent: RunState, plan: Plan, place: Place, seconds: float, types: NodeTypes, hashes: Hashes) -> Kept:
    node_id, item = place
    node, now = parent.plan.node(node_id), plan.node(node_id)
    usage = spent(parent, node_id, item)
    changed = Kept(CHANGED, usage, seconds)
    same = (node.foreach is None) == (now.foreach is None)
    info = types.get(node.body.type)
    if not same or info is None or definition_of(parent.plan, node) != definition_of(plan, now):
        return changed
    try:
        fingerprint = effective_of(parent.scope(node_id, item), info).fingerprint(hashes)
    except (OffbookError, TypeError):
        # What it depended on cannot be told here any more: then nobody can say that it still holds.
        return changed
    return Kept(fingerprint, usage, seconds, parent.output(node_id, item))


def fork_of(
    parent: RunState,
    edition: Edition,
    reuse: Reuse,
    execution_id: str,
    *,
    labels: dict[str, str],
    durability: str,
    created_at: float,
) -> Run:
    """Build the run of a fork, with nothing done yet."""
    run = Run(
        edition.plan,
        execution_id,
        user=edition.user,
        inputs=edition.inputs,
        labels=labels,
        durability=durability,
        created_at=created_at,
    )
    run.reuse = reuse
    run.receipt = Receipt()
    run.guidance = edition.guidance
    if edition.plan.fingerprint == parent.plan.fingerprint or run.budget is None:
        # A limit that somebody set does not go away by an edit.
        run.budget = parent.budget
    if edition.guidance:
        for node in edition.plan.nodes:
            run.works[node.index].guided = _is_guided(parent, edition.plan, node.id)
    return run


def _is_guided(parent: RunState, plan: Plan, node_id: str) -> bool:
    """Whether the guidance of a fork is for this node: it had failed in the parent, or is written differently."""
    if node_id not in parent.plan.index:
        return True
    node = parent.plan.node(node_id)
    stopped = (NodeStatus.FAILED, NodeStatus.CANCELLED)
    if any(each.status in stopped for _, each in parent.each_of(node.index)):
        return True
    return definition_of(parent.plan, node) != definition_of(plan, plan.node(node_id))


def insert_of(run: Run, worker_id: str, key: str | None = None, request_hash: str | None = None) -> InsertExecution:
    """Build the write that accepts a fork, with its own copy of all that it may keep."""
    assert run.reuse is not None
    state = to_state(run)
    # The insert is its first write.
    state["db"] = [0, 1]
    outputs = tuple(
        StoredOutput(node_id, item, kept.output, kept=True)
        for (node_id, item), kept in run.reuse.places.items()
        if kept.fingerprint != CHANGED
    )
    return InsertExecution(
        execution_id=run.execution_id,
        workflow_name=run.plan.workflow.name,
        fingerprint=run.plan.fingerprint,
        document=run.plan.document,
        user=run.user,
        labels=run.labels,
        inputs=run.inputs,
        durability=run.durability,
        worker_id=worker_id,
        created_at=run.created_at,
        idempotency_key=key,
        request_hash=request_hash,
        parent_id=run.reuse.parent_id,
        state=state,
        outputs=outputs,
        bookings=reservation(run, run.epoch, run.created_at),
    )
