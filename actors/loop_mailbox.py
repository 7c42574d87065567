"""The mailbox and the stop flag of a LoopActor: as small as can be while nothing happens."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

if TYPE_CHECKING:
    from offbook.actors.loop import LoopActor
    from offbook.actors.loop_dispatcher import Dispatcher

_WAITERS_LOCK = threading.Lock()
"""Has all who wait for one flag wait for the same event; taken only by those who wait, so one serves all."""


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
        with _WAITERS_LOCK:
            event = self._event
            if event is None:
                self._event = event = threading.Event()
        # Set before the event was there: whoever set it could not wake us.
        if self._set:
            event.set()
        return event.wait(timeout)


class Mailbox:
    """Envelopes in order of arrival, many writers, one reader: the dispatcher's loop.

    Needs no lock: appending to a list, copying and deleting its head are each one step under the GIL, and only
    the reader deletes. A wake-up cannot be lost: the reader clears `scheduled` and then looks once more. Two
    writers at once may have it scheduled twice, which costs the reader a look into an empty mailbox.
    """

    __slots__ = ("actor", "dispatcher", "handled", "high_water", "queue", "scheduled", "taken")

    def __init__(self) -> None:
        self.queue: list[Envelope[Any]] = []
        self.actor: LoopActor | None = None
        """Kept alive as long as it runs and anybody can send to it; None once it is no more."""
        self.dispatcher: Dispatcher | None = None
        self.scheduled = False
        self.taken = 0
        """Envelopes that the reader has in hand and has not begun with."""
        self.high_water = 0
        self.handled = 0
        """Messages begun with, the one that is being handled included."""

    @property
    def depth(self) -> int:
        """How many messages wait."""
        return len(self.queue) + self.taken

    def put(self, envelope: Envelope[Any], /) -> None:
        self.queue.append(envelope)
        depth = len(self.queue) + self.taken
        if depth > self.high_water:
            self.high_water = depth
        if not self.scheduled and self.dispatcher is not None:
            self.scheduled = True
            self.dispatcher.schedule(self)

    def get(self) -> Envelope[Any]:
        return self.queue.pop(0)

    def empty(self) -> bool:
        return not self.queue

    def take(self, most: int) -> list[Envelope[Any]]:
        """Return and remove the first so many envelopes; the reader moves each from `taken` to `handled`."""
        envelopes = self.queue[:most]
        self.taken = len(envelopes)
        del self.queue[: len(envelopes)]
        return envelopes

    def put_back(self, envelopes: list[Envelope[Any]]) -> None:
        """Return what was taken and not begun with to the head."""
        self.queue[:0] = envelopes
        self.taken = 0

    def rest(self) -> None:
        """End the reader's turn; it comes back if more waits."""
        if not self.queue:
            self.scheduled = False
            if not self.queue or self.scheduled:
                return
            self.scheduled = True
        assert self.dispatcher is not None
        self.dispatcher.schedule(self)

    def refuse(self, name: str) -> None:
        """Empty it and tell those who wait for an answer that the actor of this name has stopped."""
        while self.queue:
            for envelope in self.take(len(self.queue)):
                if envelope.reply_to is None:
                    continue
                with suppress(queue.Full):
                    if isinstance(envelope.message, _ActorStop):
                        envelope.reply_to.set(None)
                    else:
                        error = ActorDeadError(f"{name} stopped before handling the message")
                        envelope.reply_to.set_exception((ActorDeadError, error, None))
        self.taken = 0
