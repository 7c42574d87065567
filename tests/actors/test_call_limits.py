"""Limits on a real node runner: who waits, what waiting does not cost, how it ends, and that no turn is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from offbook.actors.limit_settings import read_limits
from offbook.nodes import NodeContext, NodeFailure
from offbook.workflows.messages import NodeBegan, NodeFailed, NodeHeld
from offbook.workflows.values import ExecutionUser, JsonObject
from tests.actors.stage import AN_EXECUTION, ANOTHER, LIMIT_SECONDS, Heard, Stage

BOB = ExecutionUser("bob", tier="free")

Set = Callable[..., "Desk"]


class Desk:
    """A stage with limits, and functions that call a provider and stay there until they may go."""

    def __init__(self, limits: JsonObject, **options: Any) -> None:
        self.stage = Stage(limits=read_limits(limits), **{"abort_grace": 0.05, **options})
        self.inside: list[str] = []
        """Who is at the provider now."""
        self.came: list[str] = []
        """Who ever was, in order."""
        self.most = 0
        self._doors: dict[str, asyncio.Event] = {}
        functions = (self.call, self.plain, self.refused, self.stubborn, self.late)
        for function in (*functions, self.lingering, self.deaf, self.wild):
            self.stage.functions.register(function, function.__name__)

    async def call(self, ctx: NodeContext, name: str, provider: str = "openai", key: str | None = None) -> str:
        async with ctx.turn(provider, key=key, tokens=100):
            await self._stay(name)
        return name

    async def plain(self, ctx: NodeContext, name: str) -> str:
        """Do something that is no call of a provider."""
        await self._stay(name)
        return name

    async def refused(
        self, ctx: NodeContext, seconds: float, key: str | None = None, type: str = "rate_limit"
    ) -> None:
        async with ctx.turn("openai", key=key):
            raise NodeFailure.of(type, "too many", retryable=True, retry_after=seconds)

    async def stubborn(self, ctx: NodeContext, name: str) -> str:
        """Stay at the provider when told to stop, and come back for more."""
        with suppress(asyncio.CancelledError):
            async with ctx.turn("openai"):
                while not self.door(name).is_set():
                    with suppress(asyncio.CancelledError):
                        await self._stay(name)
        async with ctx.turn("openai"):
            self.came.append(f"{name} again")
        return name

    async def late(self, ctx: NodeContext, name: str) -> str:
        """Come to the provider only once the door is open."""
        await self.door(name).wait()
        return await self.call(ctx, f"{name} at last")

    async def lingering(self, ctx: NodeContext, name: str) -> str:
        """Go on after the call."""
        await self.call(ctx, name)
        return await self.plain(ctx, f"{name} after")

    async def deaf(self, ctx: NodeContext, name: str) -> str:
        """Take no notice of being told to stop while it waits."""
        with suppress(asyncio.CancelledError):
            await self.call(ctx, name)
        self.came.append(f"{name} stays")
        await self.door(name).wait()
        return name

    async def wild(self, ctx: NodeContext, seed: int, provider: str) -> str:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            await asyncio.sleep(0)
        async with ctx.turn(provider, key=chance.choice("xy"), tokens=chance.choice((0, 50))) as waited:
            self.inside.append(provider)
            self.most = max(self.most, self.inside.count("narrow"))
            try:
                if chance.random() < 0.2:
                    raise LookupError("no such ship")
                if chance.random() < 0.2:
                    raise NodeFailure.of("rate_limit", "wait", retryable=True, retry_after=0.01)
                await asyncio.sleep(chance.random() * 0.01)
            except asyncio.CancelledError:
                if chance.random() < 0.3:
                    return "swallowed"
                raise
            finally:
                self.inside.remove(provider)
        return str(waited)

    def door(self, name: str) -> asyncio.Event:
        return self._doors.setdefault(name, asyncio.Event())

    def open(self, *names: str) -> None:
        for name in names:
            self.stage.on_loop(self.door(name).set)
        self.stage.settle()

    def close(self) -> None:
        self.open(*self._doors)
        self.stage.__exit__(None, None, None)

    def play(self, name: str, function: str = "call", **more: Any) -> Heard:
        args = {"name": name, **more.pop("args", {})}
        heard = self.stage.play(function, args=args, **more)
        self.stage.settle()
        return heard

    def figures(self, name: str) -> JsonObject:
        """Return what is told of the limits of one name, added up."""
        found = [each for each in self.stage.runner.limit_figures() if each["name"] == name]
        return {"in_use": sum(each["in_use"] for each in found), "waiting": sum(each["waiting"] for each in found)}

    async def _stay(self, name: str) -> None:
        self.inside.append(name)
        self.came.append(name)
        try:
            await self.door(name).wait()
        finally:
            self.inside.remove(name)


@pytest.fixture
def desk() -> Iterator[Set]:
    opened: list[Desk] = []

    def set_up(limits: JsonObject, **options: Any) -> Desk:
        opened.append(Desk(limits, **options))
        return opened[-1]

    yield set_up
    for each in opened:
        each.close()


ONE = {"provider": {"openai": {"concurrency": 1}}}


def test_call_waits_until_its_provider_has_room_and_says_so(desk: Set) -> None:
    set_up = desk(ONE)
    first, second = set_up.play("first"), set_up.play("second", number=2, epoch=3)
    assert set_up.inside == ["first"]
    held = second.next(NodeHeld)
    assert held == NodeHeld("node", None, 2, 3, "provider", "openai", "concurrency", None, 1000.0)
    assert set_up.figures("openai") == {"in_use": 1, "waiting": 1}
    set_up.open("first")
    assert second.next(NodeBegan) == NodeBegan("node", None, 2, 3, 1000.0)
    assert set_up.inside == ["second"]
    set_up.open("second")
    assert (first.output(), second.output()) == ("first", "second")
    set_up.stage.settle()
    assert set_up.figures("openai") == {"in_use": 0, "waiting": 0}


def test_other_providers_and_calls_of_none_go_on(desk: Set) -> None:
    set_up = desk(ONE)
    for name, provider in (("first", "openai"), ("second", "openai"), ("third", "local")):
        set_up.play(name, args={"provider": provider})
    set_up.play("fourth", "plain")
    assert set_up.inside == ["first", "third", "fourth"]


def test_wait_takes_no_slot_of_calls(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"per_minute": 1}}}, max_calls=1)
    set_up.play("first")
    set_up.open("first")
    waiting = [set_up.play(f"waiting {number}") for number in range(5)]
    assert waiting[0].next(NodeHeld).why == "per_minute"
    assert set_up.stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}
    assert set_up.stage.attempt("template", {"text": "quick"}).output() == "quick"


def test_call_that_has_its_turn_goes_on_before_those_that_have_not_begun(desk: Set) -> None:
    set_up = desk(ONE, max_calls=2)
    set_up.play("first")
    set_up.play("second")
    busy = set_up.play("busy", "plain")
    queued = set_up.play("queued", "plain")
    assert set_up.inside == ["first", "busy"]
    set_up.open("first")
    assert set_up.inside == ["busy", "second"]
    assert set_up.stage.runner.figures()["queued_calls"] == 1
    set_up.open("second")
    assert set_up.inside == ["busy", "queued"]
    set_up.open("busy", "queued")
    assert (busy.output(), queued.output()) == ("busy", "queued")


def test_time_limits_stand_still_while_a_call_waits(desk: Set) -> None:
    set_up = desk(ONE)
    set_up.play("first")
    second = set_up.play("second", timeout={"total": 20, "idle": 10})
    set_up.stage.pass_time(50)
    assert second.ends == []
    set_up.open("first")
    assert set_up.inside == ["second"]
    set_up.stage.pass_time(11)
    assert second.error().type == "idle_timeout"


def test_time_before_the_wait_counts(desk: Set) -> None:
    set_up = desk(ONE)
    set_up.play("first")
    late = set_up.play("late", "late", timeout={"total": 30_000})
    set_up.stage.pass_time(2000)
    set_up.open("late")
    late.next(NodeHeld)
    call = set_up.stage.runner._calls[AN_EXECUTION][-1]
    assert call.passage is not None
    assert 2000 <= call.passage.seconds_used < 2000 + LIMIT_SECONDS
    assert call.timers == []


def test_users_take_turns_at_a_provider(desk: Set) -> None:
    set_up = desk(ONE)
    names = [f"ada {number}" for number in range(50)]
    for name in names:
        set_up.play(name)
    bob = set_up.play("bob", user=BOB, execution_id=ANOTHER)
    set_up.open("ada 0", "ada 1", "bob")
    assert bob.output() == "bob"
    assert set_up.came[:4] == ["ada 0", "ada 1", "bob", "ada 2"]


def test_limit_of_each_user_by_tier(desk: Set) -> None:
    set_up = desk({"user": {"concurrency": 2, "tier": {"free": {"concurrency": 1}}}})
    for name in ("ada 1", "ada 2", "ada 3"):
        heard = set_up.play(name, "plain")
    for name in ("bob 1", "bob 2"):
        set_up.play(name, "plain", user=BOB)
    assert set_up.inside == ["ada 1", "ada 2", "bob 1"]
    held = heard.next(NodeHeld)
    assert (held.kind, held.name, held.why) == ("user", "ada", "concurrency")
    set_up.open("ada 2")
    assert set_up.inside == ["ada 1", "bob 1", "ada 3"]
    assert set_up.figures("ada") == {"in_use": 2, "waiting": 0}


def test_nodes_that_call_nobody_are_no_calls_of_a_user(desk: Set) -> None:
    set_up = desk({"user": {"concurrency": 1}})
    set_up.play("busy", "plain")
    assert set_up.stage.attempt("template", {"text": "quick"}).output() == "quick"
    assert set_up.stage.attempt("output", {"value": 1}).output() == 1
    assert set_up.stage.attempt("wait", {"seconds": 60}).parked().kind == "timer"
    assert set_up.stage.attempt("approval", {}).parked().kind == "signal"


def test_limit_of_a_node_type_holds_its_attempts_back_before_they_begin(desk: Set) -> None:
    set_up = desk({"node_type": {"python": {"concurrency": 1}}})
    set_up.play("first", "plain")
    second = set_up.play("second", "plain")
    held = second.next(NodeHeld)
    assert (held.kind, held.name) == ("node_type", "python")
    assert set_up.stage.attempt("template", {"text": "quick"}).output() == "quick"
    set_up.open("first", "second")
    assert second.output() == "second"


def test_wait_for_a_provider_uses_up_no_node_type(desk: Set) -> None:
    limits = {**ONE, "node_type": {"python": {"concurrency": 2, "per_minute": 10}}}
    set_up = desk(limits)
    set_up.play("first")
    second = set_up.play("second")
    second.next(NodeHeld)
    assert set_up.figures("python") == {"in_use": 1, "waiting": 0}
    set_up.play("elsewhere", args={"provider": "local"})
    assert set_up.inside == ["first", "elsewhere"]
    set_up.open("first")
    assert set_up.inside == ["elsewhere", "second"]
    assert set_up.figures("python") == {"in_use": 2, "waiting": 0}
    limit = next(each for each in set_up.stage.runner.limit_figures() if each["name"] == "python")
    assert limit["last_minute"]["calls"] == 3


def test_retry_after_holds_every_call_with_the_key(desk: Set) -> None:
    set_up = desk({})
    failed = set_up.stage.play("refused", args={"seconds": 30.0, "key": "secret of ada"}).failed()
    assert (failed.error.type, failed.error.retry_after, failed.error.provider) == ("rate_limit", 30.0, "openai")
    same = set_up.play("same", args={"key": "secret of ada"})
    held = same.next(NodeHeld)
    assert (held.kind, held.name, held.why) == ("provider", "openai", "retry_after")
    assert held.until is not None
    assert 1020 < held.until <= 1030
    set_up.play("other", args={"key": "secret of bob"})
    set_up.play("elsewhere", args={"key": "secret of ada", "provider": "local"})
    assert set_up.inside == ["other", "elsewhere"]
    (limit,) = set_up.stage.runner.limit_figures()
    assert limit["held_until"] is not None
    assert "secret" not in repr(set_up.stage.runner.limits.__dict__)


def test_retry_after_is_bounded_and_ends(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"longest_hold": 0.1}}})
    set_up.stage.play("refused", args={"seconds": 3600.0}).failed()
    waiting = set_up.play("waiting")
    waiting.next(NodeHeld)
    waiting.next(NodeBegan)
    set_up.open("waiting")
    assert waiting.output() == "waiting"


def test_call_that_waits_for_something_else_than_before_says_so_and_that_it_waited_already(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"concurrency": 1, "each_key": True}}})
    set_up.play("first", args={"key": "k"})
    second = set_up.play("second", args={"key": "k"})
    assert not second.next(NodeHeld).again
    runner = set_up.stage.runner

    def look_again() -> None:
        runner.limits.hold("openai", "k", NodeFailure.of("rate_limit", "", retry_after=30.0).error)
        for call in [call for calls in runner._calls.values() for call in calls]:
            runner.mark_dirty(call)

    set_up.stage.on_loop(look_again)
    held = second.next(NodeHeld)
    assert (held.why, held.again, held.begun) == ("retry_after", True, False)


def test_call_whose_key_is_held_while_it_waits_for_the_provider_does_not_go(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"concurrency": 2}}})
    set_up.play("first")
    set_up.play("second")
    third = set_up.play("third", args={"key": "k"})
    third.next(NodeHeld)
    set_up.stage.on_loop(
        lambda: set_up.stage.runner.limits.hold(
            "openai", "k", NodeFailure.of("rate_limit", "", retry_after=30.0).error
        )
    )
    set_up.open("first")
    assert set_up.inside == ["second"]
    held = third.next(NodeHeld)
    assert (held.why, held.begun) == ("retry_after", False)
    set_up.play("fourth")
    assert set_up.inside == ["second", "fourth"]


def test_other_failures_hold_nobody(desk: Set) -> None:
    set_up = desk({})
    set_up.stage.play("refused", args={"seconds": 30.0, "type": "timeout"}).failed()
    set_up.stage.play("refused", args={"seconds": 0.0}).failed()
    set_up.play("next")
    assert set_up.inside == ["next"]


def test_each_key_has_a_limit_of_its_own_if_told_so(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"concurrency": 1, "each_key": True}}})
    for name in ("a 1", "a 2", "b 1", "b 2"):
        set_up.play(name, args={"key": name[0]})
    assert set_up.inside == ["a 1", "b 1"]


@pytest.mark.parametrize("is_begun", [False, True], ids=["before it begins", "at its provider"])
def test_cancel_ends_a_wait_at_once(desk: Set, is_begun: bool) -> None:
    set_up = desk(ONE if is_begun else {"node_type": {"python": {"concurrency": 1}}})
    set_up.play("first")
    second = set_up.play("second", execution_id=ANOTHER)
    second.next(NodeHeld)
    set_up.stage.runner.abort(ANOTHER)
    failed = second.failed()
    assert (failed.error.type, failed.begun) == ("cancelled", False)
    set_up.stage.settle()
    assert set_up.figures("openai" if is_begun else "python") == {"in_use": 1, "waiting": 0}
    set_up.open("first")
    assert set_up.came == ["first"]
    assert set_up.stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}


def test_what_waits_is_withdrawn_and_what_runs_goes_on(desk: Set) -> None:
    set_up = desk({"provider": {"openai": {"concurrency": 1}}, "user": {"concurrency": 3}})
    first, second, late = set_up.play("first"), set_up.play("second"), set_up.play("late", "late")
    unbegun = set_up.play("unbegun")
    second.next(NodeHeld)
    unbegun.next(NodeHeld)
    set_up.stage.runner.withdraw(AN_EXECUTION)
    for heard in (second, unbegun):
        failed = heard.failed()
        assert (failed.error.type, failed.begun) == ("cancelled", False)
    set_up.open("late")
    assert late.failed().begun is False
    assert set_up.came == ["first"]
    set_up.open("first")
    assert first.output() == "first"
    set_up.stage.settle()
    assert set_up.figures("openai") == {"in_use": 0, "waiting": 0}
    assert set_up.figures("ada") == {"in_use": 0, "waiting": 0}


def test_abandoned_call_keeps_no_turn_and_gets_no_other(desk: Set) -> None:
    set_up = desk(ONE)
    stubborn = set_up.play("stubborn", "stubborn")
    following = set_up.play("next", execution_id=ANOTHER)
    set_up.stage.runner.abort(AN_EXECUTION)
    assert stubborn.error().type == "cancelled"
    following.next(NodeBegan)
    assert set_up.stage.runner.figures()["abandoned"] == 1
    assert set_up.figures("openai") == {"in_use": 1, "waiting": 0}
    set_up.open("stubborn")
    set_up.stage.settle()
    assert set_up.stage.runner.figures()["abandoned"] == 0
    assert set_up.figures("openai") == {"in_use": 1, "waiting": 0}
    assert "stubborn again" not in set_up.came


def test_call_that_was_told_to_stop_gets_no_turn_where_nothing_is_limited_either(desk: Set) -> None:
    set_up = desk({}, abort_grace=LIMIT_SECONDS)
    stubborn = set_up.play("stubborn", "stubborn")
    set_up.stage.runner.abort(AN_EXECUTION)
    set_up.open("stubborn")
    assert stubborn.error().type == "cancelled"
    assert "stubborn again" not in set_up.came


def test_call_that_goes_on_after_it_was_told_to_stop_stands_in_no_line(desk: Set) -> None:
    set_up = desk(ONE, abort_grace=LIMIT_SECONDS)
    set_up.play("first", execution_id=ANOTHER)
    deaf = set_up.play("deaf", "deaf")
    deaf.next(NodeHeld)
    set_up.stage.runner.abort(AN_EXECUTION)
    set_up.stage.settle()
    assert set_up.came == ["first", "deaf stays"]
    assert set_up.figures("openai") == {"in_use": 1, "waiting": 0}
    set_up.open("first")
    assert set_up.figures("openai") == {"in_use": 0, "waiting": 0}
    set_up.open("deaf")
    assert deaf.error().type == "cancelled"


def test_call_that_is_stopped_while_it_waits_for_a_slot_again_keeps_none(desk: Set) -> None:
    set_up = desk(ONE, max_calls=2)
    first = set_up.play("first", "lingering")
    second = set_up.play("second", execution_id=ANOTHER)
    busy = set_up.play("busy", "plain")
    set_up.open("first")
    # The second has its turn, and waits for a slot to use it.
    assert set_up.inside == ["busy", "first after"]
    assert set_up.figures("openai") == {"in_use": 1, "waiting": 0}
    assert set_up.stage.runner.figures()["queued_calls"] == 1
    set_up.stage.runner.abort(ANOTHER)
    failed = second.failed()
    assert (failed.error.type, failed.begun) == ("cancelled", False)
    set_up.stage.settle()
    assert set_up.stage.runner.figures() == {"live_calls": 2, "queued_calls": 0, "abandoned": 0}
    set_up.open("busy", "first after")
    assert (busy.output(), first.output()) == ("busy", "first after")
    set_up.stage.settle()
    assert set_up.stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}
    assert set_up.figures("openai") == {"in_use": 0, "waiting": 0}


@pytest.mark.parametrize("seed", range(6))
def test_no_turn_is_lost_whatever_becomes_of_calls(desk: Set, seed: int) -> None:
    """Calls crash, are refused, are aborted, withdrawn and abandoned at random moments; in the end all is free."""
    chance = random.Random(seed)
    set_up = desk(
        {
            "provider": {"narrow": {"concurrency": 2}, "wide": {"tokens_per_minute": 1_000_000, "each_key": True}},
            "user": {"concurrency": 6, "tier": {"free": {"concurrency": 2}}},
            "node_type": {"python": {"concurrency": 5}},
        },
        max_calls=4,
    )
    heard: list[Heard] = []
    users = (ExecutionUser("ada"), BOB, ExecutionUser("cleo"))
    for number in range(150):
        execution_id = f"{chance.randrange(6):032x}"
        args = {"seed": seed * 1000 + number, "provider": chance.choice(("narrow", "narrow", "wide"))}
        heard.append(
            set_up.stage.play("wild", args=args, execution_id=execution_id, user=users[number % 3], number=number + 1)
        )
        if chance.random() < 0.1:
            set_up.stage.runner.abort(f"{chance.randrange(6):032x}", silently=chance.random() < 0.2)
        if chance.random() < 0.1:
            set_up.stage.runner.withdraw(f"{chance.randrange(6):032x}")
        if chance.random() < 0.2:
            set_up.stage.pass_time(0.005)
    _until(set_up, lambda: not set_up.stage.runner._calls and not set_up.stage.runner.figures()["abandoned"])
    assert set_up.stage.runner.figures() == {"live_calls": 0, "queued_calls": 0, "abandoned": 0}
    for each in set_up.stage.runner.limit_figures():
        assert (each["in_use"], each["waiting"]) == (0, 0), each
    assert set_up.most == 2
    assert max(len(each.ends) for each in heard) == 1
    begun = [end for each in heard for end in each.ends if not (isinstance(end, NodeFailed) and not end.begun)]
    assert len(begun) > 20


def _until(set_up: Desk, reached: Callable[[], bool]) -> None:
    for _ in range(int(LIMIT_SECONDS / 0.02)):
        if reached():
            return
        set_up.stage.pass_time(0.02)
    raise AssertionError("it did not come to an end")
