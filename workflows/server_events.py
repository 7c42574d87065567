"""Server-Sent Events out of bytes, wherever those are cut. Knows nothing of what the events say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENT_BYTES = 8_000_000

_LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream."""

    name: str
    """`message` if it has none."""
    data: str
    id: str
    """The last id that the stream gave, with this event or before it."""


class EventTooLong(Exception):
    """An event goes on past what may be kept of it."""


class EventParser:
    """Takes bytes as they arrive and gives each event that is complete."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._after_return = False
        self._data: list[str] = []
        self._size = 0
        self._name = ""
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the data of the events that this chunk completes; EventTooLong past 8 MB in one event."""
        for event in self.events(chunk):
            yield event.data

    def events(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Yield the events that this chunk completes; EventTooLong past 8 MB in one event."""
        for line in self._lines(chunk):
            if line:
                self._take(line)
            elif self._data:
                yield self._event()
            else:
                self._name = ""

    def finish(self) -> Iterator[str]:
        """Yield what the stream ended in without the blank line after it."""
        if self._rest:
            self._take(bytes(self._rest))
            self._rest.clear()
        if self._data:
            yield self._event().data

    def _event(self) -> ServerEvent:
        event = ServerEvent(self._name or "message", "\n".join(self._data), self._id)
        self._data, self._size, self._name = [], 0, ""
        return event

    def _take(self, line: bytes) -> None:
        field, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if field == b"data":
            self._size += len(value)
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        elif field == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        elif field == b"id":
            self._id = value.removeprefix(b" ").decode("utf-8", "replace")

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """Cut lines at CR, LF or CR LF. A CR ends its line at once: what follows it may never come."""
        if self._after_return and chunk:
            self._after_return = False
            chunk = chunk.removeprefix(b"\n")
        rest = self._rest
        rest += chunk
        start = 0
        at = self._searched
        while at < len(rest):
            end = _line_end(rest, at)
            if end < 0:
                break
            yield bytes(rest[start:end])
            start = at = end + 1
            if rest[end] == 0x0D:
                if start == len(rest):
                    self._after_return = True
                elif rest[start] == 0x0A:
                    start = at = start + 1
        del rest[:start]
        self._searched = len(rest)
        if len(rest) + self._size > MAX_EVENT_BYTES:
            raise EventTooLong


def _line_end(text: bytearray, start: int) -> int:
    found = _LINE_END.search(text, start)
    return found.start() if found else -1
