"""One limit of calls and those that wait for it, in turn by user. Knows no call: it says who may go on, and when.

Every figure is exact: within any 60 seconds no more than `per_minute` calls begin. All of it runs on one thread.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from offbook.actors.limit_settings import Limit

WINDOW = 60.0
"""Seconds of a minute."""


class Timer(Protocol):
    """What can be called off."""

    def cancel(self) -> object: ...


class Timers(Protocol):
    """A clock, and what calls back at a time of it: an event loop is one."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


@dataclass(eq=False, slots=True)
class Waiter:
    """Somebody who waits for a limiter."""

    user: str
    tokens: int
    granted: Callable[[], None]
    """Called once, when it may go on."""


@dataclass(eq=False, slots=True)
class Spent:
    """Tokens of one call that has begun: at first those it is expected to take."""

    at: float
    tokens: int
    counts: bool = True
    """Whether it is less than a minute ago."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nobody may go on now."""

    why: str
    """`concurrency`, `per_minute`, `tokens_per_minute` or `retry_after`."""
    until: float | None
    """When that ends, by the limiter's clock; None: nobody knows."""


@dataclass(eq=False, slots=True)
class Pass:
    """One call that a limiter has let through, until it is given back."""

    limiter: Limiter
    at: float
    spent: Spent | None = None
    is_back: bool = False

    def give_back(self, tokens: int | None = None) -> None:
        """The call is over, having taken so many tokens, if that is known; asked again it does nothing."""
        if not self.is_back:
            self.is_back = True
            self.limiter.give_back(self, tokens)

    def undo(self) -> None:
        """The call was never made."""
        if not self.is_back:
            self.is_back = True
            self.limiter.undo(self)


class Limiter:
    """Lets calls through as its limit allows: users in turn, and each user's calls in the order they came."""

    def __init__(self, kind: str, name: str, limit: Limit, timers: Timers) -> None:
        self.kind = kind
        """`provider`, `user` or `node_type`."""
        self.name = name
        self.limit = limit
        self.in_use = 0
        self.held_until = 0.0
        """Until when nobody goes on, by the clock of `timers`."""
        self.waiting = 0
        self._timers = timers
        self._begun: deque[float] = deque()
        """When the calls of the last minute began."""
        self._spent: deque[Spent] = deque()
        self._tokens = 0
        self._lines: OrderedDict[str, OrderedDict[Waiter, None]] = OrderedDict()
        """Who waits, by user; the user whose turn it is comes first."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._serving = False
        self._passes: dict[Waiter, Pass] = {}
        """Of those who were just let through and have not fetched it yet."""

    @property
    def is_idle(self) -> bool:
        """Whether forgetting it would change nothing."""
        now = self._timers.time()
        self._forget(now)
        return not (self.in_use or self.waiting or self._begun or self._spent or now < self.held_until)

    @property
    def is_held(self) -> bool:
        """Whether a provider asked that nobody goes on now."""
        return self._timers.time() < self.held_until

    def enter(self, tokens: int = 0) -> Pass | None:
        """Let a call through at once; None if it has to wait."""
        if self.waiting or self.obstacle(tokens) is not None:
            return None
        return self._take(tokens)

    def wait(self, waiter: Waiter) -> None:
        """Stand in line; `granted` may be called before this returns. `fetch` has the pass then."""
        self._lines.setdefault(waiter.user, OrderedDict())[waiter] = None
        self.waiting += 1
        self._serve()

    def fetch(self, waiter: Waiter) -> Pass:
        """Return the pass of one that was granted it, once."""
        return self._passes.pop(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Wait no more; what was granted and not fetched is undone."""
        granted = self._passes.pop(waiter, None)
        if granted is not None:
            granted.undo()
            return
        line = self._lines.get(waiter.user)
        if line is None or waiter not in line:
            return
        del line[waiter]
        if not line:
            del self._lines[waiter.user]
        self.waiting -= 1
        # It may have been one of many tokens that those after it waited behind.
        self._serve()

    def hold(self, until: float) -> None:
        """Let nobody through before a time."""
        if until > self.held_until:
            self.held_until = until
            self._serve()

    def obstacle(self, tokens: int = 0) -> Obstacle | None:
        """Say why a call would have to wait now, also if nobody else does; None if it would not."""
        now = self._timers.time()
        if now < self.held_until:
            return Obstacle("retry_after", self.held_until)
        limit = self.limit
        if limit.concurrency is not None and self.in_use >= limit.concurrency:
            return Obstacle("concurrency", None)
        self._forget(now)
        if limit.per_minute is not None and len(self._begun) >= limit.per_minute:
            return Obstacle("per_minute", self._begun[0] + WINDOW)
        if limit.tokens_per_minute is not None:
            most = limit.tokens_per_minute
            # What needs more than a minute has is alone in its minute.
            excess = self._tokens + min(tokens, most) - most
            if excess > 0:
                return Obstacle("tokens_per_minute", self._when_free(excess))
        return None

    def expected(self, tokens: int) -> Obstacle | None:
        """Say why one that stands last in line waits, and estimate until when."""
        found = self.obstacle(tokens)
        if found is None or found.why != "per_minute" or self.limit.per_minute is None:
            return found
        turns, place = divmod(max(0, self.waiting - 1), self.limit.per_minute)
        return Obstacle(found.why, self._begun[place] + WINDOW * (1 + turns))

    def used_in_a_minute(self) -> tuple[int, int]:
        """Return the calls and tokens of the last 60 seconds."""
        now = self._timers.time()
        begun = sum(1 for at in list(self._begun) if at + WINDOW > now)
        return begun, sum(each.tokens for each in list(self._spent) if each.at + WINDOW > now)

    def give_back(self, given: Pass, tokens: int | None) -> None:
        """A pass comes back; through `Pass.give_back` only."""
        self.in_use -= 1
        if given.spent is not None and tokens is not None:
            self._correct(given.spent, tokens)
        self._serve()

    def undo(self, given: Pass) -> None:
        """A pass comes back unused; through `Pass.undo` only."""
        self.in_use -= 1
        if self.limit.per_minute is not None and given.at in self._begun:
            self._begun.remove(given.at)
        if given.spent is not None:
            self._correct(given.spent, 0)
        self._serve()

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, tokens: int) -> Pass:
        now = self._timers.time()
        self.in_use += 1
        taken = Pass(self, now)
        if self.limit.per_minute is not None:
            self._begun.append(now)
        if self.limit.tokens_per_minute is not None:
            taken.spent = Spent(now, min(tokens, self.limit.tokens_per_minute))
            self._spent.append(taken.spent)
            self._tokens += taken.spent.tokens
        return taken

    def _correct(self, spent: Spent, tokens: int) -> None:
        if spent.counts:
            self._tokens += tokens - spent.tokens
            spent.tokens = tokens

    def _serve(self) -> None:
        """Let through whoever may go on, and be called again when time alone lets the next one."""
        if self._serving:
            return
        self._serving = True
        found: Obstacle | None = None
        try:
            while self._lines:
                user, line = next(iter(self._lines.items()))
                waiter = next(iter(line))
                found = self.obstacle(waiter.tokens)
                if found is not None:
                    break
                del line[waiter]
                self.waiting -= 1
                if line:
                    self._lines.move_to_end(user)
                else:
                    del self._lines[user]
                self._passes[waiter] = self._take(waiter.tokens)
                waiter.granted()
        finally:
            self._serving = False
        until = found.until if self._lines and found is not None else None
        if self._timer is not None and self._timer_at == until:
            return
        self.close()
        if until is not None:
            self._timer_at = until
            self._timer = self._timers.call_at(until, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._serve()

    def _forget(self, now: float) -> None:
        """Forget what is a minute ago; compared as its end is computed, since sums of floats cannot be undone."""
        begun, spent = self._begun, self._spent
        while begun and begun[0] + WINDOW <= now:
            begun.popleft()
        while spent and spent[0].at + WINDOW <= now:
            gone = spent.popleft()
            gone.counts = False
            self._tokens -= gone.tokens

    def _when_free(self, tokens: int) -> float | None:
        """Return when so many of the tokens spent will be more than a minute old."""
        for each in self._spent:
            tokens -= each.tokens
            if tokens <= 0:
                return each.at + WINDOW
        return None
