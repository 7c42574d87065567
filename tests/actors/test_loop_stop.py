"""Stopping, alone and together, and Pykka's proxies on a loop."""

from __future__ import annotations

import pytest
from pykka import ActorDeadError, ActorRegistry

from offbook.actors.loop import Dispatcher, LoopDeadlockError
from tests.actors.notebook import LIMIT_SECONDS, Notebook, Registered, heard


async def test_stop_comes_after_what_was_sent_before_it(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    before = ref.ask("before", block=False)
    stopped = ref.stop(block=False)
    after = ref.ask("after", block=False)
    assert await stopped is True
    assert await before == 1
    with pytest.raises(ActorDeadError):
        await after


async def test_stop_is_awaited_by_who_asks_again(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    first, second = ref.stop(block=False), ref.stop(block=False)
    # Pykka's rule: true while it is being stopped, too.
    assert [await first, await second] == [True, True]
    assert await ref.stop(block=False) is False


async def test_blocking_stop_on_the_loop_is_refused_and_stops_nothing(here: Dispatcher) -> None:
    ref = Notebook.spawn(here)
    with pytest.raises(LoopDeadlockError):
        ref.stop()
    assert await ref.ask("x", block=False) == 1
    assert ref.is_alive()


async def test_actor_that_stops_itself_in_on_start_handles_what_came_before(here: Dispatcher) -> None:
    class Short(Notebook):
        def on_start(self) -> None:
            self.stop()

    ref = Short.spawn(here)
    before = ref.ask("x", block=False)
    assert await before == 1
    assert not ref.is_alive()


async def test_hooks_are_called_once_in_order(here: Dispatcher) -> None:
    hooks: list[str] = []

    class Shown(Notebook):
        def __init__(self) -> None:
            super().__init__()
            self.hooks = hooks

    ref = Shown.spawn(here)
    await ref.ask("x", block=False)
    ref.stop(block=False)
    await ref.stop(block=False)
    assert hooks == ["start", "stop"]


def test_stop_all_stops_in_reverse_order(elsewhere: Dispatcher) -> None:
    order: list[int] = []

    class Numbered(Registered):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_stop(self) -> None:
            order.append(self.number)

    refs = [Numbered.spawn(elsewhere, number) for number in range(5)]
    assert ActorRegistry.get_by_class(Numbered) == refs
    assert ActorRegistry.stop_all(timeout=LIMIT_SECONDS) == [True] * 5
    assert order == [4, 3, 2, 1, 0]
    assert ActorRegistry.get_all() == []


async def test_stop_all_on_the_loop_is_awaited(here: Dispatcher) -> None:
    refs = [Registered.spawn(here) for _ in range(3)]
    with pytest.raises(LoopDeadlockError):
        ActorRegistry.stop_all()
    assert all(ref.is_alive() for ref in refs)
    assert [await stopped for stopped in ActorRegistry.stop_all(block=False)] == [True] * 3
    assert not any(ref.is_alive() for ref in refs)


async def test_broadcast_reaches_registered_actors_only(here: Dispatcher) -> None:
    listed, unlisted = Registered.spawn(here), Notebook.spawn(here)
    ActorRegistry.broadcast("hear, hear", target_class=Notebook)
    assert await listed.ask(heard, block=False) == ["hear, hear"]
    assert await unlisted.ask(heard, block=False) == []
    await listed.stop(block=False)


class Counter(Notebook):
    """Something to have a proxy of."""

    step = 2

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def add(self, times: int = 1) -> int:
        self.total += self.step * times
        return self.total


async def test_proxy_is_awaited_on_the_loop(here: Dispatcher) -> None:
    proxy = Counter.spawn(here).proxy()
    assert await proxy.add() == 2
    assert await proxy.add(times=4) == 10
    proxy.add.defer()
    assert await proxy.total == 12
    with pytest.raises(LoopDeadlockError):
        proxy.step = 5
    assert await proxy.step == 2
    # Pykka's proxies ask the actor to tell itself to stop.
    assert await proxy.stop() is None
    assert await proxy.actor_ref.stop(block=False) is True
    assert not proxy.actor_ref.is_alive()


def test_proxy_blocks_on_another_thread(elsewhere: Dispatcher) -> None:
    proxy = Counter.spawn(elsewhere).proxy()
    proxy.step = 5
    assert proxy.add().get(timeout=LIMIT_SECONDS) == 5
    with pytest.raises(TypeError):
        proxy.add("many", "more").get(timeout=LIMIT_SECONDS)
    assert proxy.total.get(timeout=LIMIT_SECONDS) == 5
