"""One limiter: never more than it allows, users in turn, nobody forgotten, nothing left behind."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from offbook.actors.limit_settings import Limit
from offbook.actors.limiter import Limiter, Pass, Waiter
from tests.actors.virtual_time import VirtualTime


class Door:
    """A limiter, and who has gone through it."""

    def __init__(self, limit: Limit) -> None:
        self.time = VirtualTime()
        self.limiter = Limiter("provider", "openai", limit, self.time)
        self.through: list[str] = []
        self.passes: dict[str, Pass] = {}
        self.times: list[float] = []
        self.waiters: dict[str, Waiter] = {}

    def come(self, name: str, tokens: int = 0) -> bool:
        """Ask for a pass; the user is the name without its digits. Return whether there was one at once."""
        taken = self.limiter.enter(tokens)
        if taken is not None:
            self._went(name, taken)
            return True
        waiter = Waiter(name.rstrip("0123456789"), tokens, lambda: None)
        waiter.granted = self._granted(name, waiter)
        self.waiters[name] = waiter
        self.limiter.wait(waiter)
        return name in self.passes

    def _granted(self, name: str, waiter: Waiter) -> Callable[[], None]:
        def granted() -> None:
            del self.waiters[name]
            self._went(name, self.limiter.fetch(waiter))

        return granted

    def _went(self, name: str, taken: Pass) -> None:
        self.through.append(name)
        self.times.append(self.time.now)
        self.passes[name] = taken

    def end(self, name: str, tokens: int | None = None) -> None:
        self.passes.pop(name).give_back(tokens)


def test_no_more_than_so_many_at_once_and_the_next_when_one_ends() -> None:
    door = Door(Limit(concurrency=2))
    assert [door.come(name) for name in ("ada1", "ada2", "ada3")] == [True, True, False]
    found = door.limiter.obstacle()
    assert found is not None
    assert (found.why, found.until) == ("concurrency", None)
    door.end("ada1")
    assert door.through == ["ada1", "ada2", "ada3"]
    assert (door.limiter.in_use, door.limiter.waiting) == (2, 0)


def test_users_take_turns_whoever_came_first_with_however_many() -> None:
    door = Door(Limit(concurrency=1))
    door.come("ada0")
    for number in range(1, 501):
        door.come(f"ada{number}")
    door.come("bob1")
    door.come("cleo1")
    door.come("bob2")
    for name in ("ada0", "ada1", "bob1", "cleo1", "ada2"):
        door.end(name)
    assert door.through == ["ada0", "ada1", "bob1", "cleo1", "ada2", "bob2"]


def test_calls_of_one_user_keep_their_order() -> None:
    door = Door(Limit(concurrency=1))
    for number in range(20):
        door.come(f"ada{number}")
    for number in range(19):
        door.end(f"ada{number}")
    assert door.through == [f"ada{number}" for number in range(20)]


def test_no_more_than_so_many_begin_in_any_minute() -> None:
    door = Door(Limit(per_minute=3))
    for number in range(10):
        door.come(f"ada{number}")
        door.time.pass_time(5)
    door.time.pass_time(300)
    assert len(door.through) == 10
    for first, fourth in zip(door.times, door.times[3:], strict=False):
        assert fourth - first >= 60
    assert door.times[:4] == [1000, 1005, 1010, 1060]


def test_one_that_waits_for_the_minute_knows_until_when() -> None:
    door = Door(Limit(per_minute=2))
    expected = []
    for number in range(7):
        door.come(f"ada{number}")
        door.time.pass_time(1)
        found = door.limiter.expected(0)
        expected.append(found.until if found else None)
    assert expected == [None, 1060, 1060, 1061, 1120, 1121, 1180]
    door.time.pass_time(1000)
    assert door.times == [1000, 1001, 1060, 1061, 1120, 1121, 1180]


def test_tokens_of_a_minute_are_those_that_were_taken() -> None:
    door = Door(Limit(tokens_per_minute=1000))
    assert door.come("ada1", 600)
    assert not door.come("ada2", 600)
    door.end("ada1", tokens=100)
    assert door.through == ["ada1", "ada2"]
    assert door.limiter.used_in_a_minute() == (0, 700)
    door.come("ada3", 600)
    assert door.through == ["ada1", "ada2"]
    door.end("ada2", tokens=900)
    door.time.pass_time(59)
    assert door.through == ["ada1", "ada2"]
    door.time.pass_time(1)
    assert door.through == ["ada1", "ada2", "ada3"]


def test_call_that_needs_more_than_a_minute_has_is_alone_in_its_minute() -> None:
    door = Door(Limit(tokens_per_minute=1000))
    door.come("ada1", 10)
    door.come("ada2", 50_000)
    door.come("bob1", 10)
    assert door.through == ["ada1"]
    door.time.pass_time(60)
    assert door.through == ["ada1", "ada2"]
    door.time.pass_time(60)
    assert door.through == ["ada1", "ada2", "bob1"]


def test_nobody_goes_on_while_the_provider_asked_to_wait() -> None:
    door = Door(Limit(concurrency=5))
    door.limiter.hold(1030)
    assert not door.come("ada1")
    door.limiter.hold(1010)
    door.time.pass_time(29)
    assert door.through == []
    found = door.limiter.expected(0)
    assert found is not None
    assert (found.why, found.until) == ("retry_after", 1030)
    door.time.pass_time(1)
    assert door.through == ["ada1"]


def test_one_that_leaves_lets_those_behind_it_pass() -> None:
    door = Door(Limit(tokens_per_minute=1000))
    door.come("ada1", 500)
    door.come("bob1", 900)
    door.come("ada2", 500)
    assert door.through == ["ada1"]
    door.limiter.leave(door.waiters["bob1"])
    assert door.through == ["ada1", "ada2"]
    door.limiter.leave(door.waiters["bob1"])
    assert door.limiter.waiting == 0


def test_pass_that_was_granted_to_one_that_leaves_goes_to_the_next() -> None:
    door = Door(Limit(concurrency=1, per_minute=2))
    door.come("ada1")
    gone = Waiter("bob", 0, lambda: None)
    door.limiter.wait(gone)
    door.come("ada2")
    door.end("ada1")
    assert door.through == ["ada1"]
    door.limiter.leave(gone)
    assert door.through == ["ada1", "ada2"]


def test_pass_that_was_not_used_counts_for_no_minute() -> None:
    door = Door(Limit(per_minute=1, tokens_per_minute=100))
    door.come("ada1", 100)
    door.come("ada2", 100)
    door.passes["ada1"].undo()
    assert door.through == ["ada1", "ada2"]
    door.passes["ada1"].undo()
    door.passes["ada1"].give_back()
    assert door.limiter.in_use == 1


def test_limiter_with_nothing_left_is_idle_and_rings_nothing() -> None:
    door = Door(Limit(per_minute=1))
    door.come("ada1")
    door.come("ada2")
    assert door.time.armed == 1
    door.limiter.leave(door.waiters["ada2"])
    assert door.time.armed == 0
    door.end("ada1")
    assert not door.limiter.is_idle
    door.time.pass_time(60)
    assert door.limiter.is_idle


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_broken_or_lost_in_any_order_of_events(seed: int) -> None:
    """Calls come, end, leave, are undone and are held back at random; then all end, and nothing is left."""
    chance = random.Random(seed)
    limit = Limit(
        concurrency=chance.choice((None, 1, 3)),
        per_minute=chance.choice((None, 2, 10)),
        tokens_per_minute=chance.choice((None, 500)),
    )
    door = Door(limit)
    came = 0
    left: set[str] = set()
    for _ in range(400):
        what = chance.random()
        if what < 0.45:
            came += 1
            door.come(f"{chance.choice(('ada', 'bob', 'cleo'))}{came}", chance.choice((0, 100, 700)))
        elif what < 0.65 and door.passes:
            door.end(chance.choice(sorted(door.passes)), chance.choice((None, 0, 50, 300)))
        elif what < 0.70 and door.passes:
            name = chance.choice(sorted(door.passes))
            door.passes.pop(name).undo()
            door.times.pop(door.through.index(name))
            door.through.remove(name)
            left.add(name)
        elif what < 0.80 and door.waiters:
            name = chance.choice(sorted(door.waiters))
            door.limiter.leave(door.waiters.pop(name))
            left.add(name)
        elif what < 0.83:
            door.limiter.hold(door.time.now + chance.random() * 20)
        else:
            door.time.pass_time(chance.random() * 10)
        _check(door)
    while door.waiters:
        for name in sorted(door.passes):
            door.end(name, 0)
        door.time.pass_time(60)
        _check(door)
    for name in sorted(door.passes):
        door.end(name, 0)
    door.time.pass_time(60)
    assert door.limiter.is_idle
    assert (door.limiter.in_use, door.limiter.waiting, door.time.armed) == (0, 0, 0)
    assert len(door.through) + len(left) == came


def _check(door: Door) -> None:
    limit, limiter = door.limiter.limit, door.limiter
    assert limiter.in_use == len(door.passes)
    assert limiter.waiting == len(door.waiters)
    assert limit.concurrency is None or limiter.in_use <= limit.concurrency
    if limit.per_minute is not None:
        for first, last in zip(door.times, door.times[limit.per_minute :], strict=False):
            assert last >= first + 60
    if door.waiters:
        # Nobody waits whom nothing keeps, or whom nothing will call.
        found = limiter.obstacle(_next(door).tokens)
        assert found is not None
        assert found.until is None or door.time.armed == 1


def _next(door: Door) -> Waiter:
    line = next(iter(door.limiter._lines.values()))
    return next(iter(line))


@settings(max_examples=60, deadline=None)
@given(calls=some.lists(some.sampled_from(["ada", "bob", "cleo"]), min_size=1, max_size=60))
def test_no_user_is_passed_twice_while_another_waits(calls: list[str]) -> None:
    door = Door(Limit(concurrency=1))
    door.come("first0")
    for number, user in enumerate(calls):
        door.come(f"{user}{number}")
    waiting = Counter(calls)
    door.end("first0")
    since: dict[str, int] = dict.fromkeys(waiting, 0)
    while waiting:
        name = door.through[-1]
        user = name.rstrip("0123456789")
        waiting[user] -= 1
        waiting += Counter()
        for other in since:
            since[other] = 0 if other == user else since[other] + 1
        assert all(since[other] < len(since) for other in waiting)
        door.end(name)
