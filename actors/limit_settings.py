"""How many calls at once and in a minute may be made, per provider, user and node type. Read, never applied here."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offbook.nodes.text import did_you_mean
from offbook.workflows.errors import ConfigurationRefused
from offbook.workflows.toml_lines import KeyPath, TomlLines

LONGEST_HOLD = 300.0
"""Seconds that a provider may have all calls with one key wait, unless its table says otherwise."""

_COUNTS = ("concurrency", "per_minute")
_PROVIDER_FIELDS = (*_COUNTS, "tokens_per_minute", "each_key", "longest_hold")
_TABLES = ("provider", "user", "node_type")


class LimitsRefused(ConfigurationRefused):
    """The limits that an engine is to keep are wrong; says everything that is, and where."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"limits ({source}): {'; '.join(problems)}")


@dataclass(frozen=True, slots=True)
class Limit:
    """What is allowed of one thing; None is no limit."""

    concurrency: int | None = None
    """Calls under way at once."""
    per_minute: int | None = None
    """Calls begun within any 60 seconds."""
    tokens_per_minute: int | None = None
    """Tokens of the calls begun within any 60 seconds, asked for and answered."""
    each_key: bool = False
    """Whether each key of a provider has this limit of its own, or all calls share it."""
    longest_hold: float = LONGEST_HOLD
    """Seconds that the provider may have all calls with one key wait (`Retry-After`)."""


NO_LIMIT = Limit()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a worker."""

    providers: Mapping[str, Limit] = field(default_factory=dict)
    node_types: Mapping[str, Limit] = field(default_factory=dict)
    user: Limit | None = None
    """Of each user."""
    tiers: Mapping[str, Limit] = field(default_factory=dict)
    """Of each user of a tier, in place of `user`."""

    def of_user(self, tier: str) -> Limit | None:
        return self.tiers.get(tier, self.user)


NO_LIMITS = Limits()


def read_limits(source: Path | Mapping[str, Any] | None, node_types: Collection[str] | None = None) -> Limits:
    """Read a TOML file, or what would be in one; LimitsRefused names everything that is wrong, with its line.

    `node_types`: those there are.
    """
    if source is None:
        return NO_LIMITS
    if isinstance(source, Mapping):
        return _Reading("given to the engine", source, TomlLines(""), node_types).limits()
    try:
        text = source.read_text("utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise LimitsRefused(str(source), [f"cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise LimitsRefused(str(source), ["is no text in UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise LimitsRefused(str(source), [f"is no TOML: {error}"]) from None
    return _Reading(str(source), tables, TomlLines(text), node_types).limits()


class _Reading:
    """One set of tables, and what is wrong with them."""

    def __init__(
        self, source: str, tables: Mapping[str, Any], lines: TomlLines, node_types: Collection[str] | None
    ) -> None:
        self._source = source
        self._tables = tables
        self._lines = lines
        self._node_types = node_types
        self._problems: list[str] = []

    def limits(self) -> Limits:
        for name in self._tables:
            if name not in _TABLES:
                self._refuse((name,), f"there is no table {name!r}: {did_you_mean(name, _TABLES)}")
        providers = dict(self._named(("provider",), _PROVIDER_FIELDS))
        node_types = dict(self._named(("node_type",), _COUNTS))
        for name in node_types:
            if self._node_types is not None and name not in self._node_types:
                known = did_you_mean(name, self._node_types)
                self._refuse(("node_type", name), f"there is no node type {name!r}: {known}")
        user = self._table(self._tables.get("user", {}), ("user",))
        tiers = dict(self._named(("user", "tier"), _COUNTS))
        limit = self._limit({key: value for key, value in user.items() if key != "tier"}, ("user",), _COUNTS)
        if self._problems:
            raise LimitsRefused(self._source, self._problems)
        return Limits(providers, node_types, limit if limit != NO_LIMIT else None, tiers)

    def _named(self, path: KeyPath, fields: tuple[str, ...]) -> Iterator[tuple[str, Limit]]:
        """Yield the limits that stand under a table, each by its name."""
        tables: Any = self._tables
        for name in path:
            tables = tables.get(name, {}) if isinstance(tables, Mapping) else {}
        for name, values in self._table(tables, path).items():
            yield name, self._limit(self._table(values, (*path, name)), (*path, name), fields)

    def _table(self, values: Any, path: KeyPath) -> Mapping[str, Any]:
        if isinstance(values, Mapping):
            return values
        self._refuse(path, "must be a table")
        return {}

    def _limit(self, values: Mapping[str, Any], path: KeyPath, fields: tuple[str, ...]) -> Limit:
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in fields:
                self._refuse((*path, name), f"is no limit: {did_you_mean(name, fields)}")
            elif reason := _refusal(name, value):
                self._refuse((*path, name), reason)
            else:
                given[name] = value
        return Limit(**given)

    def _refuse(self, path: KeyPath, reason: str) -> None:
        line = self._lines.find(path)
        where = f"line {line}, " if line is not None else ""
        problem = f"{where}{'.'.join(path)}: {reason}"
        if problem not in self._problems:
            self._problems.append(problem)


def _refusal(name: str, value: Any) -> str:
    """Say what is wrong with a value; nothing if nothing is."""
    if name == "each_key":
        return "" if isinstance(value, bool) else "must be true or false"
    if name == "longest_hold":
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and 0 <= value <= 86_400 else "must be a number of seconds, up to a day"
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return "" if is_count else "must be a whole number, 1 or more"
