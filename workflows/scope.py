"""What templates, expressions and nodes may see of a run: inputs, upstream outputs, item, user, guidance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offbook.workflows.plan import Plan, PlanNode
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue


@dataclass(slots=True)
class Scope:
    """The view of one attempt. `outputs` is shared with the run, which only ever adds to it.

    Nobody changes it. It is not frozen because one is built for every attempt, which takes four times as long then.
    """

    plan: Plan
    node: PlanNode
    inputs: JsonObject
    outputs: Mapping[str, JsonValue]
    user: ExecutionUser | None
    guidance: str = ""
    """What the person who resumed said; empty for nodes that had not failed."""
    last_output_node: str | None = None
    item: JsonValue = None
    index: int | None = None
    """Place of the item, from 0; None outside a foreach."""
    items_so_far: tuple[JsonValue, ...] | None = None
    """Outputs of the items before this one; None outside a foreach or with concurrency above 1."""
    check_failures: tuple[str, ...] = ()
    """Why the last output of this node or item failed its checks; empty if it did not."""

    def output(self, node_id: str) -> JsonValue:
        """Return an upstream node's output, None if it was skipped or failed; KeyError if it is not upstream."""
        if not self.node.is_after(self.plan.index[node_id]):
            raise KeyError(node_id)
        return self.outputs.get(node_id)

    @property
    def last_output(self) -> JsonValue:
        """The latest content-producing ancestor's output; a foreach's items joined by blank lines; None if none."""
        if self.last_output_node is None:
            return None
        value = self.outputs.get(self.last_output_node)
        if self.plan.node(self.last_output_node).foreach is not None and isinstance(value, list):
            return "\n\n".join(str(entry) for entry in value if entry is not None)
        return value
