"""The dispatcher has an asyncio loop run the mailboxes of LoopActors. It knows neither their messages nor hooks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from pykka import ActorRegistry

from offbook.actors.loop_future import note_actors_loop
from offbook.actors.loop_mailbox import Mailbox

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from offbook.actors.loop import LoopActor

TURN_SECONDS = 0.005
"""After that long the loop looks after its sockets and timers, even if more actors are ready."""

_ABANDONING = threading.RLock()
"""Several threads may find at once that a loop is closed; one of them buries its actors."""


class Dispatcher:
    """Runs the mailboxes of LoopActors on one asyncio loop: one wake-up for a whole batch of ready actors.

    Needs no lock: whoever appends to the ready ones looks at `_armed` afterwards, and the loop clears it before
    it looks at them.
    """

    closed = False
    """Whether it is over: its actors are dead."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, batch: int = 32) -> None:
        """Dispatch on a loop; after `batch` messages of one actor the others have their turn."""
        self.loop = loop
        self.batch = batch
        self._ready: deque[Mailbox] = deque()
        self._armed = False
        self._working = False
        self._turn_ends = 0.0
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        note_actors_loop(loop)

    @classmethod
    def in_thread(cls, name: str = "offbook-loop") -> Dispatcher:
        """Run a loop on a daemon thread of its own and dispatch on it; `close` ends both."""
        dispatcher = cls(asyncio.new_event_loop())
        dispatcher._thread = threading.Thread(target=dispatcher._run, name=name, daemon=True)
        dispatcher._thread.start()
        return dispatcher

    def close(self) -> None:
        """Stop dispatching for good; end the loop and its thread if they are the dispatcher's own. From any thread.

        Actors that have not been stopped before are dead from then on, one in the middle of its turn after that:
        no hook of theirs is called, and who waits for an answer of theirs gets ActorDeadError.
        """
        self.closed = True
        for ref in ActorRegistry.get_all():
            mailbox = ref.actor_inbox
            if isinstance(mailbox, Mailbox) and mailbox.dispatcher is self:
                self._ready.append(mailbox)
        self._arm()
        if self._thread is not None:
            with suppress(RuntimeError):
                # The loop is closed if it has ended by itself.
                self.loop.call_soon_threadsafe(self._ended.set)
            if self._thread is not threading.current_thread():
                self._thread.join()

    def schedule(self, mailbox: Mailbox) -> None:
        """Have a mailbox processed; from any thread."""
        self._ready.append(mailbox)
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        try:
            if asyncio._get_running_loop() is self.loop:
                self.loop.call_soon(self._drain)
            else:
                self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            # The loop is closed: nobody handles messages any more.
            self._abandon()

    def can_help(self) -> bool:
        """Whether whoever asks is on the loop, outside of any actor, and the loop has nothing else to look after."""
        return asyncio._get_running_loop() is self.loop and not (
            self._working or self.closed or monotonic() > self._turn_ends
        )

    def help(self) -> None:
        """Have ready actors handle their messages now, by a task that waits for an answer: that spares it a turn."""
        if self.can_help():
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - nothing to do with the task
                self._report(error)

    def help_one(self, actor: LoopActor, mailbox: Mailbox, envelope: Envelope[Any]) -> None:
        """Have one actor, for which nothing waits, handle a message now, where `can_help`."""
        self._working = True
        try:
            actor._process_at_once(mailbox, envelope)
        except Exception as error:  # noqa: BLE001 - nothing to do with the task
            self._report(error)
        finally:
            self._working = False

    def _report(self, error: Exception) -> None:
        self.loop.call_exception_handler({"message": "actors failed to handle messages", "exception": error})

    def _drain(self) -> None:
        self._armed = False
        self._turn_ends = monotonic() + TURN_SECONDS
        self._work()

    def _work(self) -> None:
        if self.closed:
            self._abandon()
            return
        ready = self._ready
        self._working = True
        try:
            for _ in range(len(ready)):
                mailbox = ready.popleft()
                if mailbox.actor is None:
                    mailbox.refuse("the actor")
                    mailbox.rest()
                else:
                    mailbox.actor._process(mailbox, self.batch)
                if self.closed or (ready and monotonic() > self._turn_ends):
                    break
        finally:
            self._working = False
            if ready and not self._armed:
                self._arm()

    def _abandon(self) -> None:
        """Bury the actors whose messages nobody will handle."""
        self.closed = True
        self._armed = False
        with _ABANDONING:
            while self._ready:
                mailbox = self._ready.popleft()
                mailbox.scheduled = False
                if mailbox.actor is None:
                    mailbox.refuse("the actor")
                else:
                    mailbox.actor._be_abandoned(mailbox)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._ended.wait())
        finally:
            self._abandon()


_default_lock = threading.Lock()
_default: Dispatcher | None = None


def default_dispatcher() -> Dispatcher:
    """Return the dispatcher of actors that are started without one, on a loop thread of its own."""
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            _default = Dispatcher.in_thread("offbook-default-loop")
        return _default
