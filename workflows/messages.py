"""What can happen to a run. `Run.apply` takes each of these; time and chance come in with them.

`at` is seconds since the Unix epoch. Messages of the node runner carry the epoch and attempt they belong
to; those of another incarnation are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from offbook.workflows.budgets import Budget
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject, JsonValue, NodeError, Usage


@dataclass(frozen=True, slots=True)
class Recovered:
    """Supervisor to a new, restarted or resumed run: go on; everything unfinished starts (again)."""

    epoch: int
    at: float
    lost: str = ""
    """What of its work was not recorded (durability `exit`): `beginning`, `checkpoint`: it goes on from there."""


@dataclass(frozen=True, slots=True)
class TakenUp:
    """Supervisor to a run whose process went away: you are in memory again, in a new epoch; wait for your turn."""

    epoch: int
    at: float
    reads: int = 0
    writes: int = 0
    """What it has cost the database so far; from where it was last saved that is not to be seen."""
    user: ExecutionUser | None = None
    """Whose it is, where a resume as another user may have been stored and was not told; None: as before."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """Supervisor to a run whose actor or process went away: nothing is in flight; come to rest."""

    at: float


@dataclass(frozen=True, slots=True)
class NodeFinished:
    """Node runner: an attempt returned its output."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    output: JsonValue
    usage: Usage
    at: float
    model: str = ""
    """Which model it called; empty if it called none, or did not say."""


@dataclass(frozen=True, slots=True)
class NodeReused:
    """Node runner, in a fork: the attempt would depend on what the parent's did, whose output holds; nothing ran."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    at: float


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """Node runner: an attempt ended without an output; also when it was aborted (`error.type` cancelled)."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    error: NodeError
    at: float
    usage: Usage = NO_USAGE
    partial: str = ""
    """Text that had arrived before the attempt ended."""
    jitter: float = 0.5
    """A random number from 0 to 1, drawn by the runner, that spreads retries."""
    model: str = ""
    reasons: tuple[str, ...] = ()
    """Of each check that the output failed."""
    begun: bool = True
    """Whether anything was done in it; not if it was stopped while it waited for its turn."""


@dataclass(frozen=True, slots=True)
class NodeParked:
    """Node runner: the node waits, for a time or a signal, without occupying anything."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    kind: str
    """`timer` or `signal`; `budget`, from its account, if the attempt may not begin now."""
    name: str
    """The signal's name; for a timer, the node id; which budget."""
    until: float | None
    form: JsonObject | None
    """JSON Schema of the signal's payload; None accepts any."""
    default: JsonValue
    """Output when `until` passes; for a signal only if `has_default`."""
    has_default: bool
    at: float


@dataclass(frozen=True, slots=True)
class NodeProgressed:
    """Node runner: what a running attempt had to tell, coalesced."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    at: float
    fraction: float | None = None
    entries: tuple[tuple[str, str], ...] = ()
    """(kind, text) in order, kind one of progress, thinking, text."""
    usage: Usage | None = None
    """Tokens of this attempt so far."""
    model: str = ""
    """Which model used them; empty if the attempt did not say."""


@dataclass(frozen=True, slots=True)
class NodeHeld:
    """Node runner: an attempt waits for a limit, and has done nothing since."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    kind: str
    """Whose limit it is: `provider`, `user` or `node_type`."""
    name: str
    why: str
    """`concurrency`, `per_minute`, `tokens_per_minute` or `retry_after`."""
    until: float | None
    """An estimate; None: nobody knows."""
    at: float
    begun: bool = False
    """Whether it has called somebody already."""
    again: bool = False
    """Whether it waited before, for something else or until another time: that is shown, not recorded."""


@dataclass(frozen=True, slots=True)
class NodeBegan:
    """Node runner: an attempt that was held goes on."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    at: float


@dataclass(frozen=True, slots=True)
class EdgesDecided:
    """Node runner: the conditions of a node and of the edges that lead to it were evaluated."""

    node_id: str
    epoch: int
    edges: tuple[bool, ...]
    """One for each need of the node, in document order; False also where the predecessor was skipped."""
    taken: bool
    """What the node's own `when` gave."""
    at: float
    error: NodeError | None = None
    """Set if a condition could not be evaluated: the node fails with it."""


@dataclass(frozen=True, slots=True)
class ItemsExpanded:
    """Node runner: a foreach knows its items."""

    node_id: str
    epoch: int
    items: tuple[JsonValue, ...]
    at: float
    error: NodeError | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Execution actor: the time that the run waited for has come."""

    epoch: int
    at: float


@dataclass(frozen=True, slots=True)
class SignalReceived:
    """Caller: the answer that a node waits for. The payload has been checked against the form."""

    name: str
    payload: JsonValue
    at: float


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Caller: abort calls in flight, keep partial text, save a checkpoint."""

    at: float


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Caller: start nothing new, let calls in flight finish, save a checkpoint."""

    at: float


@dataclass(frozen=True, slots=True)
class InterruptRequested:
    """Supervisor: this worker goes away; start nothing, come to rest once nothing is in flight."""

    at: float
    abort: bool = True
    """Whether to abort the calls in flight, or let them finish."""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Caller or Supervisor: prepare to go on from what did not finish, in the given epoch."""

    epoch: int
    at: float
    guidance: str = ""
    user: ExecutionUser | None = None
    """On whose behalf it goes on, and whose it is from here on; None: as before."""
    reads: int = 0
    writes: int = 0
    """As in `TakenUp`."""


@dataclass(frozen=True, slots=True)
class BudgetSet:
    """Caller: what this execution may spend from now on; None: as much as its user may."""

    budget: Budget | None
    at: float


@dataclass(frozen=True, slots=True)
class BudgetFreed:
    """Account: there may be room again for the calls that wait for a budget."""

    at: float


@dataclass(frozen=True, slots=True)
class BudgetWarned:
    """Account: a budget is used up that only warns."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CrashedForGood:
    """Supervisor: the actor crashed more often than its restart policy allows."""

    epoch: int
    error: NodeError
    at: float


RunMessage: TypeAlias = (
    Recovered
    | TakenUp
    | CutOff
    | NodeFinished
    | NodeReused
    | NodeFailed
    | NodeParked
    | NodeProgressed
    | NodeHeld
    | NodeBegan
    | EdgesDecided
    | ItemsExpanded
    | TimerFired
    | SignalReceived
    | CancelRequested
    | PauseRequested
    | InterruptRequested
    | ResumeRequested
    | BudgetSet
    | BudgetFreed
    | BudgetWarned
    | CrashedForGood
)
