"""What the actors of a worker work with: one object, shared, built by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from loguru import logger
from pykka import ActorRef

from offbook.actors.dead_letters import DeadLetters
from offbook.actors.runner import NodeRunner
from offbook.workflows.money import CURRENCY


def _nobody_to_tell(reason: str) -> None:
    logger.critical("worker cannot go on", why=reason)


class Teller(Protocol):
    """Whoever takes messages: an actor's reference, or a Relay."""

    def tell(self, message: Any, /) -> None: ...


class Noting(Protocol):
    """Whoever hears that an execution has changed."""

    def note(self, execution_id: str) -> None: ...


class BudgetWatch(Protocol):
    """Who knows which users have budgets."""

    anybody: bool
    """Whether any user may have one."""

    @property
    def accounts(self) -> Mapping[str, ActorRef[Any]]:
        """The accounts there are, by user."""
        ...

    def watches(self, user_id: str) -> bool: ...


class NobodyWatched:
    """No user has a budget."""

    anybody = False
    accounts: Mapping[str, ActorRef[Any]] = MappingProxyType({})

    def watches(self, user_id: str) -> bool:
        return False


@dataclass(slots=True)
class Surroundings:
    """A worker, as its executions see it."""

    worker_id: str
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    runner: NodeRunner
    persistence: Teller
    journal: Teller | None = None
    """None: this worker keeps no journal, and every execution has the durability `exit`."""
    journal_fault: Callable[[], str | None] = lambda: None
    """Says why the journal cannot be written now; None while it can."""
    currency: str = CURRENCY
    """Of the price table."""
    feed: Noting | None = None
    """Hears which executions change, while there is a list open somewhere."""
    accounts: Teller | None = None
    """The Accounts actor; None: this worker knows no budgets."""
    budgets: BudgetWatch = field(default_factory=NobodyWatched)
    """Whose calls are asked for before they are made."""
    give_up: Callable[[str], None] = _nobody_to_tell
    """Hears why this worker cannot go on."""
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    supervisor: ActorRef[Any] = field(init=False)
    """Set by the Supervisor itself."""
