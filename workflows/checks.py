"""Checks of outputs as documents name them, and what those of a node come to. Examines no output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from offbook.workflows.types import CheckKindInfo
from offbook.workflows.values import JsonObject, JsonValue

CHECK_ATTEMPTS = 3
"""Attempts of a node with checks that says nothing of `check_retry`."""

MAX_REGENERATIONS = 20


def _one_entry(entry: str | dict[str, Any]) -> str | dict[str, Any]:
    if isinstance(entry, dict) and len(entry) != 1:
        raise ValueError("a check is a name, or one name with what it asks for: `{min_words: 300}`")
    return entry


CheckEntry: TypeAlias = Annotated[str | dict[str, Any], AfterValidator(_one_entry)]
"""`empty`, `{min_words: 300}`, or the name of a list under the workflow's `checks`."""


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One check of a node's output, as written: its kind, and what it asks for, perhaps with templates."""

    kind: str
    params: JsonValue
    group: str = ""
    """The workflow's list it comes from."""

    @property
    def label(self) -> str:
        return f"{self.kind} ({self.group})" if self.group else self.kind


def read_entry(entry: str | Mapping[str, JsonValue]) -> tuple[str, JsonValue]:
    """Return the name of an entry and what it asks for."""
    if isinstance(entry, str):
        return entry, None
    ((name, params),) = entry.items()
    return name, params


def resolve_checks(
    entries: Sequence[str | Mapping[str, JsonValue]], named: Mapping[str, Sequence[str | Mapping[str, JsonValue]]]
) -> tuple[CheckSpec, ...]:
    """Put the workflow's lists in place of their names; each check once."""
    found: list[CheckSpec] = []
    for entry in entries:
        name, params = read_entry(entry)
        if params is None and name in named:
            found.extend(CheckSpec(*read_entry(each), group=name) for each in named[name])
        else:
            found.append(CheckSpec(name, params))
    return tuple(each for position, each in enumerate(found) if each not in found[:position])


def params_of(kind: CheckKindInfo, written: JsonValue) -> JsonValue:
    """Return what a check asks for under the names of its parameters: `{min_words: 300}` is `{least: 300}`."""
    if written is None:
        return {}
    if kind.shorthand and (kind.always_short or not isinstance(written, Mapping)):
        params: JsonObject = {kind.shorthand: written}
        return params
    return written
