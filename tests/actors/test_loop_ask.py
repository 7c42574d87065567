"""Asking: awaited on the loop, waited for on other threads, refused where it would deadlock."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pykka import ActorDeadError, ThreadingFuture, Timeout, get_all

from offbook.actors.loop import Dispatcher, LoopDeadlockError, LoopFuture
from tests.actors.notebook import LIMIT_SECONDS, Crash, Gate, Notebook, heard


async def test_answer_is_awaited_on_the_loop_of_the_actor(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    assert await ref.ask("a", block=False) == 1
    assert await asyncio.gather(*(ref.ask("b", block=False) for _ in range(100))) == list(range(2, 102))


async def test_loop_goes_on_while_an_answer_is_awaited(here: Dispatcher, elsewhere: Dispatcher) -> None:
    gate = Gate()
    far = Notebook.spawn(elsewhere)
    far.tell(gate)
    answer = asyncio.ensure_future(_answer(far.ask("late", block=False)))
    assert await Notebook.spawn(here).ask("near", block=False) == 1
    assert not answer.done()
    gate.open()
    assert await answer == 1


async def test_actor_runs_on_its_own_loop_whoever_awaits_it(elsewhere: Dispatcher) -> None:
    ref = Notebook.spawn(elsewhere)
    threads = {await ref.ask(lambda _: threading.get_ident(), block=False) for _ in range(200)}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_one_answer_is_awaited_by_several_tasks(here: Dispatcher, elsewhere: Dispatcher) -> None:
    gate = Gate()
    ref = Notebook.spawn(elsewhere)
    ref.tell(gate)
    future = ref.ask("x", block=False)
    waiting = [asyncio.ensure_future(_answer(future)) for _ in range(3)]
    while len(future._callbacks or ()) < 3:  # noqa: ASYNC110 - nothing tells that a future has one more waiter
        # A future looks once more before it waits.
        await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    gate.open()
    assert await asyncio.gather(*waiting[1:]) == [1, 1]
    assert waiting[0].cancelled()


async def test_answer_after_its_asker_was_cancelled_harms_nobody(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    asker = asyncio.ensure_future(_answer(ref.ask("x", block=False)))
    asker.cancel()
    await asyncio.wait([asker])
    assert asker.cancelled()
    assert await ref.ask(heard, block=False) == ["x"]


async def test_exception_of_a_question_is_raised_where_it_is_awaited(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    with pytest.raises(LookupError, match="no such page"):
        await ref.ask(Crash(LookupError("no such page")), block=False)
    assert await ref.ask("still there", block=False) == 1


async def test_blocking_question_on_the_loop_is_refused_and_not_sent(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    with pytest.raises(LoopDeadlockError):
        ref.ask("x")
    assert await ref.ask(heard, block=False) == []


async def test_blocking_for_an_answer_on_the_loop_is_refused(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    future = ref.ask("x", block=False)
    with pytest.raises(LoopDeadlockError):
        future.get(timeout=LIMIT_SECONDS)
    with pytest.raises(LoopDeadlockError):
        future.map(str).get(timeout=LIMIT_SECONDS)
    assert await future == 1
    assert future.get() == 1


def test_actor_that_blocks_on_another_of_its_loop_is_refused(elsewhere: Dispatcher) -> None:
    other = Notebook.spawn(elsewhere)
    asking = Notebook.spawn(elsewhere)
    with pytest.raises(LoopDeadlockError):
        asking.ask(lambda _: other.ask("x"), timeout=LIMIT_SECONDS)
    with pytest.raises(LoopDeadlockError):
        asking.ask(lambda notebook: notebook.actor_ref.ask("myself"), timeout=LIMIT_SECONDS)
    assert asking.ask(heard, timeout=LIMIT_SECONDS) == other.ask(heard, timeout=LIMIT_SECONDS) == []


def test_thread_may_block_again_once_its_loop_has_ended(elsewhere: Dispatcher) -> None:
    async def use_a_loop() -> None:
        dispatcher = Dispatcher(asyncio.get_running_loop())
        assert await Notebook.spawn(dispatcher).ask("x", block=False) == 1
        dispatcher.close()

    asyncio.run(use_a_loop())
    assert Notebook.spawn(elsewhere).ask("y", timeout=LIMIT_SECONDS) == 1


def test_question_times_out_on_another_thread(elsewhere: Dispatcher) -> None:
    gate = Gate()
    ref = Notebook.spawn(elsewhere)
    ref.tell(gate)
    future = ref.ask("x", block=False)
    with pytest.raises(Timeout):
        future.get(timeout=0.001)
    gate.open()
    assert future.get(timeout=LIMIT_SECONDS) == 1


def test_polling_for_an_answer_leaves_nothing_behind() -> None:
    future = LoopFuture()
    for _ in range(50):
        with pytest.raises(Timeout):
            future.get(timeout=0)
    assert future._callbacks == []


def test_dead_actor_cannot_be_told_or_asked(elsewhere: Dispatcher) -> None:
    ref = Notebook.spawn(elsewhere)
    assert ref.is_alive()
    assert ref.stop(timeout=LIMIT_SECONDS) is True
    assert not ref.is_alive()
    with pytest.raises(ActorDeadError):
        ref.tell("x")
    with pytest.raises(ActorDeadError):
        ref.ask("x")
    assert ref.stop() is False


async def test_dead_actor_is_told_of_at_once_on_its_loop(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    assert await ref.stop(block=False) is True
    with pytest.raises(ActorDeadError):
        ref.ask("x")
    with pytest.raises(ActorDeadError):
        await ref.ask("x", block=False)
    assert ref.stop() is False


async def test_derived_answers_are_awaited(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    one, two = ref.ask("a", block=False), ref.ask("b", block=False)
    assert await one.map(lambda count: count * 10) == 10
    assert await one.join(two) == [1, 2]
    assert await one.join(two).map(sum) == 3
    assert await ref.ask(heard, block=False).filter(lambda text: text == "b") == ["b"]
    assert await one.join(two).reduce(lambda left, right: left + right) == 3
    assert get_all([one, two]) == [1, 2]


async def test_derived_answer_raises_what_its_source_does(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    joined = ref.ask("a", block=False).join(ref.ask(Crash(LookupError("gone")), block=False))
    with pytest.raises(LookupError, match="gone"):
        await joined


async def test_joined_future_of_pykka_does_not_block_the_loop() -> None:
    ours, pykkas = LoopFuture(), ThreadingFuture[str]()
    asyncio.get_running_loop().call_soon(ours.set, "ours")
    asyncio.get_running_loop().call_later(0.01, pykkas.set, "pykka's")
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await ours.join(pykkas) == ["ours", "pykka's"]


async def test_unknown_hook_does_not_block_the_loop() -> None:
    arrived = threading.Event()
    future = LoopFuture()
    future.set_get_hook(lambda _: arrived.wait(LIMIT_SECONDS))
    asyncio.get_running_loop().call_soon(arrived.set)
    assert await future is True


def test_threads_that_compute_one_value_get_the_same() -> None:
    both_compute = threading.Barrier(2)

    def compute(_: float | None) -> object:
        both_compute.wait(LIMIT_SECONDS)
        return object()

    future = LoopFuture()
    future.set_get_hook(compute)
    with ThreadPoolExecutor(2) as threads:
        one, two = (threads.submit(future.get) for _ in range(2))
        assert one.result() is two.result()


def test_listener_hears_of_a_value_whenever_it_comes() -> None:
    heard_of: list[Any] = []
    future = LoopFuture()
    future.add_done_callback(lambda done: heard_of.append(done.get()))
    future.set("value")
    future.add_done_callback(lambda done: heard_of.append(done.get()))
    lazy = future.map(str.upper)
    lazy.add_done_callback(lambda done: heard_of.append(done.get()))
    assert heard_of == ["value", "value"]
    assert lazy.get() == "VALUE"
    assert heard_of == ["value", "value", "VALUE"]


async def test_listener_that_raises_harms_nobody(here: Dispatcher) -> None:
    ref, other = Notebook.spawn(here), Notebook.spawn(here)

    def object_to(_: LoopFuture) -> None:
        raise LookupError("I do not want to hear that")

    future = ref.ask("x", block=False)
    assert isinstance(future, LoopFuture)
    future.add_done_callback(object_to)
    behind = ref.ask("y", block=False)
    assert await other.ask("z", block=False) == 1
    assert await future == 1
    assert await behind == 2


async def test_answer_that_somebody_else_gave_harms_nobody(here: Dispatcher) -> None:
    ref, other = Notebook.spawn(here), Notebook.spawn(here)
    future = ref.ask("x", block=False)
    future.set("never mind")
    assert await ref.ask("y", block=False) == 2
    assert await other.ask("z", block=False) == 1
    assert await future == "never mind"


async def _answer(future: Any) -> Any:
    return await future


async def test_answer_at_once_is_there_when_it_is_the_actors_turn(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    await ref.ask("a", block=False)
    answer = ref.ask_at_once("b")
    assert answer.done()
    assert answer.get() == 2
    assert ref.messages_handled == 2
    assert ref.mailbox.depth == 0


async def test_question_at_once_waits_behind_what_came_before(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    await ref.ask("a", block=False)
    ref.tell("b")
    answer = ref.ask_at_once(heard)
    assert not answer.done()
    assert await answer == ["a", "b"]


async def test_question_at_once_from_inside_an_actor_is_answered_after_its_turn(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    other = Notebook.spawn(here)
    await ref.ask("a", block=False)
    asked, answered = await other.ask(lambda _: (asked := ref.ask_at_once("b"), asked.done()), block=False)
    assert not answered
    assert await asked == 2


async def test_exception_of_a_question_at_once_is_its_answer(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    await ref.ask("a", block=False)
    answer = ref.ask_at_once(Crash(LookupError("no such page")))
    assert answer.done()
    with pytest.raises(LookupError, match="no such page"):
        await answer
    assert await ref.ask("still there", block=False) == 2


async def test_dead_actor_does_not_answer_at_once(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    await ref.stop(block=False)
    with pytest.raises(ActorDeadError):
        await ref.ask_at_once("last")


async def test_actor_of_another_loop_answers_on_its_own(elsewhere: Dispatcher) -> None:
    ref = Notebook.spawn(elsewhere)
    assert await ref.ask_at_once(lambda _: threading.get_ident()) != threading.get_ident()
