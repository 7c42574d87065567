"""What nodes and items are likely to use when they run: by what they used before, or at a guess. Knows no prices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from offbook.workflows.money import cost_json
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.savings import spent
from offbook.workflows.states import NodeStatus
from offbook.workflows.values import NO_USAGE, JsonObject, Usage


class Basis(StrEnum):
    """What an estimate rests on."""

    BEFORE = "before"
    """What the same node or item used."""
    ITEMS = "items"
    """What the other items of its foreach used on average."""
    GUESS = "guess"
    """Its prompt as it is written, and `max_tokens` or what answers have commonly."""
    FREE = "free"
    """Nodes of this type use no tokens."""
    UNKNOWN = "unknown"
    """It may use tokens, and nothing is known of how many."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What so many attempts are likely to use."""

    usage: Usage
    basis: Basis
    attempts: int = 1

    def times(self, attempts: int) -> Estimate:
        """Return the estimate of several attempts like this one."""
        one = self.usage
        usage = Usage(
            one.input_tokens * attempts, one.output_tokens * attempts, True, one.cost * attempts, one.unpriced
        )
        return Estimate(usage, self.basis, attempts)

    def to_json(self, currency: str) -> JsonObject:
        known = self.basis is not Basis.UNKNOWN
        cost = cost_json(self.usage, currency) if known else None
        return {"tokens": self.usage.tokens if known else None, "cost": cost, "basis": self.basis.value}


def estimate_of(node: PlanNode, item: int | None, before: RunState) -> Estimate:
    """Estimate one attempt at a node or item, by what an execution used that has been there before."""
    if node.id in before.plan.index:
        index = before.plan.index[node.id]
        work = before.works[index]
        if item is None or (work.items is not None and item < len(work.items)):
            same = before.each_of(index)[0 if item is None else item + 1][1]
            if same.status is NodeStatus.COMPLETED and (used := spent(before, node.id, item)).tokens:
                return Estimate(used, Basis.BEFORE)
        if before.reuse is not None:
            kept = before.reuse.places.get((node.id, item))
            if kept is not None and kept.usage.tokens:
                return Estimate(kept.usage, Basis.BEFORE)
        if item is not None and (mean := _mean(before, node.id)).tokens:
            return Estimate(mean, Basis.ITEMS)
    if node.estimate is None:
        return Estimate(NO_USAGE, Basis.FREE)
    return Estimate(node.estimate, Basis.GUESS if node.estimate.tokens else Basis.UNKNOWN)


def _mean(before: RunState, node_id: str) -> Usage:
    """Return what completed items of a foreach used on average."""
    items = before.works[before.plan.index[node_id]].items or []
    used = [spent(before, node_id, item) for item, each in enumerate(items) if each.status is NodeStatus.COMPLETED]
    count = len(used)
    if not count:
        return NO_USAGE
    return Usage(
        sum(each.input_tokens for each in used) // count,
        sum(each.output_tokens for each in used) // count,
        True,
        sum(each.cost for each in used) // count,
        any(each.unpriced for each in used),
    )


def total_json(estimates: Iterable[Estimate], currency: str) -> JsonObject:
    """Add estimates up. `unknown`: attempts of which nothing is known, which come on top; `calls`: the others."""
    usage, calls, unknown = NO_USAGE, 0, 0
    for each in estimates:
        if each.basis is Basis.UNKNOWN:
            unknown += each.attempts
        elif each.usage.tokens:
            usage = usage + each.usage
            calls += each.attempts
    return {"calls": calls, "tokens": usage.tokens, "cost": cost_json(usage, currency), "unknown": unknown}
