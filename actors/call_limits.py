"""The limits that a worker keeps: a limiter for each user, provider, key and node type. Lets nobody through.

Everything here runs on the node runner's loop but `figures`.
"""

from __future__ import annotations

import hashlib
import secrets

from offbook.actors.limit_settings import NO_LIMIT, NO_LIMITS, Limit, Limits
from offbook.actors.limiter import Limiter, Timers
from offbook.workflows.values import ExecutionUser, JsonObject, NodeError, format_time

HELD_FOR = frozenset({"rate_limit", "server_error"})
"""Errors whose `Retry-After` is meant for all calls with the key."""
SWEEP_AT = 1000
"""Limiters past which those of users and keys that have nothing to do are forgotten."""


class CallLimits:
    """Every limiter of a worker, made when it is first needed."""

    def __init__(self, limits: Limits | None, timers: Timers) -> None:
        self._limits = limits or NO_LIMITS
        self._timers = timers
        self._limiters: dict[tuple[str, ...], Limiter] = {}
        self._sweep_at = SWEEP_AT
        self._salt = secrets.token_bytes(16)
        self.any_at_start = bool(self._limits.user or self._limits.tiers or self._limits.node_types)
        """Whether any call may have to wait before it begins."""
        for name, limit in self._limits.node_types.items():
            self._limiters["node_type", name] = Limiter("node_type", name, limit, timers)
        for name, limit in self._limits.providers.items():
            if not limit.each_key:
                self._limiters["provider", name] = Limiter("provider", name, limit, timers)

    def at_start(self, user: ExecutionUser | None, node_type: str, *, is_call: bool) -> list[Limiter]:
        """Return what an attempt has to pass before it begins."""
        found = [self._of_user(user) if is_call else None, self.of_node_type(node_type)]
        return [each for each in found if each is not None]

    def at_provider(self, provider: str, key: str | None) -> list[Limiter]:
        """Return what a call has to pass before its provider is asked: what holds its key back, and the provider."""
        if not self._limiters and not self._limits.providers:
            return []
        found = [self._of_key(provider, key), self._limiters.get(("provider", provider))]
        return [each for each in found if each is not None]

    def of_node_type(self, name: str) -> Limiter | None:
        return self._limiters.get(("node_type", name))

    def hold(self, provider: str, key: str | None, error: NodeError) -> None:
        """Have calls with this key wait as long as the provider asked for, within bounds."""
        limit = self._limits.providers.get(provider, NO_LIMIT)
        seconds = min(error.retry_after or 0.0, limit.longest_hold)
        if error.type in HELD_FOR and seconds > 0:
            own = limit if limit.each_key else NO_LIMIT
            self._made(("provider", provider, self._digest(key)), provider, own).hold(self._timers.time() + seconds)

    def figures(self, wall: float) -> list[JsonObject]:
        """Return what is in use and who waits, of every limit that was set or has something to do; from any thread.

        `wall`: the time now, in seconds since the Unix epoch.
        """
        limiters = sorted(self._limiters.copy().values(), key=lambda each: (each.kind, each.name))
        return [_figures_of(each, wall, self._timers.time()) for each in limiters]

    def close(self) -> None:
        """Wake nobody any more."""
        for limiter in self._limiters.values():
            limiter.close()

    def _of_user(self, user: ExecutionUser | None) -> Limiter | None:
        limit = self._limits.of_user(user.tier) if user is not None else None
        if user is None or limit is None:
            return None
        return self._made(("user", user.id, user.tier), user.id, limit)

    def _of_key(self, provider: str, key: str | None) -> Limiter | None:
        limit = self._limits.providers.get(provider, NO_LIMIT)
        place = ("provider", provider, self._digest(key))
        return self._made(place, provider, limit) if limit.each_key else self._limiters.get(place)

    def _made(self, place: tuple[str, ...], name: str, limit: Limit) -> Limiter:
        limiter = self._limiters.get(place)
        if limiter is None:
            if len(self._limiters) >= self._sweep_at:
                self._sweep()
            self._limiters[place] = limiter = Limiter(place[0], name, limit, self._timers)
        return limiter

    def _sweep(self) -> None:
        for place, limiter in list(self._limiters.items()):
            if len(place) > 2 and limiter.is_idle:
                limiter.close()
                del self._limiters[place]
        self._sweep_at = max(SWEEP_AT, 2 * len(self._limiters))

    def _digest(self, key: str | None) -> str:
        """Tell keys apart without keeping any."""
        return hashlib.blake2b(key.encode(), key=self._salt, digest_size=12).hexdigest() if key else ""


def _figures_of(limiter: Limiter, wall: float, now: float) -> JsonObject:
    limit, held = limiter.limit, limiter.held_until
    calls, tokens = limiter.used_in_a_minute()
    return {
        "kind": limiter.kind,
        "name": limiter.name,
        "in_use": limiter.in_use,
        "waiting": limiter.waiting,
        "concurrency": limit.concurrency,
        "per_minute": limit.per_minute,
        "tokens_per_minute": limit.tokens_per_minute,
        "last_minute": {"calls": calls, "tokens": tokens},
        "held_until": format_time(wall + held - now) if held > now else None,
    }
