"""A second runtime for Pykka: actors that are dispatched on an asyncio loop, in place of a thread each."""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from loguru import logger as log
from pykka import Actor, ActorDeadError, ActorRef, ActorRegistry, Future
from pykka._actor import logger as pykka_logger
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from offbook.actors.loop_dispatcher import Dispatcher, default_dispatcher
from offbook.actors.loop_future import LoopDeadlockError, LoopFuture, refuse_to_block
from offbook.actors.loop_mailbox import Mailbox, StopFlag

__all__ = ["ChildStopped", "Dispatcher", "LoopActor", "LoopDeadlockError", "LoopFuture", "LoopRef"]

_URN_PREFIX = uuid.uuid4().urn[:-12]
_urns = itertools.count()
_ANSWERED_BEFORE = "somebody else has answered before the actor did"
_PYKKA_MESSAGES = frozenset({_ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr})


@dataclass(frozen=True, slots=True)
class ChildStopped:
    """LoopActor to its parent: I have stopped; `reason` is what I crashed of, None if I was asked to stop."""

    child: ActorRef[Any]
    reason: BaseException | None


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

    def is_alive(self) -> bool:
        """Return whether it has neither stopped nor lost the dispatcher that would handle its messages."""
        if self.actor_stopped.is_set():
            return False
        dispatcher = self.actor_inbox.dispatcher
        return dispatcher is None or not dispatcher.closed

    def tell(self, message: Any) -> None:
        """Send a message; ActorDeadError if the actor has stopped."""
        if not self.is_alive():
            raise ActorDeadError(f"{self} not found")
        self.actor_inbox.put(Envelope(message))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send a message and return the answer, or with `block=False` a future of it, to be awaited.

        Raises LoopDeadlockError, and sends nothing, if that would block an actors' loop.
        """
        future = LoopFuture()
        inbox = self.actor_inbox
        if not self.is_alive():
            future.set_exception((ActorDeadError, ActorDeadError(f"{self} not found"), None))
        else:
            if block:
                refuse_to_block()
            future.dispatcher = inbox.dispatcher
            inbox.put(Envelope(message, future))
        return future.get(timeout=timeout) if block else future

    def ask_at_once(self, message: Any) -> LoopFuture:
        """Ask, and have the actor answer before this returns, if nothing else waits for it and it can have its turn.

        That is where this is called by a task of its own loop. Elsewhere it is `ask(message, block=False)`.
        """
        inbox = self.actor_inbox
        actor, dispatcher = inbox.actor, inbox.dispatcher
        if actor is None or not actor._started or inbox.scheduled or dispatcher is None or not dispatcher.can_help():
            return cast("LoopFuture", self.ask(message, block=False))
        future = LoopFuture()
        # What it would go through if it went through the mailbox. Nobody need schedule it: its turn is now.
        inbox.scheduled = True
        dispatcher.help_one(actor, inbox, Envelope(message, future))
        return future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Have the actor stop after the messages before this one; True if it was alive."""
        if block and self.is_alive():
            refuse_to_block()
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
        kind = type(message)
        if kind is ChildStopped:
            return self.on_child_stopped(message.child, message.reason)
        if kind in _PYKKA_MESSAGES:
            return super()._handle_receive(message)
        return self.on_receive(message)

    def _process(self, mailbox: Mailbox, most: int) -> None:
        """Handle what waits, up to so many messages, and be scheduled again if there is more."""
        stopped = self.actor_stopped
        envelopes: list[Envelope[Any]] = []
        position = 0
        try:
            if not self._started:
                self._started = True
                self._actor_loop_setup()
            if not stopped.is_set():
                envelopes = mailbox.take(most)
                for envelope in envelopes:
                    position += 1
                    mailbox.taken -= 1
                    mailbox.handled += 1
                    self._handle(envelope)
                    if stopped.is_set():
                        break
        finally:
            # Whatever flies through here: the actor ends in good order or has its next turn.
            if position < len(envelopes):
                mailbox.put_back(envelopes[position:])
            if stopped.is_set():
                self._end_life(mailbox)
            mailbox.rest()

    def _process_at_once(self, mailbox: Mailbox, envelope: Envelope[Any]) -> None:
        """Handle a message that comes when nothing else waits, as `_process` would."""
        mailbox.handled += 1
        try:
            self._handle(envelope)
        finally:
            if self.actor_stopped.is_set():
                self._end_life(mailbox)
            mailbox.rest()

    def _handle(self, envelope: Envelope[Any]) -> None:
        reply_to = envelope.reply_to
        try:
            response = self._handle_receive(envelope.message)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - Pykka's contract
            # CancelledError comes out of a cancelled task whose result was wanted: no reason to stop everybody.
            if reply_to is None:
                self._handle_failure(type(error), error, error.__traceback__)
                self._call_hook(self.on_failure, type(error), error, error.__traceback__)
                return
            if pykka_logger.isEnabledFor(logging.INFO):
                pykka_logger.info(f"Exception returned from {self} to caller:", exc_info=sys.exc_info())
            _refuse(reply_to, error)
        except BaseException as error:  # noqa: BLE001
            if reply_to is not None:
                _refuse(reply_to, ActorDeadError(f"{self.actor_ref} stopped while handling the message"))
            self._stop_everybody(error)
        else:
            if reply_to is not None:
                try:
                    reply_to.set(response)
                except queue.Full:
                    log.debug(_ANSWERED_BEFORE)

    def _actor_loop_setup(self) -> None:
        self._call_hook(self.on_start)

    def _actor_loop_teardown(self) -> None:
        cast("Mailbox", self.actor_inbox).refuse(str(self.actor_ref))

    def _call_hook(self, hook: Callable[..., None], *args: Any) -> None:
        try:
            hook(*args)
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - Pykka's contract
            self._handle_failure(*sys.exc_info())
        except BaseException as error:  # noqa: BLE001
            self._stop_everybody(error)

    def _stop_everybody(self, error: BaseException) -> None:
        """Stop this actor and all the others: Pykka's answer to KeyboardInterrupt and its like."""
        pykka_logger.debug(f"{error!r} in {self}. Stopping all actors.")
        if self._death is None:
            self._death = error
        if not self.actor_stopped.is_set():
            self._stop()
        ActorRegistry.stop_all(block=False)

    def _stop(self) -> None:
        self._mark_stopped()
        if pykka_logger.isEnabledFor(logging.DEBUG):
            pykka_logger.debug(f"Stopped {self}")
        self._call_hook(self.on_stop)

    def _mark_stopped(self) -> None:
        if self.registered:
            ActorRegistry.unregister(self.actor_ref)
        self.actor_stopped.set()

    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._death is None:
            self._death = exception_value
        self._mark_stopped()
        pykka_logger.error(
            f"Unhandled exception in {self}:",
            exc_info=cast("Any", (exception_type, exception_value, traceback)),
        )

    def _be_abandoned(self, mailbox: Mailbox) -> None:
        """Be dead because the dispatcher is closed."""
        if self._death is None:
            self._death = ActorDeadError(f"the dispatcher of {self} was closed")
        self._mark_stopped()
        self._end_life(mailbox)

    def _end_life(self, mailbox: Mailbox) -> None:
        """Answer who still waits, let go of the mailbox and tell the parent."""
        self._actor_loop_teardown()
        # Who keeps a reference to a dead actor keeps its mailbox, not all it knew.
        mailbox.actor = None
        parent = self._parent
        if parent is None or not issubclass(parent.actor_class, LoopActor):
            return
        try:
            parent.tell(ChildStopped(self.actor_ref, self._death))
        except ActorDeadError:
            log.debug("parent stopped before its child", actor=str(self))


def _refuse(reply_to: Future[Any], error: BaseException) -> None:
    try:
        reply_to.set_exception((type(error), error, error.__traceback__))
    except queue.Full:
        log.debug(_ANSWERED_BEFORE)
