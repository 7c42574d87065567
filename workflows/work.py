"""What a run remembers of each node, item and step: plain mutable records, changed by transitions alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from offbook.workflows.states import NodeStatus, StepKind
from offbook.workflows.values import NO_USAGE, JsonObject, JsonValue, NodeError, Usage

STEPS_KEPT = 200
STEP_TEXT_LIMIT = 500
"""Characters of streamed text that one step gathers before the next begins."""

HELD_BACK = "budget"
"""The kind of park of an attempt that has not begun: it is tried again under its number."""

FINISHED = frozenset({NodeStatus.COMPLETED, NodeStatus.SKIPPED})


@dataclass(frozen=True, slots=True)
class Parked:
    """What a waiting node or item waits for."""

    kind: str
    name: str
    until: float | None
    form: JsonObject | None
    default: JsonValue
    has_default: bool

    def to_json(self) -> list[JsonValue]:
        return [self.kind, self.name, self.until, self.form, self.default, self.has_default]


@dataclass(slots=True)
class Checked:
    """What checks said of the outputs of a node or item that failed them."""

    tries: int = 0
    """Outputs since the last resume; the check's own retry policy counts these."""
    failures: int = 0
    """Outputs over all epochs."""
    reasons: tuple[str, ...] = ()
    """Why the last of them failed; put to the model at the next attempt."""

    def to_json(self) -> list[JsonValue]:
        return [self.tries, self.failures, list(self.reasons)]

    @classmethod
    def from_json(cls, state: list[JsonValue]) -> Checked:
        tries, failures, reasons = state
        return cls(tries, failures, tuple(reasons))


class Work:
    """A node, or one item of a foreach: its state over all attempts."""

    __slots__ = (
        "attempt",
        "error",
        "finished_at",
        "fraction",
        "guided",
        "in_flight",
        "items",
        "live_model",
        "live_usage",
        "output",
        "park",
        "partial",
        "retry_at",
        "revision",
        "started_at",
        "status",
        "tries",
        "usage",
        "values",
    )

    live_model: str
    """Which model the `live_usage` is of: set and read with that alone, since most nodes never report any."""

    def __init__(self) -> None:
        self.status = NodeStatus.PENDING
        self.attempt = 0
        """Counted from 1 over all epochs."""
        self.tries = 0
        """Attempts since the last resume; the retry policy counts these."""
        self.in_flight = False
        """Whether the node runner has an attempt, a decision or an expansion of it."""
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.retry_at: float | None = None
        self.usage = NO_USAGE
        self.live_usage = NO_USAGE
        self.error: NodeError | None = None
        self.partial = ""
        self.park: Parked | None = None
        self.fraction = 0.0
        self.guided = False
        self.revision = 0
        self.output: JsonValue = None
        """Of an item. Outputs of nodes are in `Run.outputs`."""
        self.items: list[Work] | None = None
        self.values: tuple[JsonValue, ...] = ()

    def settled(self, continue_on_error: bool) -> bool:
        """Whether it is done with for good: a failure only where the node may fail."""
        return self.status in FINISHED or (continue_on_error and self.status is NodeStatus.FAILED)

    @property
    def reused(self) -> bool:
        """Whether its output was the parent's, and no attempt was made here."""
        return self.status is NodeStatus.COMPLETED and not self.attempt

    @property
    def is_held_back(self) -> bool:
        """Whether an attempt waits that was not allowed to begin."""
        return self.status is NodeStatus.WAITING and self.park is not None and self.park.kind == HELD_BACK

    @property
    def due(self) -> float | None:
        """When a waiting node or item goes on by itself."""
        if self.retry_at is not None:
            return self.retry_at
        return self.park.until if self.park else None

    @property
    def total_usage(self) -> Usage:
        """Tokens of all attempts, of all items, the running ones included."""
        total = self.usage
        if self.live_usage is not NO_USAGE:
            total = total + self.live_usage
        for item in self.items or ():
            total = total + item.total_usage
        return total

    def count_items(self, status: NodeStatus) -> int:
        return sum(1 for item in self.items or () if item.status is status)

    def to_state(self) -> JsonObject:
        """Write all but the output as JSON, leaving out what has its first value."""
        state: JsonObject = {"status": self.status.value, "attempt": self.attempt}
        if self.started_at is not None:
            state["started_at"] = self.started_at
        if self.finished_at is not None:
            state["finished_at"] = self.finished_at
        if self.tries:
            state["tries"] = self.tries
        if self.usage is not NO_USAGE:
            state["usage"] = self.usage.to_state()
        if self.error is not None:
            state["error"] = self.error.to_json()
        if self.partial:
            state["partial"] = self.partial
        if self.retry_at is not None:
            state["retry_at"] = self.retry_at
        if self.park is not None:
            state["park"] = self.park.to_json()
        if self.guided:
            state["guided"] = True
        if self.items is not None:
            state["items"] = [item.to_state() for item in self.items]
            state["values"] = list(self.values)
        return state

    @classmethod
    def from_state(cls, state: JsonObject, revision: int) -> Work:
        work = cls()
        work.status = NodeStatus(state["status"])
        work.attempt = state["attempt"]
        work.started_at = state.get("started_at")
        work.finished_at = state.get("finished_at")
        work.tries = state.get("tries", 0)
        if "usage" in state:
            work.usage = Usage.from_state(state["usage"])
        if "error" in state:
            work.error = NodeError.from_json(state["error"])
        work.partial = state.get("partial", "")
        work.retry_at = state.get("retry_at")
        if "park" in state:
            work.park = Parked(*state["park"])
        work.guided = state.get("guided", False)
        work.revision = revision
        if "items" in state:
            work.items = [cls.from_state(item, revision) for item in state["items"]]
            work.values = tuple(state["values"])
        return work


Step: TypeAlias = tuple[int, float, str | None, int | None, str, str, int]
"""One line of what happened, for people: seq, at, node_id, item, kind, text, revision.

A plain tuple, not a class: a worker holds a million of them, and the garbage collector leaves tuples of such
values alone.
"""


class Steps:
    """The last steps of a run. `seq` counts from 1 over all epochs."""

    __slots__ = ("_entries", "last_seq")

    def __init__(self, last_seq: int = 0) -> None:
        self._entries: list[Step] = []
        self.last_seq = last_seq

    def __iter__(self) -> Iterator[Step]:
        return iter(self._entries[-STEPS_KEPT:])

    @property
    def first_seq(self) -> int:
        """The oldest step still here; 1 more than the last if there is none."""
        kept = self._entries[-STEPS_KEPT:]
        return kept[0][0] if kept else self.last_seq + 1

    @property
    def last(self) -> Step | None:
        """The newest step, if there is one."""
        return self._entries[-1] if self._entries else None

    def beginning_with(self, seq: int, length: int) -> list[Step] | None:
        """Return the step of which so many characters are known, and those after it; None if some of it is gone."""
        entries = self._entries
        if not entries:
            return [] if seq >= self.last_seq else None
        begin = seq - entries[0][0]
        # Of a step without text nothing can be missing.
        return None if begin < (0 if length else -1) else entries[max(0, begin) :]

    def add(self, at: float, node_id: str | None, item: int | None, kind: StepKind, text: str, revision: int) -> None:
        self.last_seq = seq = self.last_seq + 1
        entries = self._entries
        entries.append((seq, at, node_id, item, kind.value, text, revision))
        if len(entries) >= 2 * STEPS_KEPT:
            del entries[:-STEPS_KEPT]

    def stream(self, at: float, node_id: str, item: int | None, kind: StepKind, text: str, revision: int) -> None:
        """Add streamed text, to the step before it where that is of the same source and not yet full."""
        entries = self._entries
        if entries:
            seq, began, *source, before, _ = entries[-1]
            if source == [node_id, item, kind.value] and len(before) + len(text) <= STEP_TEXT_LIMIT:
                entries[-1] = (seq, began, node_id, item, kind.value, before + text, revision)
                return
        for start in range(0, len(text), STEP_TEXT_LIMIT):
            self.add(at, node_id, item, kind, text[start : start + STEP_TEXT_LIMIT], revision)

    def to_state(self) -> list[JsonValue]:
        return [step[:-1] for step in self]

    @classmethod
    def from_state(cls, rows: list[JsonValue], last_seq: int, revision: int) -> Steps:
        steps = cls(last_seq)
        steps._entries = [(*row, revision) for row in rows]
        return steps
