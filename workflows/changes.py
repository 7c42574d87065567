"""What differs between two workflows: nodes that were changed, added, removed, and which of their fields."""

from __future__ import annotations

from dataclasses import dataclass

from offbook.workflows.errors import OffbookError
from offbook.workflows.plan import Plan
from offbook.workflows.values import JsonObject, JsonValue

_MISSING = object()


@dataclass(frozen=True, slots=True)
class WorkflowChanges:
    """The nodes that differ, by id, and the fields of the workflow beside them."""

    changed: dict[str, tuple[str, ...]]
    """Node ids, and which of their fields: `config.prompt`, `retry`."""
    added: tuple[str, ...]
    removed: tuple[str, ...]
    fields: tuple[str, ...]
    """Fields of the workflow itself: `inputs.premise`, `restart`."""

    def to_json(self) -> JsonObject:
        return {
            "changed": [{"node_id": node_id, "fields": list(names)} for node_id, names in self.changed.items()],
            "added": list(self.added),
            "removed": list(self.removed),
            "fields": list(self.fields),
        }

    def __str__(self) -> str:
        said = [f"{node_id} changed ({', '.join(names)})" for node_id, names in self.changed.items()]
        said += [f"{node_id} added" for node_id in self.added]
        said += [f"{node_id} removed" for node_id in self.removed]
        said += [f"{name} changed" for name in self.fields]
        return "; ".join(said) or "the nodes are in another order"


class WorkflowChanged(OffbookError):
    """A resume sends another workflow than the one that the execution runs."""

    def __init__(self, execution_id: str, changes: WorkflowChanges, workflow: JsonValue) -> None:
        self.execution_id = execution_id
        self.changes = changes
        self.workflow = workflow
        """As it was sent: what a fork would be asked with."""
        super().__init__(
            f"execution {execution_id} runs another workflow than the one that was sent: {changes}; resume it "
            "without a workflow, or fork it: what is not affected is kept"
        )


def changes_between(before: Plan, after: Plan) -> WorkflowChanges:
    """Compare two workflows as they are written; a node that was renamed is removed and added."""
    old, new = _nodes(before), _nodes(after)
    changed = {
        node_id: fields
        for node_id, node in new.items()
        if node_id in old and (fields := tuple(_differences(old[node_id], node)))
    }
    top = _differences(_beside_nodes(before), _beside_nodes(after))
    return WorkflowChanges(
        changed=changed,
        added=tuple(node_id for node_id in new if node_id not in old),
        removed=tuple(node_id for node_id in old if node_id not in new),
        fields=tuple(top),
    )


def _nodes(plan: Plan) -> dict[str, JsonObject]:
    return {node["id"]: node for node in plan.document["nodes"]}


def _beside_nodes(plan: Plan) -> JsonObject:
    return {name: value for name, value in plan.document.items() if name != "nodes"}


def _differences(before: JsonObject, after: JsonObject, path: str = "") -> list[str]:
    """Name the fields that differ, two levels down, and all of a config's."""
    found: list[str] = []
    for name in {**before, **after}:
        old, new = before.get(name, _MISSING), after.get(name, _MISSING)
        if old == new:
            continue
        where = f"{path}{name}"
        if isinstance(old, dict) and isinstance(new, dict) and where.count(".") < 3:
            found += _differences(old, new, f"{where}.")
        else:
            found.append(where)
    return found
