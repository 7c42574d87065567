"""What a run asks its actor to do, in order. Plain data: `Run.apply` returns it and does none of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class StartNode:
    """Hand an attempt at a node, or at one item of a foreach, to the node runner."""

    node_id: str
    item: int | None
    attempt: int


@dataclass(frozen=True, slots=True)
class DecideEdges:
    """Have the node runner evaluate the conditions that lead to a node."""

    node_id: str


@dataclass(frozen=True, slots=True)
class ExpandItems:
    """Have the node runner evaluate the `count` or `items` of a foreach."""

    node_id: str


@dataclass(frozen=True, slots=True)
class AbortCalls:
    """Have the node runner abort every attempt of this execution that is in flight."""


@dataclass(frozen=True, slots=True)
class WithdrawCalls:
    """Have the node runner give back every attempt of this execution with which nothing has been done yet."""


@dataclass(frozen=True, slots=True)
class ArmTimer:
    """Send `TimerFired` at this time (seconds since the Unix epoch); replaces the timer before it."""

    due: float


@dataclass(frozen=True, slots=True)
class SaveOutcome:
    """Store that the execution completed, with its outputs, and delete its checkpoint if it has one."""


@dataclass(frozen=True, slots=True)
class SaveCheckpoint:
    """Store the state and the new outputs so that any process can go on from here."""


Effect: TypeAlias = (
    StartNode | DecideEdges | ExpandItems | AbortCalls | WithdrawCalls | ArmTimer | SaveOutcome | SaveCheckpoint
)
