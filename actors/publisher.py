"""The events of one execution, told to those who watch it. There is one while somebody does, and a little longer.

What is new is read from the run when its actor has changed it: nothing is asked of a database, and nothing is
computed for an execution that nobody watches. It writes each event once, however many watch, and waits for no one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import orjson
from loguru import logger

from offbook.actors.event_ring import END, EventRing, Position, event_id, frame
from offbook.workflows.events import Telling
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload
from offbook.workflows.values import JsonObject

FIGURES_SECONDS = 0.25
"""Between two looks at progress and usage while text streams. The text itself goes out as it comes."""
URGENT_SECONDS = 0.05
"""Between two looks at the nodes while much of them changes."""
VEIL_SECONDS = 0.05
"""Between two looks at whether what would be told is on disk."""
LINGER_SECONDS = 15.0
"""How long the last events are kept after the last watcher has left, for one who comes back."""
CONTINUES = b": continues\n\n"


class Watcher(Protocol):
    """Somebody who watches. None of these may block or raise."""

    def send(self, frames: bytes) -> None: ...

    def end(self) -> None:
        """There is nothing more to come: the execution has ended."""
        ...

    def lose(self) -> None:
        """The actor is no more; whoever still wants to watch asks the next one."""
        ...


class Watched(Protocol):
    """An execution's actor, as its publisher sees it."""

    def context(self) -> StatusContext: ...

    def is_veiled(self) -> bool:
        """Whether what would be told is not on disk, and a crash could take it back."""
        ...

    def is_over(self) -> bool:
        """Whether the run has ended, and is stored."""
        ...


class Publisher:
    """Tells watchers of one run what happens to it."""

    __slots__ = (
        "_closed",
        "_ended_in",
        "_idle",
        "_joining",
        "_look",
        "_look_due",
        "_looked",
        "_loop",
        "_on_idle",
        "_ring",
        "_run",
        "_scheduled",
        "_stale",
        "_telling",
        "_watched",
        "_watchers",
    )

    def __init__(
        self, run: Run, watched: Watched, loop: asyncio.AbstractEventLoop, on_idle: Callable[[], None]
    ) -> None:
        """`on_idle` is called once nobody has watched for a while: then there need be no publisher."""
        self._run = run
        self._watched = watched
        self._loop = loop
        self._on_idle = on_idle
        self._watchers: list[Watcher] = []
        self._joining: list[tuple[Watcher, Position | None]] = []
        """Who came while nothing may be told."""
        self._telling: Telling | None = None
        self._ring = EventRing(run.told)
        self._ended_in = 0
        """The epoch whose end was told."""
        self._scheduled = False
        self._stale = False
        """Whether anything may have changed since figures and nodes were looked at last."""
        self._looked = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._look_due = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def has_watchers(self) -> bool:
        return bool(self._watchers or self._joining)

    def note(self) -> None:
        """Something has changed; it is told when the actors have had their turn."""
        self._stale = True
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._publish)

    def join(self, watcher: Watcher, after: Position | None) -> None:
        """Tell a watcher how things stand, or what came after an event that it has seen, and all that comes."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._watched.is_veiled():
            self._joining.append((watcher, after))
            self.note()
        else:
            self._admit(watcher, after)

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher, if it is one still."""
        self._watchers = [each for each in self._watchers if each is not watcher]
        self._joining = [each for each in self._joining if each[0] is not watcher]
        self._linger()

    def close(self) -> None:
        """The actor is no more, or nobody watches."""
        self._closed = True
        self._run.told = self._ring.position
        for timer in (self._look, self._idle):
            if timer is not None:
                timer.cancel()
        watchers = [*self._watchers, *(each[0] for each in self._joining)]
        self._watchers, self._joining = [], []
        for watcher in watchers:
            watcher.lose()

    # What is told

    def _publish(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        if self._watched.is_veiled():
            self._scheduled = True
            self._loop.call_later(VEIL_SECONDS, self._publish)
            return
        try:
            if self._telling is not None:
                self._tell()
            joining, self._joining = self._joining, []
            for watcher, after in joining:
                self._admit(watcher, after)
        except Exception:
            # Nobody is to wait for events that do not come.
            logger.error("events cannot be told", execution_id=self._run.execution_id)
            self.close()
            self._on_idle()
            raise

    def _tell(self, *, everything: bool = False) -> None:
        """Tell the watchers what is new: the text at once, the rest when it is due."""
        run, telling = self._run, self._telling
        assert telling is not None
        events = telling.steps()
        if events is None:
            self._begin_anew("steps came faster than they are kept")
            events = []
        over = self._is_news() and self._watched.is_over()
        if self._stale:
            due = self._looked + (URGENT_SECONDS if telling.urgent else FIGURES_SECONDS)
            if everything or over or self._loop.time() >= due:
                self._stale = False
                self._looked = self._loop.time()
                events += telling.state(self._watched.context())
                self._look_later(None)
            else:
                self._look_later(due)
        frames = [self._ring.add(run.revision, event) for event in events]
        if over:
            frames.append(self._keep_end())
        if frames:
            self._send(b"".join(frames))
        if over:
            self._end_all()

    def _keep_end(self) -> bytes:
        run = self._run
        self._ended_in = run.epoch
        return self._ring.add(run.revision, ("end", _end(run.execution_id, run.status)))

    def _is_news(self) -> bool:
        """Whether the end of this epoch has not been told."""
        return self._ended_in != self._run.epoch

    def _look_later(self, due: float | None) -> None:
        if self._look is not None:
            if due is not None and self._look_due <= due:
                return
            self._look.cancel()
            self._look = None
        if due is not None:
            self._look_due = due
            self._look = self._loop.call_later(due - self._loop.time(), self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if not self._scheduled:
            self._publish()

    def _send(self, frames: bytes) -> None:
        for watcher in self._watchers:
            watcher.send(frames)

    def _end_all(self) -> None:
        ended, self._watchers = self._watchers, []
        for watcher in ended:
            watcher.end()
        self._linger()

    def _begin_anew(self, reason: str) -> None:
        """Give all watchers a fresh start: what lies between cannot be told any more."""
        telling = self._telling
        assert telling is not None
        frames = gap_frame(self._ring.position, reason)
        payload = status_payload(self._run, self._watched.context())
        telling.begin(payload)
        self._ring.reach(self._run.revision)
        self._ring.forget()
        self._send(frames + frame("snapshot", orjson.dumps(payload), self._ring.position))

    # Who is told

    def _admit(self, watcher: Watcher, after: Position | None) -> None:
        run, ring = self._run, self._ring
        over = self._watched.is_over()
        payload = None
        after_is_known = after is not None
        if self._telling is None:
            payload = status_payload(run, self._watched.context())
            self._telling = Telling(run, payload)
            # Whatever was told before, by a publisher before this one, is before this.
            ring.reach(run.revision)
            ring.forget()
            after_is_known = False
            if over:
                self._keep_end()
        else:
            self._tell(everything=True)
        missed = ring.after(after) if after is not None and after_is_known else None
        if missed is not None:
            watcher.send(missed or CONTINUES)
        else:
            before = (
                gap_frame(after, "it is too long ago, or of another worker's memory") if after is not None else b""
            )
            payload = payload or status_payload(run, self._watched.context())
            # Who has seen how it ended, and not that it has, is told that once more, and nothing else.
            position = (run.revision, END - 1) if over else ring.stand_at(run.revision)
            watcher.send(before + frame("snapshot", orjson.dumps(payload), position))
        if over:
            if missed is None:
                watcher.send(end_frame(run.execution_id, run.status, run.revision))
            watcher.end()
            self._linger()
        else:
            self._watchers.append(watcher)

    def _linger(self) -> None:
        if not self.has_watchers and self._idle is None and not self._closed:
            self._idle = self._loop.call_later(LINGER_SECONDS, self._be_idle)

    def _be_idle(self) -> None:
        self._idle = None
        if not self.has_watchers and not self._closed:
            self.close()
            self._on_idle()


def gap_frame(since: Position, reason: str) -> bytes:
    """Write the event that says that events are missing after this one; a snapshot follows it."""
    return frame("gap", orjson.dumps({"since": event_id(since), "reason": reason}))


def end_frame(execution_id: str, status: ExecutionStatus, revision: int) -> bytes:
    """Write the event that an execution has ended."""
    return frame("end", orjson.dumps(_end(execution_id, status)), (revision, END))


def _end(execution_id: str, status: ExecutionStatus) -> JsonObject:
    return {"execution_id": execution_id, "status": status.value}
