"""What executions, accounts and their parent tell each other about money. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from offbook.workflows.budgets import Budget, DeleteBudget, PutBudget
from offbook.workflows.ledger import Entry, SettledEntry
from offbook.workflows.values import Usage

if TYPE_CHECKING:
    from pykka import ActorRef

# To an execution


@dataclass(frozen=True, slots=True)
class CallAllowed:
    """Account to an execution: the attempt may begin; what it may use is reserved until `CallEnded`."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CallHeldBack:
    """Account to an execution: there is no room for the attempt; `BudgetFreed` says when to ask again."""

    node_id: str
    item: int | None
    attempt: int
    epoch: int
    budget: str
    until: float | None


@dataclass(frozen=True, slots=True)
class AccountLost:
    """Accounts to an execution: its account crashed, and what was asked of it is forgotten: ask the new one."""


# To an account, by way of Accounts


@dataclass(frozen=True, slots=True)
class AskCall:
    """Execution to its user's account: may this attempt begin? `CallAllowed` or `CallHeldBack` comes back."""

    user_id: str
    ref: ActorRef[Any]
    execution_id: str
    epoch: int
    node_id: str
    item: int | None
    attempt: int
    estimate: Usage
    budget: Budget | None
    """Of the execution itself."""
    used: Usage
    """What the execution has used so far."""

    @property
    def place(self) -> tuple[str, int | None]:
        return self.node_id, self.item


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Execution to its account: an attempt that was allowed is over, or one that was answered will not begin."""

    user_id: str
    execution_id: str
    node_id: str
    item: int | None
    attempt: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CallsGoOn:
    """Execution to its account, which is another one than before: these attempts were allowed, and are under way."""

    user_id: str
    execution_id: str
    epoch: int
    estimates: dict[tuple[str, int | None], Usage]
    """By node and item."""


@dataclass(frozen=True, slots=True)
class Charged:
    """Execution to its account: this was used, and will be in the ledger."""

    user_id: str
    execution_id: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class ExecutionLeft:
    """Execution to its account: I am at rest, and all that I used is in the ledger."""

    user_id: str
    execution_id: str


@dataclass(frozen=True, slots=True)
class GetAccount:
    """Service to an account: asked, a future of its budgets as JSON, each with what is spent and in flight."""

    user_id: str


@dataclass(frozen=True, slots=True)
class BudgetsChanged:
    """Accounts to an account: these are its user's budgets now."""

    budgets: tuple[Budget, ...]


@dataclass(frozen=True, slots=True)
class AccountLoaded:
    """Reader to an account: what the ledger has of its user; an error if it must be read again."""

    executions: frozenset[str]
    """Those of which each entry is told apart."""
    spent: dict[str, Usage]
    settled: tuple[SettledEntry, ...]
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class LoadAgain:
    """Account to itself: the database was away; try again."""


ForAccount: TypeAlias = AskCall | CallEnded | CallsGoOn | Charged | ExecutionLeft | GetAccount
AccountMessage: TypeAlias = ForAccount | BudgetsChanged | AccountLoaded | LoadAgain

# To Accounts


@dataclass(frozen=True, slots=True)
class LoadBudgets:
    """Engine to Accounts, and Accounts to itself: read which budgets there are."""


@dataclass(frozen=True, slots=True)
class BudgetsLoaded:
    """Reader to Accounts: every user's budgets; an error if they must be read again."""

    budgets: tuple[tuple[str, Budget], ...]
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class KeepBudget:
    """Service to Accounts: asked, a future of whether the write was applied, resolved when it is stored."""

    write: PutBudget | DeleteBudget


@dataclass(frozen=True, slots=True)
class AccountRestartDue:
    """Accounts to itself: the backoff of a crashed account has passed."""

    user_id: str
