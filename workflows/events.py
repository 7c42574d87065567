"""What is new in a run to those who watch it, as events in the words of its status. Reads a run, changes nothing."""

from __future__ import annotations

from typing import TypeAlias

import orjson

from offbook.workflows.run_state import RunState
from offbook.workflows.states import StepKind
from offbook.workflows.status import UNTOUCHED, StatusContext, item_entry, status_payload, step_entry
from offbook.workflows.values import JsonObject

Event: TypeAlias = tuple[str, JsonObject]
"""Its name and what it says: snapshot, status, node, item, progress, step, text, usage, gap, end."""

STREAMED = frozenset({StepKind.TEXT.value, StepKind.THINKING.value})
"""Kinds of steps that grow in place: their events have only the new part."""
APART = frozenset(
    {"node_results", "processing_steps", "first_seq", "progress", "usage", "cost", "revision", "partial"}
)
"""What of a status payload is not in `status` events: it has events of its own, or makes no sense in one."""


class Telling:
    """What the watchers of a run have been told, to know what is new to them."""

    __slots__ = ("_head", "_length", "_places", "_progress", "_revision", "_run", "_seq", "_usage", "_was", "urgent")

    def __init__(self, run: RunState, payload: JsonObject) -> None:
        """Begin where they have been told the whole payload of the status."""
        self._run = run
        self.begin(payload)

    def begin(self, payload: JsonObject) -> None:
        """Begin anew: they have been told this payload, which is of now."""
        run = self._run
        self._seq, self._length = _end_of(run)
        self._revision = run.revision
        self._was = (run.epoch, run.status.at_rest)
        self._head = _head(payload)
        self._progress: JsonObject = payload["progress"]
        self._usage = _usage(payload)
        self._places: dict[tuple[str, int], None] = {}
        """Items of which a step told since `state` was asked for last."""
        self.urgent = False
        """Whether more happened since then than text and figures."""

    def steps(self) -> list[Event] | None:
        """Return events for the steps that are new or have grown; None if steps are gone that were not told."""
        run = self._run
        found = run.steps.beginning_with(self._seq, self._length)
        if found is None:
            return None
        events: list[Event] = []
        for step in found:
            seq, _, node_id, item, kind, text, _ = step
            told = self._length if seq == self._seq else 0
            if seq == self._seq and len(text) == told:
                continue
            if kind in STREAMED:
                part = {"seq": seq, "node_id": node_id, "item": item, "kind": kind, "text": text[told:]}
                events.append(("text", part))
            else:
                events.append(("step", step_entry(step)))
                if kind != StepKind.PROGRESS.value:
                    self.urgent = True
                    if node_id is not None and item is not None:
                        self._places[node_id, item] = None
        self._seq, self._length = _end_of(run)
        return events

    def state(self, context: StatusContext) -> list[Event]:
        """Return events for whatever else is another than it was."""
        run = self._run
        was, now = self._was, (run.epoch, run.status.at_rest)
        turned = was != now
        # What rests, or goes on from a rest, is shown otherwise also where nothing happened to it.
        payload = status_payload(run, context, None if turned else self._revision)
        events: list[Event] = []
        head = _head(payload)
        for node_id, entry in payload["node_results"].items():
            if entry is not UNTOUCHED:
                events.append(("node", {"node_id": node_id, **entry}))
        events += self._items(all_changed=turned)
        if payload["progress"] != self._progress:
            events.append(("progress", payload["progress"]))
        usage = _usage(payload)
        if usage != self._usage:
            events.append(("usage", usage))
        # Last: who hears that it has ended knows the rest.
        if head != self._head:
            events.append(("status", {key: value for key, value in payload.items() if key not in APART}))
        self._head, self._progress, self._usage = head, payload["progress"], usage
        self._revision, self._was = run.revision, now
        self._places.clear()
        self.urgent = False
        return events

    def _items(self, *, all_changed: bool) -> list[Event]:
        run = self._run
        places = list(self._places)
        if all_changed:
            places = [
                (node.id, item)
                for node in run.plan.nodes
                for item, work in run.each_of(node.index)
                if item is not None and work.revision > self._revision
            ]
        events: list[Event] = []
        for node_id, item in places:
            node = run.plan.node(node_id)
            items = run.works[node.index].items
            if items is not None and item < len(items):
                entry = item_entry(run, node, item, items[item])
                events.append(("item", {"node_id": node_id, "item": item, **entry}))
        return events


def _end_of(run: RunState) -> tuple[int, int]:
    """Return the last step's number, and how long its text is."""
    last = run.steps.last
    return (last[0], len(last[5])) if last is not None else (run.steps.last_seq, 0)


def _head(payload: JsonObject) -> int:
    """Return what changes when there is a `status` event to tell. The journal changes with every record."""
    head = {key: value for key, value in payload.items() if key not in APART and key != "journal"}
    return hash(orjson.dumps(head))


def _usage(payload: JsonObject) -> JsonObject:
    return {"usage": payload["usage"], "cost": payload["cost"]}
