"""Small values that every layer shares: JSON, users, usage, ids and times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, or lists and str-keyed dicts of them. Never changed once an output."""

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExecutionUser:
    """On whose behalf, and with whose keys, an execution runs."""

    id: str
    role: str = "user"
    tier: str = ""

    def to_json(self) -> JsonObject:
        return {"id": self.id, "role": self.role, "tier": self.tier}

    @classmethod
    def from_json(cls, data: JsonObject) -> ExecutionUser:
        return cls(data["id"], data.get("role") or "user", data.get("tier") or "")


class Usage(NamedTuple):
    """Tokens that attempts consumed; `estimated` if any part was not the provider's own figure.

    A tuple because each step of a paid execution makes several.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    cost: int = 0
    """Billionths of the currency unit."""
    unpriced: bool = False
    """Whether some of the tokens had no price, so that the cost is not all of it."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override] # a sum, not a longer tuple
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.estimated or other.estimated,
            self.cost + other.cost,
            self.unpriced or other.unpriced,
        )

    def to_json(self) -> JsonObject:
        """Show the tokens to people; the money is shown apart."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
        }

    def to_state(self) -> list[JsonValue]:
        return list(self)

    @classmethod
    def from_state(cls, state: list[JsonValue]) -> Usage:
        return cls(*state)


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class NodeError:
    """Why an attempt failed, as data: never holds a key or a prompt."""

    type: str
    """rate_limit, timeout, idle_timeout, dropped, empty, invalid_key, validation, check_failed, crash,
    cancelled, or a node's own word."""
    message: str
    retryable: bool = False
    retry_after: float | None = None
    """Seconds the provider asked to wait before the next attempt."""
    hint: str = ""
    provider: str = ""
    """Whose `retry_after` it is, if a provider's."""

    def to_json(self) -> JsonObject:
        shown: JsonObject = {"type": self.type, "message": self.message, "hint": self.hint}
        if self.provider:
            shown["provider"] = self.provider
        return shown

    @classmethod
    def from_json(cls, data: JsonObject) -> NodeError:
        return cls(data["type"], data["message"], hint=data.get("hint", ""), provider=data.get("provider", ""))


def format_time(seconds: float | None) -> str | None:
    """Write seconds since the Unix epoch as `2026-11-23T16:32:05.123Z`; None stays None."""
    if seconds is None:
        return None
    milliseconds = int(seconds * 1000)
    return _format_second(milliseconds // 1000) + _FRACTIONS[milliseconds % 1000]


_FRACTIONS = tuple(f".{each:03d}Z" for each in range(1000))


@lru_cache(maxsize=4096)
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


DAY_SECONDS = 86_400


@lru_cache(maxsize=64)
def _format_day(day: int) -> str:
    return datetime.fromtimestamp(DAY_SECONDS * day, UTC).strftime("%Y-%m-%d")


def day_of(seconds: float) -> str:
    """Return the date in UTC of a time in Unix seconds: `2026-11-23`."""
    return _format_day(int(seconds // DAY_SECONDS))


def parse_time(text: str) -> float:
    """Read an ISO 8601 time, UTC unless it says otherwise, as Unix seconds; ValueError if it is not one."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
