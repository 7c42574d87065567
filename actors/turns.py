"""The way of one call through limits: what it has passed, what it waits for, what is given back in the end.

A call passes the limits of its user, of its provider and of its node type, in this order, and while it waits for one
it keeps only those before it: so no two wait for each other, and what a node type may do is not used up by waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from offbook.actors.limiter import Limiter, Pass, Waiter
from offbook.actors.outcomes import as_stored_error
from offbook.nodes.context import NodeFailure

if TYPE_CHECKING:
    from offbook.actors.calls import Call
    from offbook.actors.runner import NodeRunner


@dataclass(frozen=True, slots=True)
class Standing:
    """What a call waits for."""

    kind: str
    """`provider`, `user` or `node_type`."""
    name: str
    why: str
    """`concurrency`, `per_minute`, `tokens_per_minute` or `retry_after`."""
    until: float | None
    """An estimate, by the clock of the limiters."""


class Passage:
    """What a call has passed, and what it waits for. Made for calls that any limit applies to."""

    __slots__ = (
        "_limiter",
        "_on_wait",
        "_passes",
        "_then",
        "_todo",
        "_tokens",
        "_user",
        "_waiter",
        "has_called",
        "lock",
        "seconds_used",
        "stopped_unbegun",
        "told",
    )

    def __init__(self, user: str, on_wait: Callable[[], None]) -> None:
        """`on_wait` hears that it has to wait (again, or for something else)."""
        self._user = user
        self._on_wait = on_wait
        self._passes: list[Pass] = []
        self._todo: list[tuple[Limiter, int]] = []
        self._then: Callable[[], None] | None = None
        self._limiter: Limiter | None = None
        self._waiter: Waiter | None = None
        self._tokens = 0
        self.told: Standing | None = None
        """What its execution was told that it waits for."""
        self.lock = asyncio.Lock()
        """Held while the way to a provider is walked."""
        self.has_called = False
        """Whether a provider was called in this attempt already."""
        self.seconds_used = 0.0
        """Of the attempt's time, before it waited for its provider."""
        self.stopped_unbegun = False
        """Whether it was stopped while it waited, with nothing done yet."""

    def standing(self) -> Standing | None:
        """Say what it waits for now; None if it waits for nothing."""
        limiter = self._limiter
        if limiter is None:
            return None
        found = limiter.expected(self._tokens)
        why, until = (found.why, found.until) if found is not None else ("concurrency", None)
        return Standing(limiter.kind, limiter.name, why, until)

    def walk(self, way: list[tuple[Limiter, int]], then: Callable[[], None]) -> None:
        """Pass each limiter, with the tokens that the call may take, then call; at once if nothing is to wait for."""
        self._todo = way[::-1]
        self._then = then
        self._go_on()

    def walk_on(self, limiter: Limiter) -> None:
        """Pass a further limiter at the end of the way that is being walked."""
        self._todo.insert(0, (limiter, 0))

    def give_back(self, limiter: Limiter, tokens: int) -> None:
        """Give the pass of one limiter back, after a call that took so many tokens."""
        if found := self._taken_out(limiter):
            found.give_back(tokens)

    def undo(self, limiter: Limiter) -> bool:
        """Give the pass of one limiter back, unused; return whether there was one."""
        found = self._taken_out(limiter)
        if found is not None:
            found.undo()
        return found is not None

    def stop(self) -> None:
        """Wait no more."""
        waiter, limiter = self._waiter, self._limiter
        self._waiter = self._limiter = self._then = None
        self._todo.clear()
        if waiter is not None and limiter is not None:
            limiter.leave(waiter)

    def end(self) -> None:
        """Wait no more, and give everything back; asked again it does nothing."""
        self.stop()
        passes, self._passes = self._passes, []
        for each in reversed(passes):
            each.give_back()

    def _taken_out(self, limiter: Limiter) -> Pass | None:
        for each in self._passes:
            if each.limiter is limiter:
                self._passes.remove(each)
                return each
        return None

    def _go_on(self) -> None:
        while self._todo:
            limiter, tokens = self._todo.pop()
            taken = limiter.enter(tokens)
            if taken is None:
                self._limiter, self._tokens = limiter, tokens
                self._waiter = waiter = Waiter(self._user, tokens, self._granted)
                limiter.wait(waiter)
                if self._waiter is waiter:
                    self._on_wait()
                return
            self._passes.append(taken)
        then, self._then = self._then, None
        if then is not None:
            then()

    def _granted(self) -> None:
        waiter, limiter = self._waiter, self._limiter
        assert waiter is not None
        assert limiter is not None
        self._waiter = self._limiter = None
        self._passes.append(limiter.fetch(waiter))
        self._go_on()


class ProviderTurn:
    """The turn of a call at its provider: entered once the limits let it through, left when the call is over.

    Entering it returns whether the call had to wait. A failure with a `Retry-After` that leaves through it has
    all calls with the same key wait as long.
    """

    __slots__ = ("_call", "_key", "_passed", "_provider", "_runner", "_tokens", "_tokens_before")

    def __init__(self, runner: NodeRunner, call: Call, provider: str, key: str | None, tokens: int) -> None:
        self._runner = runner
        self._call = call
        self._provider = provider
        self._key = key
        self._tokens = tokens
        self._tokens_before = 0
        self._passed: list[Limiter] = []

    async def __aenter__(self) -> bool:
        call, limits = self._call, self._runner.limits
        self._refuse_if_stopped()
        waited = False
        if limits.at_provider(self._provider, self._key):
            passage = call.passage or self._runner.make_passage(call)
            # A node may have several turns at once: their ways are walked one after the other.
            async with passage.lock:
                self._refuse_if_stopped()
                waited = await self._pass(passage)
            passage.has_called = True
        self._tokens_before = _tokens_of(call)
        return waited

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call = self._call
        if isinstance(error, NodeFailure) and error.error.retry_after:
            failed = as_stored_error(error.error)
            self._runner.limits.hold(self._provider, self._key, failed)
            error.error = replace(failed, provider=self._provider)
        if call.passage is not None:
            tokens = _tokens_of(call) - self._tokens_before
            for limiter in self._passed:
                call.passage.give_back(limiter, tokens)

    async def _pass(self, passage: Passage) -> bool:
        """Pass all limiters that there are for provider and key; return whether that had to wait."""
        limits, waited = self._runner.limits, False
        while way := limits.at_provider(self._provider, self._key):
            waited = await self._walk(passage, way) or waited
            if not any(each.is_held for each in way) and way == limits.at_provider(self._provider, self._key):
                self._passed = way
                break
            # Its key was held back while it waited for the provider itself.
            for limiter in way:
                passage.undo(limiter)
        return waited

    async def _walk(self, passage: Passage, way: list[Limiter]) -> bool:
        """Pass these limiters; return whether that had to wait."""
        call, runner = self._call, self._runner
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        passage.walk([(limiter, self._tokens) for limiter in way], partial(_resolve, passed))
        if passed.done():
            return False
        own = runner.limits.of_node_type(call.task.scope.node.body.type)
        if own is not None and passage.undo(own):
            passage.walk_on(own)
        runner.step_aside(call)
        try:
            await passed
            await runner.step_in(call)
        except BaseException:
            passage.stop()
            for limiter in way:
                passage.undo(limiter)
            raise
        return True

    def _refuse_if_stopped(self) -> None:
        """Let nobody in who was told to stop and goes on all the same."""
        if self._call.stop_reason or self._call.ended:
            raise NodeFailure.of("cancelled", f"the attempt was stopped: {self._provider} is not called any more")


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _tokens_of(call: Call) -> int:
    return call.tokens.input_tokens + call.tokens.output_tokens
