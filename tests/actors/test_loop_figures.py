"""What a mailbox shows of itself: how much waits, how much ever did, how much was handled."""

from __future__ import annotations

from offbook.actors.loop import Dispatcher
from tests.actors.notebook import LIMIT_SECONDS, Crash, Gate, Notebook


def figures(notebook: Notebook) -> tuple[int, int, int]:
    """Answer depth, high-water mark and messages handled; to be sent."""
    mailbox = notebook.actor_ref.mailbox  # type: ignore[attr-defined]
    return mailbox.depth, mailbox.high_water, mailbox.handled


async def test_figures_are_exact_inside_a_batch(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    answers = [ref.ask(figures, block=False) for _ in range(5)]
    assert [await answer for answer in answers] == [(4, 5, 1), (3, 5, 2), (2, 5, 3), (1, 5, 4), (0, 5, 5)]


async def test_high_water_counts_what_the_reader_has_in_hand(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)

    def write_two(notebook: Notebook) -> None:
        for _ in range(2):
            notebook.actor_ref.tell("from inside")

    for message in (write_two, "a", "b"):
        ref.tell(message)
    await ref.ask("c", block=False)
    # Three waited behind the first, and it added two.
    assert ref.mailbox.high_water == 5


async def test_figures_span_batches(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    for number in range(10 * here.batch):
        ref.tell(number)
    assert ref.mailbox.depth == ref.mailbox.high_water == 10 * here.batch
    assert await ref.ask("last", block=False) == 10 * here.batch + 1
    assert (ref.mailbox.depth, ref.messages_handled) == (0, 10 * here.batch + 1)


def test_figures_are_seen_from_another_thread_while_a_message_is_handled(elsewhere: Dispatcher) -> None:
    gate = Gate()
    ref = Notebook.spawn(elsewhere)
    ref.tell(gate)
    assert gate.reached.wait(LIMIT_SECONDS)
    for _ in range(3):
        ref.tell("x")
    assert (ref.mailbox.depth, ref.mailbox.high_water, ref.messages_handled) == (3, 3, 1)
    gate.open()
    assert ref.ask("y", timeout=LIMIT_SECONDS) == 4
    assert (ref.mailbox.depth, ref.messages_handled) == (0, 5)


async def test_what_a_crash_left_is_neither_waiting_nor_handled(here: Dispatcher) -> None:
    ref, other = Notebook.spawn(here), Notebook.spawn(here)
    for message in ("a", Crash(LookupError()), "b", "c"):
        ref.tell(message)
    await other.ask("x", block=False)
    assert (ref.mailbox.depth, ref.mailbox.high_water, ref.messages_handled) == (0, 4, 2)


async def test_urns_are_never_the_same(here: Dispatcher) -> None:
    urns = {Notebook.spawn(here).actor_urn for _ in range(1000)}
    assert len(urns) == 1000
    assert all(urn.startswith("urn:uuid:") for urn in urns)
