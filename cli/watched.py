"""A watched execution: status answers put together, and what each of them changed. Renders nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject, JsonValue

ITEM_ENDS = frozenset({"finished", "failed", "cancelled", "skipped"})
OVER_IT = frozenset({"running", "completed"})
"""States of a node in which the error of an earlier attempt is of no interest."""
STEPS_KEPT = 400


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that an answer brought."""

    node_id: str | None
    """None: the execution itself."""
    text: str


class Watched:
    """The latest that is known of one execution."""

    def __init__(self) -> None:
        self.payload: JsonObject = {}
        self.nodes: dict[str, JsonObject] = {}
        self.steps: dict[int, JsonObject] = {}

    def apply(self, payload: JsonObject) -> list[Change]:
        """Take an answer in, whole or partial; return what changed, in document order."""
        before_status, before_epoch = self.payload.get("status"), self.payload.get("epoch")
        if not payload["partial"]:
            previous, self.nodes, self.steps = self.nodes, {}, {}
        else:
            previous = dict(self.nodes)
        self.payload = payload
        self.nodes.update(payload["node_results"])
        self.steps.update((step["seq"], step) for step in payload["processing_steps"])
        self._forget_old_steps()
        changes = []
        if (payload["status"], payload["epoch"]) != (before_status, before_epoch):
            changes.append(Change(None, _describe_execution(payload, resumed=before_epoch not in (None, self.epoch))))
        for node_id in payload["node_results"]:
            line = describe_node(self.nodes[node_id])
            old = previous.get(node_id)
            if line != (describe_node(old) if old else "pending"):
                changes.append(Change(node_id, line))
        return changes

    def hear(self, name: str, said: JsonObject) -> list[Change]:
        """Take an event in; return what changed."""
        if name == "snapshot":
            return self.apply(said)
        payload = self.payload
        match name:
            case "status":
                return self.apply({**payload, **said, "partial": True, "node_results": {}, "processing_steps": []})
            case "node":
                entry = {key: value for key, value in said.items() if key != "node_id"}
                results = {said["node_id"]: entry}
                return self.apply({**payload, "partial": True, "node_results": results, "processing_steps": []})
            case "text":
                step = self.steps.get(said["seq"], {**said, "text": ""})
                self.steps[said["seq"]] = {**step, "text": step["text"] + said["text"]}
            case "step":
                self.steps[said["seq"]] = said
            case "progress":
                payload["progress"] = said
            case "usage":
                payload.update(said)
        self._forget_old_steps()
        return []

    @property
    def status(self) -> ExecutionStatus:
        return ExecutionStatus(self.payload["status"])

    @property
    def epoch(self) -> int:
        return int(self.payload["epoch"])

    @property
    def revision(self) -> int:
        return int(self.payload["revision"])

    @property
    def settled(self) -> bool:
        """Whether it is at rest and what there is to store is stored."""
        stored = self.status is ExecutionStatus.COMPLETED or self.payload["checkpoint"]["saved"]
        return self.status.at_rest and stored

    @property
    def current(self) -> list[str]:
        return list(self.payload["progress"]["current"])

    def running_items(self, node_id: str) -> list[int]:
        """Return the items of a foreach that have started and not ended, in order."""
        last: dict[int, str] = {}
        for step in self._steps_of(node_id):
            if step["item"] is not None:
                last[step["item"]] = step["kind"]
        return sorted(item for item, kind in last.items() if kind not in ITEM_ENDS)

    def latest_text(self, kind: str, *, node_id: str | None = None, item: int | None = None) -> str:
        """Return the newest run of steps of one kind and source, joined: streamed text comes in several."""
        found: list[str] = []
        source: tuple[JsonValue, JsonValue] | None = None
        for step in sorted(self.steps.values(), key=lambda step: -step["seq"]):
            where = (step["node_id"], step["item"])
            if node_id is not None and where != (node_id, item):
                continue
            if step["kind"] == kind and source in (None, where):
                source = where
                found.append(step["text"])
            elif source == where:
                break
        return "".join(reversed(found))

    def _steps_of(self, node_id: str) -> Iterator[JsonObject]:
        for seq in sorted(self.steps):
            if self.steps[seq]["node_id"] == node_id:
                yield self.steps[seq]

    def _forget_old_steps(self) -> None:
        for seq in sorted(self.steps)[:-STEPS_KEPT]:
            del self.steps[seq]


def describe_node(entry: JsonObject) -> str:
    """Say in one line how a node stands."""
    words = [entry["status"]]
    items = entry.get("items")
    if items:
        words.append(f"{items['completed']} of {items['total']} items")
        if items["failed"]:
            words.append(f"({items['failed']} failed)")
    if entry["attempt"] > 1:
        words.append(f"attempt {entry['attempt']}")
    error = entry.get("error")
    if error and entry["status"] not in OVER_IT:
        words.append(f"- {error['type']}: {error['message']}")
    return " ".join(words)


def describe_wait(waiting: JsonObject) -> str:
    """Say what is waited for, and until when: of a limit whose it is, since not only providers limit calls."""
    limit = waiting.get("limit")
    kind = f"the limit of the {limit['kind'].replace('_', ' ')}" if limit else waiting["kind"]
    until = f" until {waiting['until']}" if waiting.get("until") else ""
    return f"{kind} {waiting['name']}".rstrip() + until


def _describe_execution(payload: JsonObject, *, resumed: bool) -> str:
    words = [payload["status"]]
    if resumed:
        words.append(f"(epoch {payload['epoch']})")
    waiting = payload.get("waiting")
    if waiting:
        words.append(f"for {describe_wait(waiting)}")
    return " ".join(words)
