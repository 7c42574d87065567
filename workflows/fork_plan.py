"""What a fork would keep and run, worked out before it is started. Renders templates: for the node runner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from offbook.workflows.changes import changes_between
from offbook.workflows.effective import Effective, Hashes, definition_of, effective_of
from offbook.workflows.errors import OffbookError
from offbook.workflows.estimates import estimate_of, total_json
from offbook.workflows.expressions import edge_decisions, item_list
from offbook.workflows.forking import Edition, handed_on
from offbook.workflows.plan import PlanNode
from offbook.workflows.receipt import Receipt
from offbook.workflows.resume_plan import Planned, keeps_json
from offbook.workflows.reuse import CHANGED, EDITED, Kept
from offbook.workflows.run_state import RunState
from offbook.workflows.savings import seconds_taken, spent
from offbook.workflows.scope import Scope
from offbook.workflows.states import NodeStatus
from offbook.workflows.types import NodeTypes
from offbook.workflows.values import JsonObject, JsonValue


class Undecided(Exception):
    """An output is asked for that is not known before the fork runs."""


class _Outputs(dict[str, Any]):
    """Outputs that are known; one that a run will give raises Undecided."""

    __slots__ = ("unknown",)

    def __init__(self) -> None:
        super().__init__()
        self.unknown: set[str] = set()

    def get(self, key: str, default: Any = None, /) -> Any:
        if key in self.unknown:
            raise Undecided(key)
        return super().get(key, default)


class _SoFar(tuple[JsonValue, ...]):
    """Outputs of the items before one, of which some are not known."""

    __slots__ = ()

    def __iter__(self) -> Iterator[JsonValue]:
        raise Undecided("items_so_far")


@dataclass(slots=True)
class ForkPlan:
    """What becomes of each node and item, as far as it can be told."""

    keeps: Receipt = field(default_factory=Receipt)
    kept: list[str] = field(default_factory=list)
    """Nodes that are kept whole."""
    skips: list[str] = field(default_factory=list)
    runs: list[Planned] = field(default_factory=list)
    may_run: list[Planned] = field(default_factory=list)

    def to_json(self, currency: str) -> JsonObject:
        return {
            "keeps": {**keeps_json(self.keeps, currency), "node_ids": self.kept},
            "runs": [each.to_json(currency) for each in self.runs],
            "may_run": [each.to_json(currency) for each in self.may_run],
            "skips": self.skips,
            "estimated": total_json((each.estimate for each in self.runs), currency),
            "at_most": total_json((each.estimate for each in [*self.runs, *self.may_run]), currency),
        }


def plan_fork(parent: RunState, edition: Edition, types: NodeTypes, currency: str) -> Iterator[JsonObject | None]:
    """Work out what a fork would do: None after each place, so that others have their turn, then the plan, once."""
    foresight = _Foresight(parent, edition, types)
    for _ in foresight.look():
        yield None
    changed = {name: value for name, value in edition.inputs.items() if parent.inputs.get(name, _MISSING) != value}
    yield {
        "execution_id": parent.execution_id,
        **foresight.found.to_json(currency),
        "changes": {
            "inputs": list(changed),
            "outputs": [node_id if item is None else f"{node_id}[{item}]" for node_id, item in edition.edits],
            "workflow": changes_between(parent.plan, edition.plan).to_json(),
        },
    }


_MISSING = object()


class _Foresight:
    """A fork that is played through without running anything: what would run leaves its output unknown."""

    def __init__(self, parent: RunState, edition: Edition, types: NodeTypes) -> None:
        self._parent = parent
        self._seconds = seconds_taken(parent)
        self._edition = edition
        self._types = types
        self._plan = edition.plan
        self._outputs = _Outputs()
        self._handed_on = handed_on(parent, self._plan)
        self._hashes: Hashes = {}
        self._live: list[bool | None] = [True] * len(self._plan.nodes)
        """Whether a node lets what follows it run; None: that is not known."""
        self._content = 0
        """Bit i: node i has content, or may have."""
        self.found = ForkPlan()

    def look(self) -> Iterator[None]:
        """Take the nodes in an order in which each comes after all that it needs."""
        missing = [len(node.needs) for node in self._plan.nodes]
        ready = [node.index for node in self._plan.nodes if not node.needs]
        while ready:
            node = self._plan.nodes[ready.pop()]
            yield from self._consider(node)
            for successor in node.successors:
                missing[successor] -= 1
                if not missing[successor]:
                    ready.append(successor)
        order = self._plan.index
        for planned in (self.found.runs, self.found.may_run):
            planned.sort(key=lambda each: (order[each.node_id], -1 if each.item is None else each.item))
        for names in (self.found.kept, self.found.skips):
            names.sort(key=order.__getitem__)

    def _consider(self, node: PlanNode) -> Iterator[None]:
        try:
            goes = self._goes(node)
        except OffbookError as refused:
            self._run(node, None, f"its condition cannot be evaluated: {refused}")
            yield None
            return
        if goes is False:
            self._live[node.index] = False
            self.found.skips.append(node.id)
        elif goes is None:
            self._live[node.index] = None
            self._may_run(node, None, "whether it is skipped depends on what runs")
        elif node.foreach is None:
            yield from self._foresee(node)
        else:
            yield from self._foresee_items(node)
        yield None

    def _goes(self, node: PlanNode) -> bool | None:
        """Whether a node runs and is not skipped; None if that is not known."""
        lives = [self._live[need] for need in node.needs]
        if node.needs and not any(live is not False for live in lives):
            return False
        if not node.has_conditions:
            return True if not node.needs or True in lives else None
        try:
            edges, taken = edge_decisions(self._scope(node))
        except Undecided:
            return None
        if not taken:
            return False
        open_edges = [live for live, edge in zip(lives, edges, strict=True) if edge]
        if not node.needs or True in open_edges:
            return True
        return None if None in open_edges else False

    def _foresee(self, node: PlanNode) -> Iterator[None]:
        known, value = self._place(node, None, self._scope(node))
        if known:
            self._keep(node, value)
        yield None

    def _foresee_items(self, node: PlanNode) -> Iterator[None]:
        try:
            values = item_list(self._scope(node))
        except Undecided:
            self._may_run(node, None, "its items depend on what runs")
            return
        except OffbookError as refused:
            self._run(node, None, f"its items cannot be evaluated: {refused}")
            return
        assert node.foreach is not None
        outputs: list[JsonValue] = []
        unknown = 0
        for item, value in enumerate(values):
            so_far: tuple[JsonValue, ...] | None = None
            if node.foreach.concurrency == 1:
                so_far = _SoFar(outputs) if unknown else tuple(outputs)
            known, output = self._place(node, item, self._scope(node, item, value, so_far))
            unknown += not known
            outputs.append(output)
            yield None
        if unknown:
            self._unknown(node)
        else:
            self._keep(node, outputs)

    def _place(self, node: PlanNode, item: int | None, scope: Scope) -> tuple[bool, JsonValue]:
        """Say whether a node's or item's output is known before it runs, and which it is."""
        place = (node.id, item)
        edits = self._edition.edits
        if place in edits:
            self.found.keeps.keep(Kept("", output=edits[place]), item=item is not None)
            return True, edits[place]
        why, may = self._why(node, item, scope)
        if why is None:
            kept = self._handed_on.get(place)
            if kept is None:
                usage, output = spent(self._parent, node.id, item), self._parent.output(node.id, item)
                kept = Kept("", usage, self._seconds[place], output)
            self.found.keeps.keep(kept, item=item is not None)
            return True, kept.output
        (self._may_run if may else self._run)(node, item, why)
        return False, None

    def _why(self, node: PlanNode, item: int | None, scope: Scope) -> tuple[str | None, bool]:
        """Say why a place runs, None if it is kept; and whether that is only possible."""
        missing = self._why_missing(node, item)
        if missing is not None:
            return self._why_not_handed_on(node, item, scope, missing)
        before = self._before(node, item)
        if isinstance(before, str):
            return before, False
        info = self._types.get(node.body.type)
        assert info is not None
        written = definition_of(self._plan, node)
        was = definition_of(self._parent.plan, self._parent.plan.node(node.id))
        if written != was:
            return _in_words(Effective(written, {}, {}), Effective(was, {}, {})), False
        try:
            now = effective_of(scope, info)
            if now == before:
                return None, False
            return _in_words(now, before), False
        except Undecided as undecided:
            return f"depends on {undecided}, which is not known yet", True
        except OffbookError as refused:
            return f"its config cannot be evaluated: {refused}", False

    def _why_not_handed_on(
        self, node: PlanNode, item: int | None, scope: Scope, missing: str
    ) -> tuple[str | None, bool]:
        """Say why a place runs at which the parent has no output, unless it could have kept one."""
        kept = self._handed_on.get((node.id, item))
        if kept is None or kept.fingerprint == CHANGED:
            return missing, False
        if kept.fingerprint == EDITED:
            return None, False
        info = self._types.get(node.body.type)
        assert info is not None
        try:
            holds = effective_of(scope, info).fingerprint(self._hashes) == kept.fingerprint
        except Undecided as undecided:
            return f"depends on {undecided}, which is not known yet", True
        except (OffbookError, TypeError):
            holds = False
        return (None if holds else missing), False

    def _why_missing(self, node: PlanNode, item: int | None) -> str | None:
        """Say why the parent has no output at a place; None if it has one."""
        parent = self._parent
        if node.id not in parent.plan.index:
            return "it is new"
        index = parent.plan.index[node.id]
        if (parent.plan.nodes[index].foreach is None) is not (node.foreach is None):
            return "its type is another"
        each = parent.each_of(index)
        if item is not None and item + 1 >= len(each):
            return "it is new: the parent has no such item"
        work = each[0 if item is None else item + 1][1]
        if work.status is NodeStatus.COMPLETED:
            return None
        return f"in the parent it is {work.status.value}" + (f": {work.error.type}" if work.error else "")

    def _before(self, node: PlanNode, item: int | None) -> Effective | str:
        """Return what the parent's output depended on, or why that cannot be told."""
        parent = self._parent
        info = self._types.get(parent.plan.node(node.id).body.type)
        if info is None:
            return "its type is not registered here any more"
        try:
            return effective_of(parent.scope(node.id, item), info)
        except OffbookError as refused:
            return f"what it depended on cannot be evaluated any more: {refused}"

    def _scope(
        self,
        node: PlanNode,
        item: int | None = None,
        value: JsonValue = None,
        so_far: tuple[JsonValue, ...] | None = None,
    ) -> Scope:
        upstream = node.ancestors & self._content
        return Scope(
            plan=self._plan,
            node=node,
            inputs=self._edition.inputs,
            outputs=self._outputs,
            user=self._edition.user,
            last_output_node=self._plan.nodes[upstream.bit_length() - 1].id if upstream else None,
            item=value,
            index=item,
            items_so_far=so_far,
        )

    def _keep(self, node: PlanNode, output: JsonValue) -> None:
        self._outputs[node.id] = output
        if node.foreach is not None and output:
            self.found.keeps.kept_nodes += 1
        self.found.kept.append(node.id)
        if node.produces_content and output is not None:
            self._content |= 1 << node.index

    def _run(self, node: PlanNode, item: int | None, why: str) -> None:
        self._note(self.found.runs, node, item, why)

    def _may_run(self, node: PlanNode, item: int | None, why: str) -> None:
        self._note(self.found.may_run, node, item, why)

    def _note(self, where: list[Planned], node: PlanNode, item: int | None, why: str) -> None:
        if node.foreach is not None and item is None:
            count = self._count(node)
            estimate = estimate_of(node, 0, self._parent).times(count)
        else:
            count, estimate = 1, estimate_of(node, item, self._parent)
        where.append(Planned(node.id, item, count, why, estimate))
        if item is None:
            self._unknown(node)

    def _count(self, node: PlanNode) -> int:
        """Guess how many items a foreach has whose items are not known: as many as in the parent."""
        if node.id not in self._parent.plan.index:
            return 1
        items = self._parent.works[self._parent.plan.index[node.id]].items
        return len(items) if items else 1

    def _unknown(self, node: PlanNode) -> None:
        self._outputs.unknown.add(node.id)
        if node.produces_content:
            self._content |= 1 << node.index


def _in_words(now: Effective, before: Effective) -> str:
    return "; ".join(now.differences(before)) or "what it sees has changed"
