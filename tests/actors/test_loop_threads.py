"""Several threads at once: no message is lost or handled twice, no wake-up is missed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from pykka import ActorDeadError

from offbook.actors.loop import Dispatcher, LoopRef
from offbook.actors.loop_mailbox import StopFlag
from tests.actors.notebook import LIMIT_SECONDS, Gate, Notebook, heard

SENDERS = 6
ACTORS = 4
MESSAGES = 500


@pytest.fixture(autouse=True)
def _threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], None], threads: int = SENDERS) -> None:
    """Have so many threads do it at the same moment; raises what one of them raises."""
    ready = threading.Barrier(threads)

    def begin(number: int) -> None:
        ready.wait(LIMIT_SECONDS)
        work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(begin, number) for number in range(threads)]:
            done.result(LIMIT_SECONDS)


@pytest.mark.parametrize("attempt", range(5))
def test_every_message_of_every_thread_is_handled_once_and_in_order(elsewhere: Dispatcher, attempt: int) -> None:
    refs = [Notebook.spawn(elsewhere) for _ in range(ACTORS)]

    def send(sender: int) -> None:
        for number in range(MESSAGES):
            for ref in refs:
                ref.tell((sender, number))

    at_once(send)
    for ref in refs:
        received = ref.ask(heard, timeout=LIMIT_SECONDS)
        assert len(received) == SENDERS * MESSAGES
        for sender in range(SENDERS):
            assert [number for who, number in received if who == sender] == list(range(MESSAGES))
        assert ref.messages_handled == SENDERS * MESSAGES + 1
        assert ref.mailbox.depth == 0


def test_actor_that_falls_idle_between_messages_is_woken_each_time(elsewhere: Dispatcher) -> None:
    ref = Notebook.spawn(elsewhere)

    def converse(_: int) -> None:
        for _ in range(MESSAGES):
            ref.ask("x", timeout=LIMIT_SECONDS)

    at_once(converse)
    assert ref.ask("last", timeout=LIMIT_SECONDS) == SENDERS * MESSAGES + 1


def test_actors_of_two_loops_tell_each_other(elsewhere: Dispatcher) -> None:
    other_loop = Dispatcher.in_thread("loop-of-the-other")
    left, right = Notebook.spawn(elsewhere), Notebook.spawn(other_loop)
    ended = Gate()

    def serve(notebook: Notebook, to: str, strokes: int) -> None:
        if strokes == 0:
            ended.reached.set()
        elif to == "right":
            right.tell(lambda other: serve(other, "left", strokes - 1))
        else:
            left.tell(lambda other: serve(other, "right", strokes - 1))

    left.tell(lambda notebook: serve(notebook, "right", MESSAGES))
    assert ended.reached.wait(LIMIT_SECONDS)
    other_loop.close()


def test_message_sent_while_the_actor_stops_is_handled_or_refused(elsewhere: Dispatcher) -> None:
    for _ in range(50):
        ref = Notebook.spawn(elsewhere)
        answers: list[Any] = [None] * SENDERS

        def ask_or_stop(sender: int, ref: LoopRef = ref, answers: list[Any] = answers) -> None:
            if sender == 0:
                ref.stop(timeout=LIMIT_SECONDS)
            else:
                answers[sender] = ref.ask("x", block=False)

        at_once(ask_or_stop)
        handled = 0
        for future in answers[1:]:
            with suppress(ActorDeadError):
                future.get(timeout=LIMIT_SECONDS)
                handled += 1
        assert ref.messages_handled == handled + 1


def test_all_who_wait_for_a_stop_are_woken() -> None:
    flags = [StopFlag() for _ in range(MESSAGES)]
    together = threading.Barrier(3)

    def wait_or_set(number: int) -> None:
        for flag in flags:
            together.wait(LIMIT_SECONDS)
            if number == 0:
                flag.set()
            else:
                assert flag.wait(LIMIT_SECONDS)

    at_once(wait_or_set, threads=3)
