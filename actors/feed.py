"""What changes in the list of executions, for those who have it open: each execution at most twice a second.

Nothing is noted while nobody listens. Costs the database nothing: rows are read from memory, some in each turn.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Iterable

import orjson

from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.pages import row_json
from offbook.actors.surroundings import Surroundings
from offbook.actors.watching import Stream
from offbook.workflows.caller import Caller
from offbook.workflows.records import ExecutionFilter

FLUSH_SECONDS = 0.5
"""How long changes are gathered."""
ROWS_AT_ONCE = 100
"""Rows written in one turn of the loop."""
KEPT = 1000
"""Rows kept for those who come back; each is the latest of its execution."""
LINGER_SECONDS = 15.0

_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")

NOBODY = ""
"""No user has this id."""


class _Listener:
    """One list that is open somewhere."""

    __slots__ = ("owner", "stream", "where")

    def __init__(self, stream: Stream, where: ExecutionFilter) -> None:
        self.stream = stream
        self.where = where
        self.owner = where.user_id
        """Whose executions are listed; None: everybody's."""

    def wants(self, entry: Entry) -> bool:
        return entry.matches(self.where)


class ExecutionFeed:
    """Tells the lists that are open what becomes of the executions in them."""

    def __init__(self, around: Surroundings, directory: ExecutionDirectory) -> None:
        self._around = around
        self._directory = directory
        self._loop = around.loop
        self._listeners: dict[str | None, list[_Listener]] = {}
        """By owner."""
        self._changed: dict[str, Entry] = {}
        self._under_way: deque[Entry] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        """Count from the start again, under another name: nothing is known of what was before."""
        self._life = secrets.token_hex(4)
        self._last = 0
        self._base = 0
        """After which the kept rows begin."""
        self._kept: dict[str, tuple[int, Entry | None, str | None, bytes]] = {}
        """Number, entry, owner and event of each execution that changed, the latest last."""

    async def follow(self, stream: Stream, *, caller: Caller, where: ExecutionFilter, after: str) -> None:
        """Tell a stream about the executions that the caller may see and `where` is about, until it is cut."""
        owner = where.user_id if caller.is_operator else caller.user_id
        if where.user_id is not None and not caller.may_see(where.user_id):
            # Of others there is nothing, as in the list.
            owner = NOBODY
        where = ExecutionFilter(workflow=where.workflow, user_id=owner, labels=where.labels)
        await stream.open()
        listener = _Listener(stream, where)
        self._join(listener, after)
        try:
            await asyncio.wait((stream.cut,))
        finally:
            self._leave(listener)

    def note(self, execution_id: str) -> None:
        """An execution has changed. Called while somebody listens, and then very often."""
        if execution_id not in self._changed:
            entry = self._directory.find(execution_id)
            if entry is not None:
                self._changed[execution_id] = entry
                self._gather()

    def deleted(self, execution_id: str, owner: str | None) -> None:
        """An execution was forgotten; `owner`: None if that is not known, and only operators hear of it."""
        if self._around.feed is None:
            return
        self._changed.pop(execution_id, None)
        self._keep(execution_id, None, owner, "deleted", orjson.dumps({"execution_id": execution_id}))
        event = self._kept[execution_id][3]
        for each in self._interested(owner):
            each.stream.send(event)

    # Who listens

    def _join(self, listener: _Listener, after: str) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._around.feed = self
        self._listeners.setdefault(listener.owner, []).append(listener)
        here = f"id: {self._life}-{self._last}\nevent: ready\ndata: {{}}\n\n".encode()
        found = _ID.fullmatch(after) if after else None
        if not after:
            listener.stream.send(here)
        elif found is None or found[1] != self._life or not self._base <= int(found[2]) <= self._last:
            said = orjson.dumps({"since": after, "reason": "that is not kept any more: load the list anew"})
            listener.stream.send(b"event: gap\ndata: " + said + b"\n\n" + here)
        else:
            missed = [
                event
                for number, entry, owner, event in self._kept.values()
                if number > int(found[2])
                and (listener.wants(entry) if entry is not None else listener.owner in (None, owner))
            ]
            listener.stream.send(b"".join(missed) or here)

    def _leave(self, listener: _Listener) -> None:
        left = [each for each in self._listeners[listener.owner] if each is not listener]
        if left:
            self._listeners[listener.owner] = left
        else:
            del self._listeners[listener.owner]
        if not self._listeners:
            self._idle = self._loop.call_later(LINGER_SECONDS, self._rest)

    def _rest(self) -> None:
        """Nobody has listened for a while: note nothing any more."""
        self._idle = None
        self._around.feed = None
        self._changed.clear()
        self._under_way.clear()
        self._begin()

    def _interested(self, owner: str | None) -> Iterable[_Listener]:
        yield from self._listeners.get(None, ())
        if owner is not None:
            yield from self._listeners.get(owner, ())

    # What is told

    def _gather(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        """Begin with what has changed; what changes meanwhile is for the next time."""
        self._timer = None
        changed, self._changed = self._changed, {}
        begun = bool(self._under_way)
        for execution_id, entry in changed.items():
            if entry.accepted:
                self._under_way.append(entry)
            elif execution_id in self._directory:
                self._changed[execution_id] = entry
        if self._changed:
            self._gather()
        if not begun:
            self._tell_some()

    def _tell_some(self) -> None:
        rows: dict[_Listener, list[bytes]] = {}
        for _ in range(min(ROWS_AT_ONCE, len(self._under_way))):
            entry = self._under_way.popleft()
            event = self._row(entry)
            if event is None:
                continue
            for each in self._interested(entry.user_id):
                if each.wants(entry):
                    rows.setdefault(each, []).append(event)
        for listener, events in rows.items():
            listener.stream.send(b"".join(events))
        if self._under_way:
            # Others on the loop have their turn.
            self._loop.call_soon(self._tell_some)

    def _row(self, entry: Entry) -> bytes | None:
        """Write the row of an execution; None if it is as it was told last."""
        around = self._around
        row = orjson.dumps(row_json(entry.row(around.worker_id), entry.run.usage, around.currency, live=True))
        before = self._kept.get(entry.execution_id)
        if before is not None and before[3].endswith(b"\ndata: " + row + b"\n\n"):
            return None
        self._keep(entry.execution_id, entry, entry.user_id, "execution", row)
        return self._kept[entry.execution_id][3]

    def _keep(self, execution_id: str, entry: Entry | None, owner: str | None, name: str, data: bytes) -> None:
        self._last += 1
        event = f"id: {self._life}-{self._last}\nevent: {name}\ndata: ".encode() + data + b"\n\n"
        self._kept.pop(execution_id, None)
        self._kept[execution_id] = (self._last, entry, owner, event)
        if len(self._kept) > KEPT:
            oldest = next(iter(self._kept))
            self._base = self._kept.pop(oldest)[0]
