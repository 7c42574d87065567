"""The two places at which a wake-up could be lost, with the other thread made to come in exactly there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from pykka._envelope import Envelope

from offbook.actors.loop import Dispatcher
from offbook.actors.loop_mailbox import Mailbox, StopFlag


class Interrupted(list[Any]):
    """A queue: once somebody has seen that it is empty, another thread has its turn before he acts on that."""

    def __init__(self, other_thread: Callable[[], None]) -> None:
        super().__init__()
        self.other_thread: Callable[[], None] | None = other_thread

    def __len__(self) -> int:
        length = super().__len__()
        if length == 0 and self.other_thread is not None:
            other_thread, self.other_thread = self.other_thread, None
            other_thread()
        return length


class Schedule:
    """Stands in for a dispatcher: counts how often it is to process a mailbox."""

    def __init__(self) -> None:
        self.count = 0

    def schedule(self, mailbox: Mailbox) -> None:
        self.count += 1


def mailbox_of(schedule: Schedule) -> Mailbox:
    mailbox = Mailbox()
    mailbox.dispatcher = cast("Dispatcher", schedule)
    return mailbox


def test_message_that_comes_while_the_reader_falls_asleep_wakes_it() -> None:
    schedule = Schedule()
    mailbox = mailbox_of(schedule)
    mailbox.scheduled = True
    mailbox.queue = Interrupted(lambda: mailbox.put(Envelope("in between")))
    mailbox.rest()
    assert schedule.count == 1
    assert mailbox.scheduled
    assert [envelope.message for envelope in mailbox.take(9)] == ["in between"]


def test_reader_that_falls_asleep_is_woken_by_the_next_message() -> None:
    schedule = Schedule()
    mailbox = mailbox_of(schedule)
    for number in range(3):
        mailbox.put(Envelope(number))
    assert schedule.count == 1
    mailbox.rest()
    assert schedule.count == 2
    mailbox.take(9)
    mailbox.rest()
    assert (schedule.count, mailbox.scheduled) == (2, False)
    mailbox.put(Envelope("next"))
    assert (schedule.count, mailbox.scheduled) == (3, True)


def test_message_before_there_is_a_dispatcher_waits() -> None:
    mailbox = Mailbox()
    mailbox.put(Envelope("early"))
    assert (mailbox.depth, mailbox.scheduled) == (1, False)


def test_what_was_not_begun_with_is_put_back_in_order() -> None:
    mailbox = Mailbox()
    for number in range(4):
        mailbox.put(Envelope(number))
    first, *others = mailbox.take(3)
    assert (first.message, mailbox.depth) == (0, 4)
    mailbox.put_back(others)
    assert (mailbox.depth, [envelope.message for envelope in mailbox.take(9)]) == (3, [1, 2, 3])


def test_flag_that_is_set_need_not_be_waited_for() -> None:
    flag = StopFlag()
    assert not flag.wait(0)
    flag.set()
    assert flag.wait(0)
    early = StopFlag()
    early.set()
    assert early.wait(0)
    early.clear()
    assert not early.wait(0)
