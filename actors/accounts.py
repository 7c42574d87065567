"""The accounts of a worker's users: which budgets there are, and an actor for each user who needs one."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, TypeAlias, assert_never

from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.account import AccountActor, Desk
from offbook.actors.account_messages import (
    AccountLost,
    AccountRestartDue,
    AskCall,
    BudgetsChanged,
    BudgetsLoaded,
    CallEnded,
    CallsGoOn,
    Charged,
    ExecutionLeft,
    ForAccount,
    GetAccount,
    KeepBudget,
    LoadBudgets,
)
from offbook.actors.loop import Dispatcher, LoopActor, LoopFuture
from offbook.actors.restart_intensity import recent_crashes, restart_delay
from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.surroundings import Surroundings
from offbook.workflows.budgets import Budget, DeleteBudget, PutBudget
from offbook.workflows.errors import StorageUnavailable

RELOAD_SECONDS = 1.0
CRASH_PERIOD = 60.0

AccountsMessage: TypeAlias = (
    ForAccount | LoadBudgets | BudgetsLoaded | KeepBudget | AccountRestartDue | WriteDone | WriteFailed
)


class BudgetIndex:
    """Which users have budgets. The Accounts actor changes it; executions look before each call."""

    def __init__(self, *, known: bool = True) -> None:
        self.known = known
        """Whether the budgets have been read; until then everybody may have one."""
        self.anybody = not known
        """Whether any user may have one."""
        self.accounts: dict[str, ActorRef[Any]] = {}
        """The accounts there are, by user."""
        self._budgets: dict[str, tuple[Budget, ...]] = {}

    def read(self, budgets: Iterable[tuple[str, Budget]]) -> None:
        """These are the budgets there are."""
        self.known, self.anybody = True, False
        for user_id, budget in budgets:
            self.put(user_id, budget)

    def watches(self, user_id: str) -> bool:
        return not self.known or user_id in self._budgets

    def of(self, user_id: str) -> tuple[Budget, ...]:
        return self._budgets.get(user_id, ())

    def put(self, user_id: str, budget: Budget) -> None:
        others = self._without(user_id, budget.scope, budget.unit)
        self._budgets[user_id] = (*others, budget)
        self.anybody = True

    def remove(self, write: DeleteBudget) -> None:
        others = self._without(write.user_id, write.scope, write.unit)
        if others:
            self._budgets[write.user_id] = others
        else:
            self._budgets.pop(write.user_id, None)
        self.anybody = bool(self._budgets)

    def _without(self, user_id: str, scope: str, unit: str) -> tuple[Budget, ...]:
        return tuple(each for each in self.of(user_id) if (each.scope, each.unit) != (scope, unit))


class AccountsActor(LoopActor):
    """Passes messages on to the account they are for, and keeps budgets."""

    registered = False

    def __init__(self, dispatcher: Dispatcher, around: Surroundings, desk: Desk, index: BudgetIndex) -> None:
        super().__init__()
        self._dispatcher = dispatcher
        self._around = around
        self._desk = desk
        self._index = index
        self._accounts = index.accounts
        self._crashes: dict[str, tuple[float, ...]] = {}
        self._lost: set[str] = set()
        """Whose account crashed, and is about to be made anew."""
        self._waiting: list[AskCall] = []
        """Who asked before it was known which budgets there are."""
        self._lookers: list[tuple[GetAccount, LoopFuture]] = []
        self._writing: list[tuple[PutBudget | DeleteBudget, LoopFuture]] = []

    def on_receive(self, message: AccountsMessage) -> object:
        match message:
            case AskCall():
                if not self._index.known:
                    return self._waiting.append(message)
                if message.user_id in self._lost:
                    # It is asked for again, once the new account is told what is under way.
                    return None
                return self._account(message.user_id).tell(message)
            case CallEnded() | CallsGoOn() | Charged() | ExecutionLeft():
                return self._account(message.user_id).tell(message)
            case GetAccount():
                return self._look(message)
            case LoadBudgets():
                return self._load()
            case BudgetsLoaded():
                return self._take(message)
            case KeepBudget():
                return self._keep(message)
            case WriteDone() | WriteFailed():
                return self._written(message)
            case AccountRestartDue():
                return self._have_asked_again(message.user_id)
            case _:
                assert_never(message)

    def on_child_stopped(self, child: ActorRef[Any], reason: BaseException | None) -> None:
        for user_id, ref in list(self._accounts.items()):
            if ref is child:
                del self._accounts[user_id]
                if reason is not None:
                    crashes = recent_crashes(self._crashes.get(user_id, ()), self._around.clock(), CRASH_PERIOD)
                    self._crashes[user_id] = crashes
                    logger.error("account crashed, its calls are asked for again", user=user_id, why=str(reason))
                    if user_id not in self._lost:
                        self._lost.add(user_id)
                        self._later(restart_delay(crashes), AccountRestartDue(user_id))

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._around.give_up(f"the accounts crashed: {type(exception_value).__name__}: {exception_value}")

    def on_stop(self) -> None:
        for ref in self._accounts.values():
            if ref.is_alive():
                ref.stop(block=False)

    def _account(self, user_id: str) -> ActorRef[Any]:
        ref = self._accounts.get(user_id)
        if ref is None or not ref.is_alive():
            ref = AccountActor.spawn(
                self._dispatcher, user_id, self._desk, self._index.of(user_id), parent=self.actor_ref
            )
            self._accounts[user_id] = ref
        return ref

    def _have_asked_again(self, user_id: str) -> None:
        self._lost.discard(user_id)
        for entry in self._desk.directory:
            if entry.user_id == user_id and entry.ref is not None:
                try:
                    entry.ref.tell(AccountLost())
                except ActorDeadError:
                    logger.debug("execution crashed before it was told", execution_id=entry.execution_id)

    def _look(self, message: GetAccount) -> LoopFuture:
        if not self._index.known:
            self._lookers.append((message, future := LoopFuture()))
            return future
        answer = self._account(message.user_id).ask(message, block=False)
        assert isinstance(answer, LoopFuture)
        return answer

    # Which budgets there are

    def _load(self) -> None:
        books, ref = self._desk.books, self.actor_ref

        def read() -> None:
            try:
                answer = BudgetsLoaded(tuple(books.budgets()))
            except StorageUnavailable as away:
                answer = BudgetsLoaded((), away)
            except Exception as fault:  # noqa: BLE001 - on a thread: nobody else would hear of it
                logger.opt(exception=fault).error("budgets cannot be read")
                answer = BudgetsLoaded((), fault)
            try:
                ref.tell(answer)
            except ActorDeadError:
                logger.debug("accounts are gone before their budgets were read")

        self._desk.pool.submit(read)

    def _take(self, message: BudgetsLoaded) -> None:
        if message.error is not None:
            logger.warning("budgets cannot be read, paid calls wait", why=str(message.error))
            self._later(RELOAD_SECONDS, LoadBudgets())
            return
        self._index.read(message.budgets)
        for user_id, ref in self._accounts.items():
            if ref.is_alive():
                ref.tell(BudgetsChanged(self._index.of(user_id)))
        waiting, self._waiting = self._waiting, []
        for ask in waiting:
            self._account(ask.user_id).tell(ask)
        lookers, self._lookers = self._lookers, []
        for looked, future in lookers:
            future.set(self._look(looked))

    def _keep(self, message: KeepBudget) -> LoopFuture:
        future = LoopFuture()
        self._writing.append((message.write, future))
        self._around.persistence.tell(StoreWrite(message.write, self.actor_ref))
        return future

    def _written(self, message: WriteDone | WriteFailed) -> None:
        write = message.write
        assert isinstance(write, PutBudget | DeleteBudget)
        place = next(place for place, (each, _) in enumerate(self._writing) if each is write)
        _, future = self._writing.pop(place)
        if isinstance(message, WriteFailed):
            future.set_exception((type(message.error), message.error, None))
            return
        if isinstance(write, PutBudget):
            self._index.put(write.user_id, write.budget)
        else:
            self._index.remove(write)
        ref = self._accounts.get(write.user_id)
        if ref is not None and ref.is_alive():
            ref.tell(BudgetsChanged(self._index.of(write.user_id)))
        future.set(message.result.applied)

    def _later(self, seconds: float, message: AccountsMessage) -> None:
        self._desk.later(seconds, lambda: self._tell_self(message))

    def _tell_self(self, message: AccountsMessage) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(message)
