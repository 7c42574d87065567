"""The last events of an execution as they go over the wire, and the positions by which a client continues after one.

Keeps a bounded number of bytes; what it no longer reaches back to it says so of, and never skips.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TypeAlias

import orjson

from offbook.workflows.events import Event

Position: TypeAlias = tuple[int, int]
"""A revision and a number within it, from 0: the id of an event is `REVISION`, or `REVISION.N` past the first."""

RING_BYTES = 16 * 1024
"""Of events kept for those who come back: some seconds of a text that streams."""
END = 1_000_000
"""The number within its revision of the event `end`, so that whoever has seen it is known for sure."""

_ID = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?")


def event_id(position: Position) -> str:
    revision, number = position
    return f"{revision}.{number}" if number else str(revision)


def read_event_id(text: str) -> Position | None:
    """Read the id of an event; None if it is not one."""
    found = _ID.fullmatch(text)
    return (int(found[1]), int(found[2] or 0)) if found else None


def frame(name: str, data: bytes, position: Position | None = None) -> bytes:
    """Write an event; `data` is JSON, which has no line end in it."""
    head = f"id: {event_id(position)}\nevent: {name}\ndata: " if position is not None else f"event: {name}\ndata: "
    return head.encode() + data + b"\n\n"


class EventRing:
    """Gives each event its position, and keeps the last of them."""

    __slots__ = ("_base", "_frames", "_size", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        """Of the last event."""
        self._base = position
        """After which the kept ones begin."""
        self._frames: deque[tuple[Position, bytes]] = deque()
        self._size = 0

    def add(self, revision: int, event: Event) -> bytes:
        """Frame an event that is of this revision, keep it and return it."""
        name, said = event
        position = self.reach(revision, END if name == "end" else None)
        data = frame(name, orjson.dumps(said), position)
        self._frames.append((position, data))
        self._size += len(data)
        while self._size > RING_BYTES:
            self._base, dropped = self._frames.popleft()
            self._size -= len(dropped)
        return data

    def reach(self, revision: int, number: int | None = None) -> Position:
        """Take the next position in a revision, or this number in it."""
        last, used = self.position
        if number is None:
            number = used + 1 if revision <= last else 0
        self.position = (max(revision, last), number)
        return self.position

    def stand_at(self, revision: int) -> Position:
        """Say at which position one is who knows all that was told and the whole state at this revision."""
        self.position = max(self.position, (revision, 0))
        return self.position

    def forget(self) -> None:
        """Keep none: who comes back has to begin anew."""
        self._frames.clear()
        self._size = 0
        self._base = self.position

    def after(self, position: Position) -> bytes | None:
        """Return the frames after a position; None if they are not all here, or the position is none of ours."""
        if not self._base <= position <= self.position:
            return None
        return b"".join(data for each, data in self._frames if each > position)
