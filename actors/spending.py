"""What users spent and may spend, for whoever may ask. The accounts decide; the ledger remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import date
from typing import Any

from loguru import logger

from offbook.actors.account_messages import GetAccount, KeepBudget
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.execution_messages import Command, SetBudget
from offbook.actors.loop import LoopFuture
from offbook.actors.surroundings import Surroundings
from offbook.workflows.budgets import (
    USER_SCOPES,
    Budget,
    BudgetScope,
    BudgetUnit,
    DeleteBudget,
    PutBudget,
    budget_problems,
)
from offbook.workflows.caller import Caller
from offbook.workflows.errors import BudgetNotFound, Forbidden, Problem, StorageUnavailable, ValidationFailed
from offbook.workflows.key_errors import UserNotFound
from offbook.workflows.ledger import Entry, LedgerReader, UserBooks
from offbook.workflows.money import cost_json
from offbook.workflows.values import NO_USAGE, JsonObject, Usage, day_of

ANSWER_SECONDS = 30.0
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
LONGEST_USER = 200


class Spending:
    """What can be asked of a worker about money. Users are told about theirs; only operators set budgets."""

    def __init__(
        self,
        around: Surroundings,
        directory: ExecutionDirectory,
        books: LedgerReader,
        pool: Executor,
        command: Callable[[Command, Caller], Awaitable[Any]],
    ) -> None:
        self._around = around
        self._directory = directory
        self._books = books
        self._pool = pool
        self._command = command

    async def usage(
        self, user_id: str, *, caller: Caller, first: str | None = None, last: str | None = None
    ) -> JsonObject:
        """Return what a user used from one day to another (UTC, both included), by day and by model.

        What live executions have used so far is in it, calls in flight are not.
        """
        _check_caller(user_id, caller)
        first, last = _days(first, last)
        # Before the ledger is read: what is stored meanwhile is found there, by its place.
        owed = {
            entry.execution_id: tuple(entry.run.unsettled)
            for entry in self._directory
            if entry.user_id == user_id and entry.run.unsettled
        }
        books = await asyncio.get_running_loop().run_in_executor(
            self._pool, self._books.user_books, user_id, first, last, tuple(owed)
        )
        return self._report(user_id, first, last, books, _fresh(owed, books, first, last))

    async def budgets(self, user_id: str, *, caller: Caller) -> JsonObject:
        """Return a user's budgets, each with what is spent of it and in flight."""
        _check_caller(user_id, caller)
        return {
            "user_id": user_id,
            "currency": self._around.currency,
            "budgets": await self._ask(GetAccount(user_id)),
        }

    async def put_budget(self, user_id: str, data: JsonObject, *, caller: Caller) -> JsonObject:
        """Set a user's budget of its scope and unit: `{scope, tokens | money, mode}`."""
        _check_operator(caller)
        problems = budget_problems(data, "budget", scopes=USER_SCOPES)
        if not user_id.strip() or len(user_id) > LONGEST_USER or not user_id.isprintable():
            message = f"a user id has 1 to {LONGEST_USER} printable characters"
            problems.append(Problem("bad-user", message, "user_id"))
        if problems:
            raise ValidationFailed(problems)
        budget = Budget.from_json(data)
        await self._ask(KeepBudget(PutBudget(user_id, budget)))
        _audit("budget set", user_id=user_id, budget=budget.name(self._around.currency), mode=budget.mode.value)
        return budget.to_json()

    async def delete_budget(self, user_id: str, scope: str, unit: str, *, caller: Caller) -> None:
        """Forget a user's budget; BudgetNotFound if there is none."""
        _check_operator(caller)
        if scope not in USER_SCOPES or unit not in tuple(BudgetUnit):
            raise BudgetNotFound(user_id, scope, unit)
        if not await self._ask(KeepBudget(DeleteBudget(user_id, BudgetScope(scope), BudgetUnit(unit)))):
            raise BudgetNotFound(user_id, scope, unit)
        _audit("budget deleted", user_id=user_id, scope=scope, unit=unit)

    async def set_execution_budget(self, execution_id: str, data: JsonObject, *, caller: Caller) -> None:
        """Say what an execution may spend from now on, all in all; an empty object: as much as its user may."""
        _check_operator(caller)
        budget = read_budget(data) if data else None
        await self._command(SetBudget(execution_id, budget), caller)
        _audit("budget set", execution_id=execution_id, budget=budget.name(self._around.currency) if budget else None)

    async def _ask(self, message: object) -> Any:
        accounts: Any = self._around.accounts
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await accounts.ask(message, block=False)
                while isinstance(answer, LoopFuture):
                    answer = await answer
                return answer
        except TimeoutError:
            raise StorageUnavailable(f"no answer within {ANSWER_SECONDS:g} s") from None

    def _report(
        self, user_id: str, first: str, last: str, books: UserBooks, fresh: list[tuple[str, Entry]]
    ) -> JsonObject:
        spent = [(each.day, each.model, each.usage) for each in books.spent]
        spent += [(entry.day, entry.model, entry.usage) for _, entry in fresh]
        by_day: dict[str, Usage] = {}
        by_model: dict[str, Usage] = {}
        total = NO_USAGE
        for day, model, usage in spent:
            by_day[day] = by_day.get(day, NO_USAGE) + usage
            by_model[model] = by_model.get(model, NO_USAGE) + usage
            total = total + usage
        stored = {each.execution_id for each in books.entered if first <= each.entry.day <= last}
        return {
            "user_id": user_id,
            "from": first if first != FIRST_DAY else None,
            "to": last if last != LAST_DAY else None,
            **self._shown(total),
            "executions": books.executions + len({execution_id for execution_id, _ in fresh} - stored),
            "reserved": self._shown(books.reserved),
            "saved": self._shown(books.saved, by_kind=False),
            "by_day": [{"day": day, **self._shown(by_day[day])} for day in sorted(by_day)],
            "by_model": [{"model": model or None, **self._shown(by_model[model])} for model in sorted(by_model)],
        }

    def _shown(self, usage: Usage, *, by_kind: bool = True) -> JsonObject:
        tokens = usage.to_json() if by_kind else {"tokens": usage.tokens}
        return {**tokens, "cost": cost_json(usage, self._around.currency)}


def read_budget(data: JsonObject) -> Budget:
    """Read an execution's budget as somebody wrote it: `{tokens | money, mode}`; ValidationFailed if it is none."""
    problems = budget_problems(data, "budget")
    if problems:
        raise ValidationFailed(problems)
    return Budget.from_json(data)


def _fresh(owed: dict[str, tuple[Entry, ...]], books: UserBooks, first: str, last: str) -> list[tuple[str, Entry]]:
    """Return what the ledger does not have yet."""
    entered = {(each.execution_id, each.entry.place) for each in books.entered}
    return [
        (execution_id, entry)
        for execution_id, entries in owed.items()
        for entry in entries
        if (execution_id, entry.place) not in entered and first <= entry.day <= last
    ]


def _days(first: str | None, last: str | None) -> tuple[str, str]:
    problems = []
    for name, text in (("from", first), ("to", last)):
        try:
            if text is not None and date.fromisoformat(text).isoformat() != text:
                raise ValueError
        except ValueError:
            problems.append(Problem("bad-parameter", f"{name}={text!r}: expected a date, {day_of(0.0)}", name))
    if not problems and first and last and first > last:
        problems.append(Problem("bad-parameter", f"from={first} is after to={last}", "from"))
    if problems:
        raise ValidationFailed(problems)
    return first or FIRST_DAY, last or LAST_DAY


def _check_caller(user_id: str, caller: Caller) -> None:
    if not caller.may_see(user_id):
        raise UserNotFound(user_id)


def _check_operator(caller: Caller) -> None:
    if not caller.is_operator:
        raise Forbidden(None, "only an operator sets budgets")


def _audit(what: str, **fields: object) -> None:
    logger.bind(audit=True).info(what, **fields)
