"""Every test ends what it began: one that leaves an actor, a thread or a task alive fails. Long files come first."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
from pykka import ActorRef, ActorRegistry

from offbook.actors.loop import LoopActor

pytest_plugins = ["tests.postgres"]

ENDING_SECONDS = 30.0
"""How long what was told to end may take to do so."""

THREADS_THAT_STAY = {
    "offbook-default-loop": "the loop of actors without a dispatcher: one for the process, from its first such actor",
}
"""Threads that outlive a test, by the beginning of their names, and why."""

LONG = ("chaos", "page", "packaging", "cli", "simulation", "benchmarks", "pykka_suite")
"""Folders whose files take longest: where one of those came last, one process would wait for the other's end."""

_launched: WeakSet[LoopActor] = WeakSet()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files come first; the order within a file, and of the others, stays."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def _loop_actors_are_noted() -> Iterator[None]:
    """Note the actors that no registry lists, executions among them."""
    start = LoopActor._start_actor_loop

    def noted(actor: LoopActor) -> None:
        _launched.add(actor)
        start(actor)

    LoopActor._start_actor_loop = noted  # type: ignore[method-assign, assignment]
    yield
    LoopActor._start_actor_loop = start  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _no_actor_and_no_thread_stays_alive(_loop_actors_are_noted: None) -> Iterator[None]:
    """Fail a test after which actors or threads are alive that were not before."""
    actors, threads = _actors(), set(threading.enumerate())
    yield
    until = time.monotonic() + ENDING_SECONDS
    left_actors = _still_alive(_actors() - actors, until)
    left_threads = _still_running(set(threading.enumerate()) - threads, until)
    assert not left_actors, f"actors left alive: {left_actors}"
    assert not left_threads, f"threads left alive: {left_threads}"


@pytest.fixture(autouse=True)
def _nothing_stays_alive(request: pytest.FixtureRequest, _no_actor_and_no_thread_stays_alive: None) -> None:
    """Look after tasks where there are any; after that the loop is closed, and then come actors and threads."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_stays_alive")


@pytest.fixture
async def _no_task_stays_alive() -> AsyncIterator[None]:
    """Fail a test after which tasks are alive on its loop: by then all other fixtures have ended."""
    before = asyncio.all_tasks()
    yield
    this_task = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not this_task}
    if left:
        _, left = await asyncio.wait(left, timeout=ENDING_SECONDS)
    assert not left, f"tasks left alive: {left}"


def _actors() -> set[ActorRef[Any]]:
    """Return the live actors on loops and threads; those of a simulated process live only while it steps them."""
    refs = {actor.actor_ref for actor in list(_launched) if _on_real_loop(actor)}
    listed = {ref for ref in ActorRegistry.get_all() if not issubclass(ref.actor_class, LoopActor)}
    return {ref for ref in refs | listed if ref.is_alive()}


def _on_real_loop(actor: LoopActor) -> bool:
    dispatcher = actor.actor_ref.actor_inbox.dispatcher  # type: ignore[attr-defined]
    return dispatcher is not None and isinstance(dispatcher.loop, asyncio.AbstractEventLoop)


def _still_alive(refs: Iterable[ActorRef[Any]], until: float) -> list[str]:
    for ref in refs:
        ref.actor_stopped.wait(max(0.0, until - time.monotonic()))
    return [str(ref) for ref in refs if ref.is_alive()]


def _still_running(threads: Iterable[threading.Thread], until: float) -> list[str]:
    left = [thread for thread in threads if not thread.name.startswith(tuple(THREADS_THAT_STAY))]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    return [f"{thread.name} ({type(thread).__name__})" for thread in left if thread.is_alive()]
