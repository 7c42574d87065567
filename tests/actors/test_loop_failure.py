"""Crashes: each is its actor's own, its parent hears the reason, and what waited behind it is answered."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from pykka import ActorDeadError, ActorRegistry

from offbook.actors.loop import Dispatcher
from tests.actors.notebook import LIMIT_SECONDS, Crash, Notebook, Registered, children, heard


class FailsToStart(Notebook):
    """Raises in its first hook."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_start(self) -> None:
        raise self.error


class FailsToStop(Notebook):
    """Raises in its last hook, whichever that is."""

    def __init__(self, error: BaseException, hooks: list[str]) -> None:
        super().__init__()
        self.error = error
        self.hooks = hooks

    def on_stop(self) -> None:
        super().on_stop()
        raise self.error

    def on_failure(self, *_: object) -> None:
        super().on_failure(None, None, None)
        raise self.error


class Nameless(Notebook):
    """Cannot even be logged."""

    def __str__(self) -> str:
        raise LookupError("no name")


async def test_crash_harms_no_actor_of_the_same_batch(here: Dispatcher) -> None:
    before, crashing, after = (Notebook.spawn(here) for _ in range(3))
    answers = []
    for ref in (before, crashing, after):
        ref.tell(Crash(LookupError("mine alone")) if ref is crashing else "x")
        answers.append(ref.ask("y", block=False))
    assert await answers[0] == await answers[2] == 2
    with pytest.raises(ActorDeadError):
        await answers[1]
    assert [ref.is_alive() for ref in (before, crashing, after)] == [True, False, True]


async def test_messages_behind_a_crash_vanish_and_questions_are_refused(here: Dispatcher) -> None:
    hooks: list[str] = []
    seen: list[str] = []
    ref = Notebook.spawn(here)
    ref.tell(lambda notebook: setattr(notebook, "hooks", hooks))
    ref.tell(lambda notebook: setattr(notebook, "heard", seen))
    ref.tell("before")
    ref.tell(Crash(LookupError()))
    answers = []
    for _ in range(100):
        ref.tell("behind")
        answers.append(ref.ask("behind", block=False))
    stopped = ref.stop(block=False)
    for answer in answers:
        with pytest.raises(ActorDeadError, match="stopped before handling"):
            await answer
    assert await stopped is True
    assert seen == ["before"]
    assert hooks == ["failure"]
    assert ref.messages_handled == 4
    assert ref.mailbox.depth == 0


@pytest.mark.parametrize("error", [LookupError("x"), asyncio.CancelledError("x"), SystemExit(1), KeyboardInterrupt()])
async def test_actor_that_fails_to_start_harms_no_actor_that_is_ready(here: Dispatcher, error: BaseException) -> None:
    parent = Notebook.spawn(here)
    failing = FailsToStart.spawn(here, error, parent=parent)
    ready = [Notebook.spawn(here) for _ in range(3)]
    answer = failing.ask("x", block=False)
    assert await asyncio.gather(*(_answer(ref) for ref in ready)) == [1, 1, 1]
    with pytest.raises(ActorDeadError):
        await answer
    assert await parent.ask(children, block=False) == [(failing, error)]


@pytest.mark.parametrize("last", ["stop", "crash"])
@pytest.mark.parametrize("error", [LookupError("x"), SystemExit(1)])
async def test_actor_that_fails_in_its_last_hook_harms_nobody(
    here: Dispatcher, error: BaseException, last: str
) -> None:
    parent = Notebook.spawn(here)
    crash = ValueError("the first")
    hooks: list[str] = []
    failing = FailsToStop.spawn(here, error, hooks, parent=parent)
    other = Notebook.spawn(here)
    if last == "stop":
        failing.stop(block=False)
    else:
        failing.tell(Crash(crash))
    assert await _answer(other) == 1
    assert not failing.is_alive()
    ((_, reason),) = await parent.ask(children, block=False)
    assert reason is (error if last == "stop" else crash)
    assert hooks == ["start", "stop" if last == "stop" else "failure"]


async def test_cancelled_task_whose_result_is_wanted_harms_only_its_actor(here: Dispatcher) -> None:
    task = asyncio.get_running_loop().create_future()
    task.cancel()
    crashing, bystander = Registered.spawn(here), Registered.spawn(here)
    crashing.tell(lambda _: task.result())
    starting = FailsToStart.spawn(here, asyncio.CancelledError())
    assert [await _answer(bystander) for _ in range(3)] == [1, 2, 3]
    assert not crashing.is_alive()
    assert not starting.is_alive()
    assert bystander.is_alive()
    await bystander.stop(block=False)


async def test_crash_that_cannot_be_logged_ends_its_actor_in_good_order() -> None:
    dispatcher = Dispatcher(asyncio.get_running_loop())
    reached: list[object] = []
    dispatcher.loop.set_exception_handler(lambda _, context: reached.append(context["exception"]))
    parent = Notebook.spawn(dispatcher)
    nameless, other = Nameless.spawn(dispatcher, parent=parent), Notebook.spawn(dispatcher)
    await _answer(other)
    crash = ValueError("unspeakable")
    nameless.tell(Crash(crash))
    behind = nameless.ask("x", block=False)
    assert await _answer(other) == 2
    with pytest.raises(ActorDeadError):
        await behind
    assert await parent.ask(children, block=False) == [(nameless, crash)]
    assert [str(error) for error in reached] == ["no name"]
    dispatcher.close()


async def test_interrupt_stops_all_registered_actors_and_answers_who_waits(here: Dispatcher) -> None:
    parent = Notebook.spawn(here)
    interrupted = Registered.spawn(here, parent=parent)
    registered, unlisted = Registered.spawn(here), Notebook.spawn(here)
    error = KeyboardInterrupt()
    with pytest.raises(ActorDeadError, match="stopped while handling"):
        await interrupted.ask(Crash(error), block=False)
    assert await registered.stop(block=False) in (True, False)
    assert await _answer(unlisted) == 1
    assert not registered.is_alive()
    assert ActorRegistry.get_by_class(Registered) == []
    assert await parent.ask(children, block=False) == [(interrupted, error)]


async def test_parent_is_told_why_its_child_died(here: Dispatcher) -> None:
    parent = Notebook.spawn(here)
    stopping, crashing, living = (Notebook.spawn(here, parent=parent) for _ in range(3))
    error = LookupError("the reason")
    crashing.tell(Crash(error))
    await stopping.stop(block=False)
    assert await parent.ask(children, block=False) == [(stopping, None), (crashing, error)]
    assert living.is_alive()


def test_parent_on_another_loop_is_told(elsewhere: Dispatcher) -> None:
    of_the_parent = Dispatcher.in_thread("loop-of-the-parent")
    parent = Notebook.spawn(of_the_parent)
    child = Notebook.spawn(elsewhere, parent=parent)
    child.stop(timeout=LIMIT_SECONDS)
    # On its loop by now: a child tells before its dispatcher does anything else.
    Notebook.spawn(elsewhere).ask("x", timeout=LIMIT_SECONDS)
    assert parent.ask(children, timeout=LIMIT_SECONDS) == [(child, None)]
    of_the_parent.close()


async def test_child_of_a_dead_parent_stops_in_good_order(here: Dispatcher) -> None:
    parent = Notebook.spawn(here)
    child = Notebook.spawn(here, parent=parent)
    await parent.stop(block=False)
    assert await _answer(child) == 1
    assert await child.stop(block=False) is True


async def test_dead_actor_is_let_go_of_by_who_keeps_its_reference(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    actor = weakref.ref(await ref.ask(lambda notebook: notebook, block=False))
    assert actor() is not None
    gc.disable()
    try:
        await ref.stop(block=False)
        await _answer(Notebook.spawn(here))
        assert actor() is None
    finally:
        gc.enable()


async def test_question_that_fails_leaves_the_mailbox_in_order(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    failing = ref.ask(Crash(LookupError("x")), block=False)
    ref.tell("behind")
    with pytest.raises(LookupError):
        await failing
    assert await ref.ask(heard, block=False) == ["behind"]


async def _answer(ref: object) -> object:
    return await ref.ask("x", block=False)  # type: ignore[attr-defined]
