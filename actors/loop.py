"""A second runtime for Pykka: actors that are dispatched on an asyncio loop, in place of a thread each."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from loguru import logger as log
from pykka import Actor, ActorDeadError, ActorRef, ActorRegistry
from pykka._actor import logger as pykka_logger
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from offbook.actors.loop_future import LoopDeadlockError, LoopFuture, forget_loop_thread, note_loop_thread
from offbook.actors.loop_mailbox import Mailbox, StopFlag

__all__ = ["ChildStopped", "Dispatcher", "LoopActor", "LoopDeadlockError", "LoopFuture", "LoopRef"]

_URN_PREFIX = uuid.uuid4().urn[:-12]
_urns = itertools.count()


@dataclass(frozen=True, slots=True)
class ChildStopped:
    """LoopActor to its parent: I have stopped; `reason` is what I crashed of, None if I was asked to stop."""

    child: ActorRef[Any]
    reason: BaseException | None


class Dispatcher:
    """Runs the mailboxes of LoopActors on one asyncio loop: one wake-up for a whole batch of ready actors."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, batch: int = 32) -> None:
        """Dispatch on a loop; after `batch` messages of one actor the others have their turn."""
        self.loop = loop
        self.batch = batch
        self.thread_id = 0
        self._ready: deque[Mailbox] = deque()
        self._armed = False
        self._thread: threading.Thread | None = None
        try:
            if asyncio.get_running_loop() is loop:
                self._bind()
        except RuntimeError:
            loop.call_soon_threadsafe(self._bind)

    @classmethod
    def in_thread(cls, name: str = "offbook-loop") -> Dispatcher:
        """Run a loop on a daemon thread of its own and dispatch on it; `close` ends both."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run_until_stopped, args=(loop,), name=name, daemon=True)
        dispatcher = cls(loop)
        dispatcher._thread = thread
        thread.start()
        return dispatcher

    def close(self) -> None:
        """Stop dispatching; end the loop and its thread if they are the dispatcher's own."""
        forget_loop_thread(self.thread_id)
        if self._thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self._thread = None

    def schedule(self, mailbox: Mailbox) -> None:
        """Have a mailbox processed; from any thread."""
        self._ready.append(mailbox)
        if self._armed:
            return
        self._armed = True
        if threading.get_ident() == self.thread_id:
            self.loop.call_soon(self._drain)
        else:
            try:
                self.loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                # The loop is closed: nobody handles messages any more.
                self._armed = False

    def _bind(self) -> None:
        self.thread_id = threading.get_ident()
        note_loop_thread()

    def _drain(self) -> None:
        self._armed = False
        ready = self._ready
        for _ in range(len(ready)):
            mailbox = ready.popleft()
            actor = mailbox.actor
            assert actor is not None
            actor._process(mailbox, self.batch)
        if ready and not self._armed:
            self._armed = True
            self.loop.call_soon(self._drain)


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


_default_lock = threading.Lock()
_default: Dispatcher | None = None


def default_dispatcher() -> Dispatcher:
    """Return the dispatcher of actors that are started without one, on a loop thread of its own."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Dispatcher.in_thread("offbook-default-loop")
        return _default


class LoopRef(ActorRef[Any]):
    """A reference to a LoopActor."""

    actor_inbox: Mailbox

    @property
    def mailbox(self) -> Mailbox:
        """Its mailbox, for `depth` and `high_water`."""
        return self.actor_inbox

    @property
    def messages_handled(self) -> int:
        return self.actor_inbox.handled

    def tell(self, message: Any) -> None:
        """Send a message; ActorDeadError if the actor has stopped."""
        if self.actor_stopped.is_set():
            raise ActorDeadError(f"{self} not found")
        self.actor_inbox.put(Envelope(message))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send a message and return the answer, or with `block=False` a future of it, to be awaited."""
        future = LoopFuture()
        if self.actor_stopped.is_set():
            future.set_exception((ActorDeadError, ActorDeadError(f"{self} not found"), None))
        else:
            self.actor_inbox.put(Envelope(message, reply_to=future))
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Have the actor stop after the messages before this one; True if it was alive."""
        asked = self.ask(_ActorStop(), block=False)
        assert isinstance(asked, LoopFuture)

        def was_alive(timeout: float | None) -> bool:
            try:
                asked.get(timeout=timeout)
            except ActorDeadError:
                return False
            return True

        stopped = LoopFuture()
        stopped.set_get_hook(was_alive)
        stopped.derived_from(asked)
        return stopped.get(timeout=timeout) if block else stopped


class LoopActor(Actor):
    """An actor without a thread: its messages are handled one at a time on a Dispatcher's loop.

    Nothing it does may block. It has Pykka's semantics, and tells its parent when it stops.
    """

    registered: ClassVar[bool] = True
    """Whether it is in pykka.ActorRegistry, which is a list that is searched at every stop."""

    _parent: ActorRef[Any] | None = None
    _started = False
    _torn_down = False
    _death: BaseException | None = None

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Pykka's constructor would allocate an Event and a random UUID for each.
        self.actor_urn = f"{_URN_PREFIX}{next(_urns):012x}"
        self.actor_inbox = Mailbox()
        self.actor_stopped = cast("threading.Event", StopFlag())
        self._actor_ref = LoopRef(self)
        self.started_monotonic = time.monotonic()

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:
        """Start an actor on the default dispatcher, as Pykka does on a thread."""
        return cls._launch(default_dispatcher(), None, args, kwargs)

    @classmethod
    def spawn(
        cls, dispatcher: Dispatcher, *args: Any, parent: ActorRef[Any] | None = None, **kwargs: Any
    ) -> ActorRef[Self]:
        """Start an actor on a dispatcher; its parent is told when it stops, with the reason."""
        return cls._launch(dispatcher, parent, args, kwargs)

    @classmethod
    def _launch(
        cls, dispatcher: Dispatcher, parent: ActorRef[Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ActorRef[Self]:
        actor = cls(*args, **kwargs)
        assert hasattr(actor, "_actor_ref"), (
            "Actor.__init__() have not been called. Did you forget to call super() in your override?"
        )
        if parent is not None:
            actor._parent = parent
        mailbox = cast("Mailbox", actor.actor_inbox)
        mailbox.actor = actor
        if cls.registered:
            ActorRegistry.register(actor.actor_ref)
        if pykka_logger.isEnabledFor(logging.DEBUG):
            pykka_logger.debug(f"Starting {actor}")
        mailbox.scheduled = True
        mailbox.dispatcher = dispatcher
        actor._start_actor_loop()
        return actor.actor_ref

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Mailbox()

    @staticmethod
    def _create_future() -> LoopFuture:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        mailbox = cast("Mailbox", self.actor_inbox)
        assert mailbox.dispatcher is not None
        mailbox.dispatcher.schedule(mailbox)

    def on_child_stopped(self, child: ActorRef[Any], reason: BaseException | None) -> None:
        """Run code when an actor that this one spawned has stopped; `reason` is what it crashed of, if it did."""

    def _handle_receive(self, message: Any) -> Any:
        if type(message) is ChildStopped:
            return self.on_child_stopped(message.child, message.reason)
        return super()._handle_receive(message)

    def _process(self, mailbox: Mailbox, most: int) -> None:
        """Handle what waits, up to so many messages, and be scheduled again if there is more."""
        if not self._started:
            self._started = True
            self._actor_loop_setup()
        stopped = self.actor_stopped
        if not stopped.is_set():
            envelopes = mailbox.take(most)
            position = 0
            for envelope in envelopes:
                position += 1
                self._handle(envelope)
                if stopped.is_set():
                    mailbox.put_back(envelopes[position:])
                    break
            mailbox.handled += position
        if stopped.is_set():
            self._actor_loop_teardown()
            self._tell_parent()
        if mailbox.queue:
            assert mailbox.dispatcher is not None
            mailbox.dispatcher.schedule(mailbox)
            return
        mailbox.scheduled = False
        if mailbox.queue and not mailbox.scheduled:
            mailbox.scheduled = True
            assert mailbox.dispatcher is not None
            mailbox.dispatcher.schedule(mailbox)

    def _handle(self, envelope: Envelope[Any]) -> None:
        try:
            response = self._handle_receive(envelope.message)
            if envelope.reply_to is not None:
                envelope.reply_to.set(response)
        except Exception:  # noqa: BLE001 - Pykka's contract: a crash is the actor's end, not the loop's
            if envelope.reply_to is not None:
                if pykka_logger.isEnabledFor(logging.INFO):
                    pykka_logger.info(f"Exception returned from {self} to caller:", exc_info=sys.exc_info())
                envelope.reply_to.set_exception()
                return
            self._handle_failure(*sys.exc_info())
            try:
                self.on_failure(*sys.exc_info())
            except Exception:  # noqa: BLE001
                self._handle_failure(*sys.exc_info())
        except BaseException:  # noqa: BLE001
            error = sys.exc_info()[1]
            pykka_logger.debug(f"{error!r} in {self}. Stopping all actors.")
            self._stop()
            ActorRegistry.stop_all(block=False)

    def _stop(self) -> None:
        if self.registered:
            ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()
        if pykka_logger.isEnabledFor(logging.DEBUG):
            pykka_logger.debug(f"Stopped {self}")
        try:
            self.on_stop()
        except Exception:  # noqa: BLE001
            self._handle_failure(*sys.exc_info())

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pykka_logger.error(
            f"Unhandled exception in {self}:",
            exc_info=cast("Any", (exception_type, exception_value, traceback)),
        )
        self._death = self._death or exception_value
        if self.registered:
            ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    def _tell_parent(self) -> None:
        if self._torn_down:
            return
        self._torn_down = True
        parent = self._parent
        if parent is None or not issubclass(parent.actor_class, LoopActor):
            return
        try:
            parent.tell(ChildStopped(self.actor_ref, self._death))
        except ActorDeadError:
            log.debug("parent stopped before its child", actor=str(self))
