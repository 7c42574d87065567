"""Segments of a journal: how records lie in one, and which segments are still needed. Does no I/O."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from offbook.workflows.records import JournalRecord

COMPACT_ABOVE = 32 * 1024 * 1024
"""Bytes of segments below which nothing is written together."""
COMPACT_FACTOR = 4
"""How often the bytes of live records the segments may take before the oldest are written together."""
EAGER_FACTOR = 1.5
"""The same where the last commit failed, perhaps because the disk is full."""
COMPACT_BYTES = 16 * 1024 * 1024
"""Bytes of segments that one commit writes together at most."""


CHECKSUM_BYTES = 4


class SegmentTorn(ValueError):
    """A segment is not as it was written."""


def pack_segment(records: Sequence[JournalRecord]) -> bytes:
    """Write records as one segment, with a checksum: SQLite itself has none for what has left its log."""
    body = orjson.dumps([[r.execution_id, r.seq, orjson.Fragment(r.data)] for r in records])
    return zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


def unpack_segment(data: bytes) -> list[JournalRecord]:
    """Read a segment; SegmentTorn if it is not as it was written."""
    body = data[CHECKSUM_BYTES:]
    if zlib.crc32(body) != int.from_bytes(data[:CHECKSUM_BYTES], "big"):
        raise SegmentTorn("its checksum is another one")
    return [
        JournalRecord(execution_id, seq, orjson.dumps(message)) for execution_id, seq, message in orjson.loads(body)
    ]


@dataclass(slots=True)
class _Place:
    """What an execution has in one segment."""

    last_seq: int
    bytes: int


@dataclass(slots=True)
class Change:
    """What one commit does to the segments."""

    position: int
    """Where its records go; the position after it takes what is written together."""
    records: Sequence[JournalRecord]
    forget: Mapping[str, int]
    doomed: list[int]
    """Segments in which nothing is needed any more."""
    compacted: list[int]
    """Segments whose live records are written together."""
    rewritten: list[JournalRecord] = field(default_factory=list)


class SegmentIndex:
    """Which executions have records in which segments."""

    def __init__(self) -> None:
        self._places: dict[str, dict[int, _Place]] = {}
        self._live: dict[int, int] = {}
        """How many executions need each segment."""
        self._sizes: dict[int, int] = {}
        self._leftover: set[int] = set()
        self._unreadable: list[int] = []
        """Segments that nothing can be read from; the next commit drops them."""
        self._forgotten: dict[str, int] = {}
        """Up to where records are not needed that lie in segments others need."""
        self._next = 1
        self.bytes = 0
        """Bytes of all segments."""
        self._live_bytes = 0

    def execution_ids(self) -> list[str]:
        return list(self._places)

    def positions_of(self, execution_ids: Sequence[str]) -> list[int]:
        """Return the segments, written since this index began, that have records of these executions."""
        found = {position for each in execution_ids for position in self._places.get(each, ())}
        return sorted(found - self._leftover)

    def needs(self, record: JournalRecord) -> bool:
        """Whether a record has not been forgotten."""
        places = self._places.get(record.execution_id)
        return places is not None and record.seq > self._forgotten.get(record.execution_id, 0)

    def plan(self, records: Sequence[JournalRecord], forget: Mapping[str, int], *, eager: bool = False) -> Change:
        """Say what a commit of these records has to do; `apply` notes it once it is done.

        `eager`: room is short, so that little waste is reason enough to write segments together.
        """
        released: dict[int, int] = {}
        for execution_id, through in forget.items():
            for position, place in self._places.get(execution_id, {}).items():
                if place.last_seq <= through:
                    released[position] = released.get(position, 0) + 1
        doomed = [position for position, count in released.items() if count == self._live[position]]
        doomed += self._unreadable
        return Change(self._next, records, forget, doomed, self._to_compact(set(doomed), eager))

    def apply(self, change: Change) -> None:
        """Note what a commit has done."""
        self._unreadable = []
        for execution_id, through in change.forget.items():
            self._release(execution_id, through)
        for position in (*change.doomed, *change.compacted):
            self._drop(position)
        if change.records:
            self.add(change.position, change.records)
        if change.rewritten:
            self.add(change.position + 1, change.rewritten)

    def add(
        self, position: int, records: Sequence[JournalRecord], size: int | None = None, *, leftover: bool = False
    ) -> None:
        """Note a segment."""
        total = 0
        for record in records:
            places = self._places.setdefault(record.execution_id, {})
            place = places.get(position)
            if place is None:
                places[position] = place = _Place(record.seq, 0)
                self._live[position] = self._live.get(position, 0) + 1
            place.last_seq = max(place.last_seq, record.seq)
            place.bytes += len(record.data)
            total += len(record.data)
        self._sizes[position] = size if size is not None else total
        self.bytes += self._sizes[position]
        self._live_bytes += total
        self._next = max(self._next, position + 2)
        if leftover:
            self._leftover.add(position)
        if not records:
            self._unreadable.append(position)

    def _release(self, execution_id: str, through: int) -> None:
        places = self._places.get(execution_id)
        if places is None:
            return
        for position, place in list(places.items()):
            if place.last_seq <= through:
                del places[position]
                self._live[position] -= 1
                self._live_bytes -= place.bytes
        if places:
            self._forgotten[execution_id] = through
        else:
            del self._places[execution_id]
            self._forgotten.pop(execution_id, None)

    def _drop(self, position: int) -> None:
        if position not in self._sizes:
            return
        self.bytes -= self._sizes.pop(position)
        self._leftover.discard(position)
        if self._live.pop(position, 0):
            # Its live records are written again elsewhere.
            for execution_id in [each for each, places in self._places.items() if position in places]:
                self._live_bytes -= self._places[execution_id].pop(position).bytes

    def _to_compact(self, doomed: set[int], eager: bool) -> list[int]:
        above, factor = (0, EAGER_FACTOR) if eager else (COMPACT_ABOVE, COMPACT_FACTOR)
        if self.bytes < above or self.bytes < factor * self._live_bytes:
            return []
        chosen: list[int] = []
        size = 0
        for position in sorted(self._sizes):
            if position in doomed:
                continue
            size += self._sizes[position]
            if size > COMPACT_BYTES and chosen:
                break
            chosen.append(position)
        return chosen
