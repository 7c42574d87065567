"""Watching executions: has a stream follow an actor, also over crashes and a time in the database.

Asks the database for nothing as long as the execution is in memory. Knows no HTTP: a Stream is wherever events go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

import orjson
from pykka import ActorDeadError, ActorRef

from offbook.actors.directory import ExecutionDirectory
from offbook.actors.event_ring import END, Position, frame
from offbook.actors.execution_messages import StatusAnswer, UnwatchExecution, WatchExecution
from offbook.actors.publisher import end_frame, gap_frame
from offbook.workflows.caller import Caller
from offbook.workflows.errors import ExecutionNotFound
from offbook.workflows.states import ExecutionStatus

RETURN_POLL = 1.0
"""Seconds between two looks at whether an execution that rests in the database is in memory again."""
RESTART_POLL = 0.05
"""Seconds between two looks at whether a crashed actor has been restarted."""


class Stream(Protocol):
    """Where the events of one watcher go."""

    async def open(self) -> None:
        """Get ready: from here on there are events."""
        ...

    def send(self, frames: bytes) -> None:
        """Take whole events, at once and without waiting. Who cannot take them must cut itself off."""
        ...

    @property
    def cut(self) -> asyncio.Future[None]:
        """Done once nothing can be sent any more."""
        ...


class StatusOf(Protocol):
    """Answers a status, from memory or from the database; ExecutionNotFound if it is not the caller's."""

    async def __call__(self, execution_id: str, *, caller: Caller) -> StatusAnswer: ...


class _Outcome(Enum):
    """Why an actor tells no more."""

    ENDED = "ended"
    LOST = "lost"


class _Subscription:
    """A stream, as a publisher sees it."""

    __slots__ = ("_stream", "over")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.over: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()

    def send(self, frames: bytes) -> None:
        self._stream.send(frames)

    def end(self) -> None:
        self._resolve(_Outcome.ENDED)

    def lose(self) -> None:
        self._resolve(_Outcome.LOST)

    def _resolve(self, outcome: _Outcome) -> None:
        if not self.over.done():
            self.over.set_result(outcome)


class ExecutionWatching:
    """Has streams follow executions."""

    def __init__(self, directory: ExecutionDirectory, status: StatusOf) -> None:
        self._directory = directory
        self._status = status

    async def watch(self, execution_id: str, stream: Stream, *, caller: Caller, after: Position | None) -> bool:
        """Tell a stream what happens to an execution until it has ended or the stream is cut.

        False, and nothing is told, if `after` is the end of an execution that has ended: nothing comes after it.
        ExecutionNotFound before the stream is opened if the caller has no such execution.
        """
        answer = await self._status(execution_id, caller=caller)
        if after == (answer.revision, END) and self._has_ended(execution_id, answer):
            return False
        await stream.open()
        while not stream.cut.done():
            entry = self._directory.find(execution_id)
            if entry is None:
                if await self._tell_stored(execution_id, stream, answer, after):
                    return True
            elif entry.ref is None:
                self._tell_whole(stream, answer, after)
                await self._until(lambda: not self._is_restarting(execution_id), stream, RESTART_POLL)
            elif await self._follow(entry.ref, stream, after):
                return True
            # What was told by one actor cannot be continued by the next.
            after = (answer.revision, 0)
            await asyncio.sleep(RESTART_POLL)
            try:
                answer = await self._status(execution_id, caller=caller)
            except ExecutionNotFound:
                return True
        return True

    async def _follow(self, ref: ActorRef[Any], stream: Stream, after: Position | None) -> bool:
        """Have an actor tell the stream; whether nothing more will come."""
        subscription = _Subscription(stream)
        try:
            await ref.ask(WatchExecution(subscription, after), block=False)
            await asyncio.wait((subscription.over, stream.cut), return_when=asyncio.FIRST_COMPLETED)
        except ActorDeadError:
            return False
        finally:
            if ref.is_alive():
                ref.tell(UnwatchExecution(subscription))
        return stream.cut.done() or subscription.over.result() is _Outcome.ENDED

    async def _tell_stored(
        self, execution_id: str, stream: Stream, answer: StatusAnswer, after: Position | None
    ) -> bool:
        """Tell how an execution stands that is in the database alone; whether nothing more will come."""
        self._tell_whole(stream, answer, after)
        status = _status_of(answer)
        if status.ended:
            stream.send(end_frame(execution_id, status, answer.revision))
            return True
        await self._until(lambda: execution_id in self._directory, stream, RETURN_POLL)
        return stream.cut.done()

    def _is_restarting(self, execution_id: str) -> bool:
        entry = self._directory.find(execution_id)
        return entry is not None and entry.ref is None

    async def _until(self, so: Callable[[], bool], stream: Stream, seconds: float) -> None:
        """Look every so many seconds whether something is so, as long as somebody listens."""
        while not so():
            await asyncio.wait((stream.cut,), timeout=seconds)
            if stream.cut.done():
                return

    def _tell_whole(self, stream: Stream, answer: StatusAnswer, after: Position | None) -> None:
        gap = gap_frame(after, "its actor's memory is gone") if after is not None else b""
        ended = _status_of(answer).ended
        position = (answer.revision, END - 1 if ended else 0)
        stream.send(gap + frame("snapshot", answer.body, position))

    def _has_ended(self, execution_id: str, answer: StatusAnswer) -> bool:
        entry = self._directory.find(execution_id)
        return entry.status.ended and entry.saved if entry is not None else _status_of(answer).ended


def _status_of(answer: StatusAnswer) -> ExecutionStatus:
    return ExecutionStatus(orjson.loads(answer.body)["status"])
