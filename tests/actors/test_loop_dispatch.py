"""Whose turn it is, and what becomes of actors whose dispatcher or loop is over."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRef, ActorRegistry

from offbook.actors.loop import Dispatcher, LoopActor
from offbook.actors.loop_dispatcher import TURN_SECONDS, default_dispatcher
from tests.actors.notebook import LIMIT_SECONDS, Gate, Notebook, Registered, heard


async def test_actor_with_many_messages_lets_others_have_their_turn() -> None:
    dispatcher = Dispatcher(asyncio.get_running_loop(), batch=4)
    order: list[str] = []
    busy, modest = Notebook.spawn(dispatcher), Notebook.spawn(dispatcher)
    for _ in range(10):
        busy.tell(lambda _: order.append("busy"))
    for _ in range(3):
        modest.tell(lambda _: order.append("modest"))
    await busy.ask("end", block=False)
    assert order == ["busy"] * 4 + ["modest"] * 3 + ["busy"] * 6
    dispatcher.close()


async def test_actor_that_keeps_itself_busy_starves_neither_others_nor_the_loop(here: Dispatcher) -> None:
    ref, other = Notebook.spawn(here), Notebook.spawn(here)
    enough = False

    def again(notebook: Notebook) -> None:
        if not enough:
            notebook.actor_ref.tell(again)

    ref.tell(again)
    timer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, timer.set_result, None)
    await timer
    assert await other.ask("x", block=False) == 1
    enough = True
    await ref.stop(block=False)


async def test_loop_looks_after_the_rest_while_many_actors_are_ready(here: Dispatcher) -> None:
    order: list[str] = []

    def burn(_: Notebook) -> None:
        until = time.monotonic() + TURN_SECONDS / 2
        while time.monotonic() < until:
            pass
        order.append("actor")

    refs = [Notebook.spawn(here) for _ in range(10)]
    for ref in refs:
        ref.tell(burn)
    asyncio.get_running_loop().call_soon(order.append, "rest")
    for ref in refs:
        await ref.ask("x", block=False)
    assert order.count("actor") == 10
    assert 0 < order.index("rest") < 5


async def test_task_that_asks_again_and_again_lets_the_loop_look_after_the_rest(here: Dispatcher) -> None:
    loop, ref = asyncio.get_running_loop(), Notebook.spawn(here)
    turns = 0

    def count_turn() -> None:
        nonlocal turns
        turns += 1
        handle[0] = loop.call_soon(count_turn)

    handle = [loop.call_soon(count_turn)]
    questions, until = 0, time.monotonic() + LIMIT_SECONDS
    while turns < 10 and time.monotonic() < until:
        await ref.ask("x", block=False)
        questions += 1
    handle[0].cancel()
    assert turns == 10
    # A turn for each is what asking in a row spares.
    assert questions > 2 * turns


async def test_task_that_waits_for_an_answer_never_has_an_actor_begin_inside_another(here: Dispatcher) -> None:
    ref, other = Notebook.spawn(here), Notebook.spawn(here)
    await ref.ask("the turn has begun", block=False)
    order: list[str] = []

    def await_by_hand(_: Notebook) -> None:
        order.append("begins")
        awaited = other.ask(lambda _: order.append("other"), block=False).__await__()
        next(awaited)
        order.append("ends")

    await ref.ask(await_by_hand, block=False)
    await other.ask("x", block=False)
    assert order == ["begins", "ends", "other"]


def test_closed_dispatcher_refuses_what_waits_and_what_comes(elsewhere: Dispatcher) -> None:
    gate = Gate()
    busy, waiting, idle = (Registered.spawn(elsewhere) for _ in range(3))
    for ref in (busy, waiting, idle):
        ref.ask("x", timeout=LIMIT_SECONDS)
    busy.tell(gate)
    assert gate.reached.wait(LIMIT_SECONDS)
    pending = [busy.ask("behind", block=False), waiting.ask("x", block=False)]
    closing = threading.Thread(target=elsewhere.close)
    closing.start()
    gate.open()
    closing.join(LIMIT_SECONDS)
    for future in pending:
        with pytest.raises(ActorDeadError):
            future.get(timeout=LIMIT_SECONDS)
    for ref in (busy, waiting, idle):
        assert not ref.is_alive()
        with pytest.raises(ActorDeadError):
            ref.tell("x")
        with pytest.raises(ActorDeadError):
            ref.ask("x")
    assert ActorRegistry.get_by_class(Registered) == []


async def test_dispatcher_closed_on_a_loop_that_goes_on_refuses(here: Dispatcher) -> None:
    ref = Registered.spawn(here)
    unlisted = Notebook.spawn(here)
    waiting = [ref.ask("x", block=False), unlisted.ask("x", block=False)]
    here.close()
    for future in waiting:
        with pytest.raises(ActorDeadError):
            await future
    assert not ref.is_alive()
    assert not unlisted.is_alive()
    assert ActorRegistry.get_by_class(Registered) == []


def test_loop_that_has_ended_refuses_without_being_told() -> None:
    async def spawn() -> ActorRef[Any]:
        ref = Notebook.spawn(Dispatcher(asyncio.get_running_loop()))
        assert await ref.ask("x", block=False) == 1
        return ref

    ref = asyncio.run(spawn())
    with pytest.raises(ActorDeadError):
        ref.ask("y", timeout=LIMIT_SECONDS)
    assert not ref.is_alive()


def test_parent_on_another_loop_is_told_of_a_closed_dispatcher(elsewhere: Dispatcher) -> None:
    of_the_child = Dispatcher.in_thread("loop-of-the-child")
    parent = Notebook.spawn(elsewhere)
    child = Registered.spawn(of_the_child, parent=parent)
    child.ask("x", timeout=LIMIT_SECONDS)
    of_the_child.close()
    ((who, reason),) = parent.ask(lambda notebook: notebook.children, timeout=LIMIT_SECONDS)
    assert who is child
    assert isinstance(reason, ActorDeadError)


def test_dispatcher_is_closed_again_or_by_one_of_its_actors() -> None:
    dispatcher = Dispatcher.in_thread("loop-that-closes-itself")
    ref = Registered.spawn(dispatcher)
    ref.tell(lambda _: dispatcher.close())
    assert ref.actor_stopped.wait(LIMIT_SECONDS)
    dispatcher.close()
    dispatcher.close()


def _leave() -> None:
    raise SystemExit(0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_loop_thread_that_ends_by_itself_refuses() -> None:
    dispatcher = Dispatcher.in_thread("loop-that-leaves")
    ref = Notebook.spawn(dispatcher)
    thread = ref.ask(lambda _: threading.current_thread(), timeout=LIMIT_SECONDS)
    dispatcher.loop.call_soon_threadsafe(_leave)
    thread.join(LIMIT_SECONDS)
    with pytest.raises(ActorDeadError):
        ref.ask("y", timeout=LIMIT_SECONDS)
    dispatcher.close()


def test_closed_dispatcher_cancels_tasks_that_its_actors_began() -> None:
    dispatcher = Dispatcher.in_thread("loop-with-a-task")
    cancelled = threading.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def begin(notebook: Notebook) -> None:
        notebook.heard.append(asyncio.get_running_loop().create_task(wait_for_ever()))

    ref = Notebook.spawn(dispatcher)
    ref.ask(begin, timeout=LIMIT_SECONDS)
    ref.ask("the task has begun by now", timeout=LIMIT_SECONDS)
    dispatcher.close()
    assert cancelled.is_set()


def test_actor_without_a_dispatcher_runs_on_the_default_one() -> None:
    ref = Notebook.start()
    assert isinstance(ref, ActorRef)
    assert issubclass(ref.actor_class, LoopActor)
    assert ref.ask("x", timeout=LIMIT_SECONDS) == 1
    default_dispatcher().close()
    assert not ref.is_alive()
    again = Notebook.start()
    assert again.ask(heard, timeout=LIMIT_SECONDS) == []
    again.stop(timeout=LIMIT_SECONDS)
