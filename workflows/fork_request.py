"""What somebody wants a fork to change, as it was asked for. Checks nothing, and imports as little as it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from offbook.workflows.values import JsonObject

if TYPE_CHECKING:
    from offbook.workflows.document import Workflow


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """What a fork is to change of its parent."""

    inputs: JsonObject
    """Those that change."""
    workflow: str | JsonObject | Workflow | None = None
    """None: that of the parent."""
    outputs: JsonObject | None = None
    """Given by hand: `node`, or `chapters[2]` for an item."""
    guidance: str = ""

    def to_json(self) -> JsonObject:
        """Write the request as the body that HTTP takes."""
        workflow = self.workflow
        written = workflow if workflow is None or isinstance(workflow, str | dict) else workflow.to_json()
        return {"inputs": self.inputs, "workflow": written, "outputs": self.outputs or {}, "guidance": self.guidance}
