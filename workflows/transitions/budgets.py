"""What a run hears of budgets: another one, room in one, one that is used up. Asks for none."""

from __future__ import annotations

from offbook.workflows.effects import Effect
from offbook.workflows.errors import IllegalTransition, StaleMessage
from offbook.workflows.messages import BudgetFreed, BudgetSet, BudgetWarned
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus, StepKind
from offbook.workflows.transitions import calls


def budget_set(run: RunState, message: BudgetSet, effects: list[Effect]) -> None:
    if run.status.at_rest:
        raise IllegalTransition(run.execution_id, run.status, "another budget")
    run.budget = message.budget
    _try_held_back(run, effects)


def budget_freed(run: RunState, message: BudgetFreed, effects: list[Effect]) -> None:
    if run.status.at_rest:
        raise StaleMessage("there is room in a budget for what has come to rest")
    _try_held_back(run, effects)


def budget_warned(run: RunState, message: BudgetWarned, effects: list[Effect]) -> None:
    if message.name in run.warned:
        raise StaleMessage(f"of the budget {message.name} was warned before")
    run.warned = (*run.warned, message.name)
    text = f"the budget is used up: {message.name}"
    run.steps.add(run.now, None, None, StepKind.WARNING, text, run.revision)


def _try_held_back(run: RunState, effects: list[Effect]) -> None:
    if run.stopping is None and run.status not in (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING):
        for node, item, work in run.waiting:
            if work.is_held_back:
                calls.try_again(run, node, item, work, effects)
