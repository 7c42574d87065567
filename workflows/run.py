"""A run and all that can change it: no actor, no clock, no I/O, no randomness, no template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from offbook.workflows.effects import Effect
from offbook.workflows.errors import IllegalTransition, NotResumable, StaleMessage
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
    NodeProgressed,
    NodeReused,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.transitions import attempts, budgets, decisions, epochs, resumes, stops, waits
from offbook.workflows.transitions.advance import advance


class Run(RunState):
    """The state of one execution and all that can change it. Only its own actor calls `apply`."""

    __slots__ = ()

    _handlers: ClassVar[dict[type[Any], Callable[..., None]]] = {
        Recovered: epochs.recovered,
        TakenUp: epochs.taken_up,
        NodeProgressed: attempts.progressed,
        NodeHeld: attempts.held_back,
        NodeBegan: attempts.began,
        NodeFinished: attempts.finished,
        NodeReused: attempts.reused,
        NodeFailed: attempts.failed,
        NodeParked: attempts.parked,
        EdgesDecided: decisions.edges_decided,
        ItemsExpanded: decisions.items_expanded,
        TimerFired: waits.timer_fired,
        SignalReceived: waits.signal_received,
        BudgetSet: budgets.budget_set,
        BudgetFreed: budgets.budget_freed,
        BudgetWarned: budgets.budget_warned,
        CancelRequested: stops.cancel_requested,
        PauseRequested: stops.pause_requested,
        InterruptRequested: stops.interrupt_requested,
        CutOff: stops.cut_off,
        CrashedForGood: stops.crashed_for_good,
        ResumeRequested: resumes.resume_requested,
    }

    def apply(self, message: RunMessage) -> list[Effect]:
        """Change this run by one message; return what its actor must do, in order.

        Raises StaleMessage for another epoch's or attempt's message, IllegalTransition or NotResumable for a
        command that does not fit; each changes nothing.
        """
        handler = self._handlers[type(message)]
        at: float = message.at
        before = self.now
        if at > before:
            self.now = at
        self.revision += 1
        effects: list[Effect] = []
        try:
            handler(self, message, effects)
        except (StaleMessage, IllegalTransition, NotResumable):
            self.revision -= 1
            self.now = before
            raise
        advance(self, effects)
        return effects

    def has_heard(self, message: CancelRequested | PauseRequested) -> bool:
        """Whether a command asks for what happens already."""
        if isinstance(message, CancelRequested):
            return ExecutionStatus.CANCELLED in (self.stopping, self.status)
        ending = self.stopping in (ExecutionStatus.PAUSED, ExecutionStatus.CANCELLED, ExecutionStatus.FAILED)
        return self.status is ExecutionStatus.PAUSED or (ending and not self.status.at_rest)
