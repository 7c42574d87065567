"""What may be spent: by a user in a day, a month or for good, and by one execution. Keeps no sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from offbook.workflows.errors import Problem
from offbook.workflows.money import CURRENCY, LARGEST, format_amount, parse_amount
from offbook.workflows.values import JsonObject, JsonValue, Usage, day_of


class BudgetScope(StrEnum):
    """What a budget is for."""

    EXECUTION = "execution"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class BudgetUnit(StrEnum):
    """What it counts."""

    TOKENS = "tokens"
    MONEY = "money"


class BudgetMode(StrEnum):
    """What happens at its end."""

    WARN = "warn"
    """It is said, and work goes on."""
    HARD = "hard"
    """Calls wait until there is room again."""


USER_SCOPES = (BudgetScope.TOTAL, BudgetScope.MONTH, BudgetScope.DAY)
_FOR = {BudgetScope.EXECUTION: "for this execution", BudgetScope.DAY: "a day", BudgetScope.MONTH: "a month"}


@dataclass(frozen=True, slots=True)
class Budget:
    """So many tokens, or so much money."""

    scope: BudgetScope
    unit: BudgetUnit
    amount: int
    """Tokens, or billionths of the currency unit."""
    mode: BudgetMode = BudgetMode.HARD

    def of(self, usage: Usage) -> int:
        """Return what of a usage this budget counts."""
        return usage.tokens if self.unit is BudgetUnit.TOKENS else usage.cost

    def shown(self, amount: int) -> JsonValue:
        """Write an amount in this budget's unit: a number of tokens, or money as text."""
        return amount if self.unit is BudgetUnit.TOKENS else format_amount(amount)

    def name(self, currency: str = CURRENCY) -> str:
        """Name this budget for people: `5000 tokens a day`, `1.50 USD for this execution`."""
        unit = "tokens" if self.unit is BudgetUnit.TOKENS else currency
        return f"{self.shown(self.amount)} {unit} {_FOR.get(self.scope, 'in total')}"

    def to_json(self) -> JsonObject:
        return {"scope": self.scope.value, self.unit.value: self.shown(self.amount), "mode": self.mode.value}

    @classmethod
    def from_json(cls, data: JsonObject) -> Self:
        """Read what `to_json` wrote, or a document's budget, which has no scope; both are valid."""
        unit = BudgetUnit.TOKENS if data.get("tokens") is not None else BudgetUnit.MONEY
        amount = data["tokens"] if unit is BudgetUnit.TOKENS else parse_amount(data["money"])
        scope = BudgetScope(data.get("scope", BudgetScope.EXECUTION))
        return cls(scope, unit, amount, BudgetMode(data.get("mode", BudgetMode.HARD)))


def budget_problems(data: JsonObject, path: str, *, scopes: tuple[BudgetScope, ...] = ()) -> list[Problem]:
    """Return everything that is wrong with a budget as somebody wrote it; `scopes`: those it may name, and must."""
    known = ("scope", "tokens", "money", "mode") if scopes else ("tokens", "money", "mode")
    problems = [
        Problem(
            "unknown-field",
            f"{path}.{name}: is not a field here",
            f"{path}.{name}",
            hint=f"known: {', '.join(known)}",
        )
        for name in data
        if name not in known
    ]

    def refuse(name: str, message: str) -> None:
        problems.append(Problem("bad-budget", f"{path}.{name}: {message}", f"{path}.{name}"))

    tokens, money = data.get("tokens"), data.get("money")
    if (tokens is None) is (money is None):
        problems.append(
            Problem(
                "bad-budget",
                f"{path}: give either tokens or money",
                path,
                hint='{"tokens": 50000} or {"money": "1.50"}',
            )
        )
    elif tokens is not None and (
        not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens <= LARGEST
    ):
        refuse("tokens", f"must be a whole number from 0 to {LARGEST}")
    elif money is not None:
        try:
            parse_amount(money if isinstance(money, str) else "")
        except ValueError as error:
            refuse("money", f"must be text: {error}")
    modes = [mode.value for mode in BudgetMode]
    if data.get("mode") not in (None, *modes):
        refuse("mode", f"must be one of {', '.join(modes)}")
    if scopes and data.get("scope") not in scopes:
        refuse("scope", f"must be one of {', '.join(scopes)}")
    return problems


def begin_of(scope: BudgetScope, at: float) -> str:
    """Return the first day, in UTC, of the period that a time is in."""
    if scope is BudgetScope.DAY:
        return day_of(at)
    return f"{day_of(at)[:7]}-01" if scope is BudgetScope.MONTH else ""


def end_of(scope: BudgetScope, at: float) -> float | None:
    """Return when the period that a time is in ends, in Unix seconds; None: never."""
    midnight = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if scope is BudgetScope.DAY:
        return (midnight + timedelta(days=1)).timestamp()
    if scope is BudgetScope.MONTH:
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp()
    return None


@dataclass(frozen=True, slots=True)
class PutBudget:
    """Write: this is the user's budget of its scope and unit from now on."""

    user_id: str
    budget: Budget


@dataclass(frozen=True, slots=True)
class DeleteBudget:
    """Write: forget the user's budget of a scope and unit; not applied if there is none."""

    user_id: str
    scope: BudgetScope
    unit: BudgetUnit
