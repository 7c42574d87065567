"""A user's account: what is spent and reserved, in memory, and whether a call may begin. Reads the ledger once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, assert_never

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.account_messages import (
    AccountLoaded,
    AccountMessage,
    AskCall,
    BudgetsChanged,
    CallAllowed,
    CallEnded,
    CallHeldBack,
    CallsGoOn,
    Charged,
    ExecutionLeft,
    GetAccount,
    LoadAgain,
)
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.loop import LoopActor, LoopFuture
from offbook.workflows.budgets import Budget, BudgetMode, BudgetScope, begin_of, end_of
from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.ledger import Entry, LedgerReader
from offbook.workflows.messages import BudgetFreed, BudgetWarned
from offbook.workflows.values import NO_USAGE, JsonObject, Usage, format_time

RELOAD_SECONDS = 1.0

Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Desk:
    """What accounts work with."""

    clock: Callable[[], float]
    later: Callable[[float, Callable[[], None]], object]
    directory: ExecutionDirectory
    books: LedgerReader
    pool: Executor
    currency: str


class AccountActor(LoopActor):
    """Holds calls back that would exceed a hard budget of its user, or of the execution that makes them.

    Spent is what the ledger has and what executions tell. Reserved is what calls in flight were estimated to use. So
    a budget is exceeded by no more than calls in flight use beyond their estimates.
    """

    registered = False

    def __init__(self, user_id: str, desk: Desk, budgets: tuple[Budget, ...]) -> None:
        super().__init__()
        self._user_id = user_id
        self._desk = desk
        self._budgets = budgets
        self._loading = self._loaded = False
        self._unheard = False
        """Whether there was no budget since the reading began, and nobody told what was used."""
        self._spent: dict[str, Usage] = {}
        """By day."""
        self._entered: dict[str, dict[tuple[str, int, int, int], Entry]] = {}
        """What live executions used, by place: it may be told, and be in the ledger."""
        self._reserved: dict[str, tuple[int, dict[Place, Usage]]] = {}
        """Of calls in flight, by execution, with the epoch that they are of."""
        self._asked: list[AskCall] = []
        """Who asked before the account was loaded."""
        self._held_back: dict[tuple[str, Place], tuple[AskCall, str]] = {}
        """Who waits for room, in order, and for which budget they were told to."""
        self._lookers: list[LoopFuture] = []

    def on_receive(self, message: AccountMessage) -> object:
        match message:
            case AskCall():
                return self._ask(message)
            case CallEnded():
                return self._ended(message)
            case CallsGoOn():
                self._go_on(message)
            case Charged():
                return self._charge(message)
            case ExecutionLeft():
                return self._left(message)
            case GetAccount():
                return self._look()
            case BudgetsChanged():
                return self._change(message)
            case AccountLoaded():
                return self._take(message)
            case LoadAgain():
                self._loading = False
                return self._load()
            case _:
                assert_never(message)
        return None

    def _change(self, message: BudgetsChanged) -> None:
        self._budgets = message.budgets
        if not message.budgets:
            # From here on executions do not tell what they use: the next budget needs the ledger again.
            self._loaded = False
            self._unheard = self._loading
        self._see_who_fits(renamed=True)

    # Calls

    def _ask(self, ask: AskCall) -> None:
        for gone in [each for each in self._reserved if each not in self._desk.directory]:
            self._forget_calls(gone)
        if self._budgets and not self._loaded:
            self._asked.append(ask)
            self._load()
        else:
            self._decide(ask)

    def _decide(self, ask: AskCall) -> None:
        epoch, _ = self._reserved.get(ask.execution_id, (0, {}))
        if epoch < ask.epoch:
            # What an earlier incarnation had in flight is lost; it is told as used if it was.
            self._forget_calls(ask.execution_id)
        self._held_back.pop((ask.execution_id, ask.place), None)
        over = list(self._exceeded(ask, NO_USAGE))
        hard = [budget for budget in over if budget.mode is BudgetMode.HARD]
        if hard:
            self._hold_back(ask, hard)
            return
        for budget in over:
            self._tell(ask, BudgetWarned(budget.name(self._desk.currency), self._desk.clock()))
        if self._tell(ask, CallAllowed(ask.node_id, ask.item, ask.attempt, ask.epoch)):
            self._reserved.setdefault(ask.execution_id, (ask.epoch, {}))[1][ask.place] = ask.estimate

    def _hold_back(self, ask: AskCall, budgets: list[Budget]) -> None:
        name, until = self._longest(budgets)
        if self._tell(ask, CallHeldBack(ask.node_id, ask.item, ask.attempt, ask.epoch, name, until)):
            self._held_back[ask.execution_id, ask.place] = (ask, name)
            logger.info("call held back", execution_id=ask.execution_id, node=ask.node_id, budget=name)

    def _longest(self, budgets: list[Budget]) -> tuple[str, float | None]:
        """Name the one that lasts longest, which is the one to be raised, and when it ends."""
        now = self._desk.clock()
        ends = [end_of(budget.scope, now) for budget in budgets]
        until = None if None in ends else max(end for end in ends if end is not None)
        return budgets[ends.index(until)].name(self._desk.currency), until

    def _exceeded(self, ask: AskCall, more: Usage) -> Iterator[Budget]:
        """Yield the budgets that a call would exceed, if besides what is known `more` were reserved."""
        if self._budgets:
            reserved = self._in_flight() + more
            for budget in self._budgets:
                if self._is_over(budget, self._spent_in(budget.scope) + reserved, ask.estimate):
                    yield budget
        if ask.budget is not None and self._is_over(
            ask.budget, ask.used + self._in_flight_of(ask.execution_id), ask.estimate
        ):
            yield ask.budget

    @staticmethod
    def _is_over(budget: Budget, used: Usage, estimate: Usage) -> bool:
        # Of what nothing is known takes at least something.
        return budget.of(used) + max(1, budget.of(estimate)) > budget.amount

    def _ended(self, message: CallEnded) -> None:
        place = (message.node_id, message.item)
        held, _ = self._held_back.get((message.execution_id, place), (None, ""))
        if held is not None and (held.attempt, held.epoch) == (message.attempt, message.epoch):
            del self._held_back[message.execution_id, place]
        epoch, places = self._reserved.get(message.execution_id, (0, {}))
        if epoch == message.epoch and places.pop(place, None) is not None:
            self._see_who_fits()

    def _go_on(self, message: CallsGoOn) -> None:
        epoch, places = self._reserved.get(message.execution_id, (0, {}))
        known = places if epoch == message.epoch else {}
        self._reserved[message.execution_id] = (message.epoch, {**known, **message.estimates})

    def _see_who_fits(self, *, renamed: bool = False) -> None:
        """Have those ask again for whom there is room now, in the order in which they were held back.

        `renamed`: also those who wait for another budget now than the one that they were told of.
        """
        tentative = NO_USAGE
        told: set[str] = set()
        for key, (ask, name) in list(self._held_back.items()):
            hard = [budget for budget in self._exceeded(ask, tentative) if budget.mode is BudgetMode.HARD]
            if hard and not (renamed and self._longest(hard)[0] != name):
                continue
            del self._held_back[key]
            if not hard:
                tentative = tentative + ask.estimate
            if ask.execution_id not in told:
                told.add(ask.execution_id)
                self._tell(ask, BudgetFreed(self._desk.clock()))

    def _tell(self, ask: AskCall, message: Any) -> bool:
        try:
            ask.ref.tell(message)
        except ActorDeadError:
            # It crashed; the next one asks anew.
            return False
        return True

    # Sums

    def _charge(self, message: Charged) -> None:
        entered = self._entered.setdefault(message.execution_id, {})
        for entry in message.entries:
            self._enter(entered, entry)

    def _enter(self, entered: dict[tuple[str, int, int, int], Entry], entry: Entry) -> None:
        if entry.place not in entered:
            entered[entry.place] = entry
            self._spent[entry.day] = self._spent.get(entry.day, NO_USAGE) + entry.usage

    def _left(self, message: ExecutionLeft) -> None:
        self._forget_calls(message.execution_id)
        self._asked = [ask for ask in self._asked if ask.execution_id != message.execution_id]
        for key in [key for key in self._held_back if key[0] == message.execution_id]:
            del self._held_back[key]
        if not self._loading:
            self._entered.pop(message.execution_id, None)
        self._see_who_fits()

    def _forget_calls(self, execution_id: str) -> None:
        self._reserved.pop(execution_id, None)

    def _spent_in(self, scope: BudgetScope) -> Usage:
        first = begin_of(scope, self._desk.clock())
        total = NO_USAGE
        for day, usage in self._spent.items():
            if day >= first:
                total = total + usage
        return total

    def _in_flight(self) -> Usage:
        total = NO_USAGE
        for execution_id in self._reserved:
            total = total + self._in_flight_of(execution_id)
        return total

    def _in_flight_of(self, execution_id: str) -> Usage:
        total = NO_USAGE
        for usage in self._reserved.get(execution_id, (0, {}))[1].values():
            total = total + usage
        return total

    # Loading

    def _load(self) -> None:
        """Read what the ledger has; of executions in memory entry by entry, as they tell some of it themselves."""
        recovered = self._desk.directory.recovered
        if self._loading:
            return
        self._loading = True
        if not recovered.done():
            # What is not in memory yet may have used something that only the journal knows of.
            recovered.add_done_callback(lambda _: self._load_again())
            return
        for entry in self._desk.directory:
            if entry.user_id == self._user_id and entry.run.unsettled:
                self._charge(Charged(self._user_id, entry.execution_id, tuple(entry.run.unsettled)))
        self._read(frozenset(self._entered))

    def _read(self, executions: frozenset[str]) -> None:
        desk, user_id, ref = self._desk, self._user_id, self.actor_ref

        def read() -> None:
            try:
                # Apart first: what is entered meanwhile is told, and told entries are kept by place.
                settled = tuple(desk.books.settled(executions))
                answer = AccountLoaded(executions, desk.books.spent_by_day(user_id, executions), settled)
            except StorageUnavailable as away:
                answer = AccountLoaded(executions, {}, (), away)
            except Exception as fault:  # noqa: BLE001 - on a thread: nobody else would hear of it
                logger.opt(exception=fault).error("ledger cannot be read", user=user_id)
                answer = AccountLoaded(executions, {}, (), fault)
            try:
                ref.tell(answer)
            except ActorDeadError:
                logger.debug("account is gone before it was loaded")

        desk.pool.submit(read)

    def _take(self, message: AccountLoaded) -> None:
        if message.error is not None:
            logger.warning("account cannot be loaded, calls wait", why=str(message.error))
            self._desk.later(RELOAD_SECONDS, self._load_again)
            return
        if self._unheard and self._budgets:
            self._unheard = self._loading = False
            self._load()
            return
        fresh = frozenset(self._entered) - message.executions
        if fresh:
            # They told something while it was read: whether the sums have it is not known.
            self._read(frozenset(self._entered))
            return
        self._unheard = self._loading = False
        self._loaded = bool(self._budgets)
        told, self._entered, self._spent = self._entered, {}, dict(message.spent)
        for each in message.settled:
            self._enter(self._entered.setdefault(each.execution_id, {}), each.entry)
        for execution_id, entered in told.items():
            for entry in entered.values():
                self._enter(self._entered.setdefault(execution_id, {}), entry)
        self._entered = {each: kept for each, kept in self._entered.items() if each in self._desk.directory}
        # What was asked for again has one answer: a second one would end what the first began.
        asked, self._asked = {(ask.execution_id, ask.place): ask for ask in self._asked}, []
        for ask in asked.values():
            self._decide(ask)
        lookers, self._lookers = self._lookers, []
        for future in lookers:
            future.set(self._shown())

    # What people ask

    def _look(self) -> LoopFuture:
        future = LoopFuture()
        if self._budgets and not self._loaded:
            self._lookers.append(future)
            self._load()
        else:
            future.set(self._shown())
        return future

    def _shown(self) -> list[JsonObject]:
        now, in_flight = self._desk.clock(), self._in_flight()
        return [
            {
                **budget.to_json(),
                "spent": budget.shown(budget.of(self._spent_in(budget.scope))),
                "in_flight": budget.shown(budget.of(in_flight)),
                "until": format_time(end_of(budget.scope, now)),
                "held_back": sum(1 for ask, _ in self._held_back.values() if budget in self._exceeded(ask, NO_USAGE)),
            }
            for budget in self._budgets
        ]

    def _load_again(self) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(LoadAgain())
