"""The mailbox that outlives its actor: order, crashes, poison, and work that is put off."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pykka import ActorRef

from offbook.actors.relay import PROBE_SECONDS, Relay, RelayedActor

PATIENCE = 60.0


class Scribe(RelayedActor):
    """Writes down what it takes; crashes of what it cannot read, and while it is told to when it flushes."""

    most_gathered = 3

    def __init__(self, relay: Relay, desk: Desk) -> None:
        super().__init__(relay)
        self._desk = desk

    def take(self, message: Any) -> None:
        if callable(message):
            message()
        self._desk.gathered.append(message)

    def flush(self) -> float | None:
        desk = self._desk
        desk.flushes += 1
        if desk.flushes_that_crash:
            desk.flushes_that_crash -= 1
            raise RuntimeError("cannot flush")
        if desk.away:
            desk.told.put("away")
            return desk.retry_in
        written, desk.gathered = desk.gathered, []
        for each in written:
            desk.told.put(each)
        return None

    def refuse(self, message: Any, reason: str) -> None:
        self._desk.told.put(("refused", reason))


class Desk:
    """What outlives the scribe, as a group of writes outlives its actor; and the clock of its relay."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.gathered: list[Any] = []
        self.flushes = 0
        self.flushes_that_crash = 0
        self.away = False
        self.retry_in = 5.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.dropped: list[tuple[str, object, str]] = []
        self.crashed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.relay = Relay("scribe", self._start, later=self._later, on_crash=self._on_crash, on_drop=self._on_drop)

    def _start(self, relay: Relay) -> ActorRef[Any]:
        return Scribe.start(relay, self)

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self.timers.append((seconds, function))

    def _on_crash(self, name: str, reason: str) -> None:
        self.crashed.put(reason)

    def _on_drop(self, name: str, message: object, reason: str) -> None:
        self.dropped.append((name, message, reason))

    def next(self) -> Any:
        """Wait for what the scribe wrote next."""
        return self.told.get(timeout=PATIENCE)

    def restart_after_crash(self) -> str:
        """Wait for a crash, then restart as a supervisor does; return the reason."""
        reason = self.crashed.get(timeout=PATIENCE)
        self.relay.restart()
        return reason


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.relay.stop(PATIENCE)


def fail() -> None:
    raise ValueError("cannot be read")


def test_messages_are_handled_in_order_also_those_that_came_before_the_start(desk: Desk) -> None:
    for number in range(5):
        desk.relay.tell(number)
    desk.relay.start()
    for number in range(5, 10):
        desk.relay.tell(number)
    assert [desk.next() for _ in range(10)] == list(range(10))
    assert (desk.relay.handled, desk.relay.depth) == (10, 0)
    assert desk.relay.high_water >= 5


def test_many_messages_are_flushed_in_parts(desk: Desk) -> None:
    for number in range(7):
        desk.relay.tell(number)
    desk.relay.start()
    assert [desk.next() for _ in range(7)] == list(range(7))
    assert desk.flushes >= 3


def test_crash_in_a_flush_loses_nothing(desk: Desk) -> None:
    desk.flushes_that_crash = 2
    desk.relay.tell("before")
    desk.relay.start()
    assert desk.restart_after_crash() == "RuntimeError: cannot flush"
    desk.relay.tell("after")
    desk.restart_after_crash()
    assert [desk.next(), desk.next()] == ["before", "after"]
    assert (desk.relay.restarts, desk.relay.last_reason) == (2, "RuntimeError: cannot flush")
    assert desk.dropped == []


def test_message_that_crashes_the_actor_once_is_handled_after_its_restart(desk: Desk) -> None:
    tries = iter((fail, lambda: None))

    def stumble() -> None:
        next(tries)()

    desk.relay.tell(stumble)
    desk.relay.tell("behind it")
    desk.relay.start()
    assert desk.restart_after_crash() == "ValueError: cannot be read"
    assert [desk.next(), desk.next()] == [stumble, "behind it"]
    assert desk.relay.dropped == 0


def test_message_that_crashes_the_actor_twice_is_dropped_and_its_sender_told(desk: Desk) -> None:
    desk.relay.tell("before it")
    desk.relay.tell(fail)
    desk.relay.tell("behind it")
    desk.relay.start()
    desk.restart_after_crash()
    desk.restart_after_crash()
    told = [desk.next() for _ in range(3)]
    told.remove(("refused", "ValueError: cannot be read"))
    assert told == ["before it", "behind it"]
    assert desk.dropped == [("scribe", fail, "ValueError: cannot be read")]
    assert (desk.relay.dropped, desk.relay.restarts) == (1, 2)


def test_crash_that_a_message_did_not_cause_does_not_count_against_it(desk: Desk) -> None:
    tries = iter((fail, lambda: None))

    def stumble() -> None:
        next(tries)()

    def crash_the_flush() -> None:
        desk.flushes_that_crash += 1
        desk.relay.tell(stumble)

    # The flush after the third message crashes while the next one waits, which crashes once itself.
    for message in ("a", "b", crash_the_flush):
        desk.relay.tell(message)
    desk.relay.start()
    assert desk.restart_after_crash() == "RuntimeError: cannot flush"
    assert desk.restart_after_crash() == "ValueError: cannot be read"
    assert [desk.next() for _ in range(4)] == ["a", "b", crash_the_flush, stumble]
    assert desk.dropped == []


def test_what_is_put_off_is_tried_again_after_its_delay_and_not_with_each_message(desk: Desk) -> None:
    desk.away = True
    desk.relay.tell(1)
    desk.relay.start()
    assert desk.next() == "away"
    flushes = desk.flushes
    for number in range(100):
        desk.relay.tell(number)
    # One probe for all of them, and the retry that was asked for.
    assert [seconds for seconds, _ in desk.timers] == [desk.retry_in, PROBE_SECONDS]
    assert desk.flushes == flushes
    desk.away = False
    desk.timers[1][1]()
    assert [desk.next() for _ in range(101)] == [1, *range(100)]


def test_retry_that_was_asked_for_finishes_what_was_put_off(desk: Desk) -> None:
    desk.away = True
    desk.relay.tell("kept")
    desk.relay.start()
    assert desk.next() == "away"
    desk.away = False
    desk.timers[0][1]()
    assert desk.next() == "kept"


def test_stop_has_what_waits_done_first(desk: Desk) -> None:
    held = threading.Event()
    desk.relay.tell(held.wait)
    desk.relay.start()
    for number in range(20):
        desk.relay.tell(number)
    held.set()
    desk.relay.stop(PATIENCE)
    assert [desk.next() for _ in range(21)][1:] == list(range(20))


def test_telling_an_actor_that_is_being_restarted_never_fails(desk: Desk) -> None:
    desk.flushes_that_crash = 1
    desk.relay.tell(0)
    desk.relay.start()
    desk.crashed.get(timeout=PATIENCE)
    assert desk.relay.ref is None
    for number in range(1, 5):
        desk.relay.tell(number)
    desk.relay.restart()
    assert [desk.next() for _ in range(5)] == list(range(5))
