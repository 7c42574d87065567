"""Run messages as journal records, and back. Knows no database."""

from __future__ import annotations

from typing import Any, cast

import orjson

from offbook.workflows.budgets import Budget, BudgetMode, BudgetScope, BudgetUnit
from offbook.workflows.errors import OffbookError
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    BudgetWarned,
    CancelRequested,
    CrashedForGood,
    CutOff,
    EdgesDecided,
    InterruptRequested,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeReused,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject, JsonValue, NodeError, Usage

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        Recovered,
        TakenUp,
        CutOff,
        NodeFinished,
        NodeReused,
        NodeFailed,
        NodeParked,
        NodeHeld,
        NodeBegan,
        EdgesDecided,
        ItemsExpanded,
        TimerFired,
        SignalReceived,
        CancelRequested,
        PauseRequested,
        InterruptRequested,
        ResumeRequested,
        BudgetSet,
        BudgetFreed,
        BudgetWarned,
        CrashedForGood,
    )
}

COMMANDS = (SignalReceived, CancelRequested, PauseRequested, ResumeRequested, Recovered, TakenUp, CutOff, BudgetSet)
"""What is recorded in every mode: somebody was told that it was accepted, or it opens an epoch."""


class RecordUnreadable(OffbookError):
    """A journal record is torn, or was written by a newer version of Offbook."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"a journal record cannot be read: {detail}")


def encode(message: RunMessage) -> bytes:
    """Write a message as a record."""
    return orjson.dumps([type(message).__name__, message], default=_as_list)


def decode(record: bytes) -> RunMessage:
    """Read a record; RecordUnreadable if it is not one."""
    try:
        name, fields = orjson.loads(record)
        kind = _KINDS[name]
        return cast("RunMessage", kind(**_restored(fields)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordUnreadable(f"{type(error).__name__}: {error}") from None


def _as_list(usage: object) -> list[JsonValue]:
    """Write what orjson takes for no JSON: of messages the usage alone."""
    if isinstance(usage, Usage):
        return list(usage)
    raise TypeError(f"a record has no word for {type(usage).__name__}")


def _restored(fields: JsonObject) -> JsonObject:
    """Turn what JSON has no word for back into our own values."""
    if fields.get("error") is not None:
        fields["error"] = NodeError(**fields["error"])
    if "usage" in fields and fields["usage"] is not None:
        usage = Usage(*fields["usage"])
        fields["usage"] = usage if usage != NO_USAGE else NO_USAGE
    if fields.get("user") is not None:
        fields["user"] = ExecutionUser(**fields["user"])
    if fields.get("budget") is not None:
        fields["budget"] = _budget(**fields["budget"])
    for name in ("edges", "items", "reasons"):
        if name in fields:
            fields[name] = tuple(fields[name])
    return fields


def _budget(scope: str, unit: str, amount: int, mode: str) -> Budget:
    return Budget(BudgetScope(scope), BudgetUnit(unit), amount, BudgetMode(mode))
