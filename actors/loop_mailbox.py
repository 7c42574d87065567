"""The mailbox and the stop flag of a LoopActor: as small as can be while nothing happens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pykka._envelope import Envelope

if TYPE_CHECKING:
    from offbook.actors.loop import Dispatcher, LoopActor


class StopFlag:
    """A threading.Event that costs a kilobyte less until somebody waits for it."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        event = self._event
        if event is not None:
            event.set()

    def clear(self) -> None:
        self._set = False
        event = self._event
        if event is not None:
            event.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set, or for so many seconds; return whether it is."""
        event = self._event
        if event is None:
            self._event = event = threading.Event()
        if self._set:
            event.set()
        return event.wait(timeout)


class Mailbox:
    """Envelopes in order of arrival, many writers, one reader: the dispatcher's loop.

    Needs no lock: appending to a list, copying and deleting its head are each one step under the GIL, and only
    the reader deletes. A wake-up cannot be lost: the reader clears `scheduled` and then looks once more.
    """

    __slots__ = ("actor", "dispatcher", "handled", "high_water", "queue", "scheduled")

    def __init__(self) -> None:
        self.queue: list[Envelope[Any]] = []
        self.actor: LoopActor | None = None
        """Keeps the actor alive as long as anybody can send to it."""
        self.dispatcher: Dispatcher | None = None
        self.scheduled = False
        self.high_water = 0
        self.handled = 0

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return len(self.queue)

    def put(self, envelope: Envelope[Any], /) -> None:
        queue = self.queue
        queue.append(envelope)
        if len(queue) > self.high_water:
            self.high_water = len(queue)
        if not self.scheduled and self.dispatcher is not None:
            self.scheduled = True
            self.dispatcher.schedule(self)

    def get(self) -> Envelope[Any]:
        return self.queue.pop(0)

    def empty(self) -> bool:
        return not self.queue

    def qsize(self) -> int:
        return len(self.queue)

    def take(self, most: int) -> list[Envelope[Any]]:
        """Return and remove the first so many envelopes."""
        queue = self.queue
        taken = queue[:most]
        del queue[: len(taken)]
        return taken

    def put_back(self, envelopes: list[Envelope[Any]]) -> None:
        """Return what was taken and not handled to the head."""
        self.queue[:0] = envelopes
