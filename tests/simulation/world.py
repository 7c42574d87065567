"""One simulated world: a worker that is killed and started again over stores that stay, and its clients."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from pykka import ActorDeadError, ActorRef, ActorRegistry

from offbook.actors import journal as journal_actor
from offbook.actors import persistence as persistence_actor
from offbook.actors.account import Desk
from offbook.actors.account_messages import KeepBudget, LoadBudgets
from offbook.actors.accounts import AccountsActor, BudgetIndex
from offbook.actors.catalogue import Catalogue
from offbook.actors.directory import ExecutionDirectory
from offbook.actors.execution_messages import Command, GetStatus
from offbook.actors.loop import LoopActor, LoopFuture
from offbook.actors.loop_mailbox import Mailbox
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.storage_messages import AppendRecord, ForgetRecords
from offbook.actors.supervisor import Supervisor
from offbook.actors.supervisor_base import SupervisorLimits
from offbook.actors.supervisor_messages import DrainWorker, ForwardCommand, RecoverWorker, StartExecution
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_commit import GroupCommit
from offbook.persistence.group_journal import GroupJournal
from offbook.workflows.budgets import Budget, BudgetScope, BudgetUnit, PutBudget
from offbook.workflows.records import InsertExecution
from offbook.workflows.run import Run
from offbook.workflows.values import ExecutionUser
from tests.simulation.auditor import Auditor, PromiseBroken
from tests.simulation.forks import begin_fork
from tests.simulation.loop import Killed, SimDispatcher, SimLoop
from tests.simulation.runner import SimRunner
from tests.simulation.stores import FlakyJournal, FlakyStore
from tests.simulation.stories import TYPES, Story

WORKER = "w" * 32
USER = ExecutionUser("ada")
STEP_LIMIT = 20_000
"""Steps after which a world that does not come to rest counts as stuck."""


class SimService(LoopActor):
    """The PersistenceActor or JournalActor on the simulated loop: the same logic, the same messages."""

    registered = False

    def __init__(self, world: World, group: Any, gather: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self._world = world
        self._group = group
        self._gather = gather
        self._armed = False

    def on_receive(self, message: Any) -> None:
        auditor = self._world.auditor
        if isinstance(message, AppendRecord):
            auditor.handed_over(message.execution_id, message.seq, self._world.loop.now)
        elif isinstance(message, ForgetRecords):
            auditor.forgotten(message.execution_id, message.through)
        self._gather(self._group, message)
        self._arm(self._world.chance.expovariate(100.0))

    def _arm(self, delay: float) -> None:
        if not self._armed:
            self._armed = True
            self._world.loop.call_later(delay, self._flush)

    def _flush(self) -> None:
        self._armed = False
        delay = self._group.flush()
        if delay is not None:
            self._arm(delay)


class Pool:
    """Runs what is submitted a little later: reads take time."""

    def __init__(self, loop: SimLoop, waits: Callable[[], float] = lambda: 0.0) -> None:
        """`waits` says how many seconds longer a read takes."""
        self._loop = loop
        self._waits = waits

    def submit(self, function: Callable[[], None]) -> None:
        self._loop.call_later(self._loop.chance.expovariate(100.0) + self._waits(), function)


class World:
    """Stores that outlive workers, the worker of the moment, and what goes wrong."""

    worker_id = WORKER

    def __init__(self, seed: int, *, trace: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.quiet = False
        """Whether nothing goes wrong any more."""
        self.happenings: Counter[str] = Counter()
        self.auditor = Auditor()
        self.store = FlakyStore(self, self.auditor)
        self.journal = FlakyJournal(self, self.auditor)
        self.stories: dict[str, Story] = {}
        self.loop = SimLoop(self.chance)
        self.auditor.clock = lambda: self.loop.now
        self.calm = self.chance.random() < 0.1
        """Whether nothing goes wrong at all: then an execution costs exactly two writes."""
        self.quiet = self.calm
        self.journal_faults = self.chance.choice((0.0, 0.0, 1.0))
        """What is only promised while the journal can be written is checked where it always can."""
        self.talkative = False
        """Whether attempts show text, again and again."""
        self.kills_left = self.chance.choice((0, 1, 1, 1, 2, 3))
        self.kill_share = self.chance.choice((0.005, 0.01, 0.03))
        self.killed = False
        self.steps = 0
        self.messages = 0
        self.crashes = 0
        self.failure: BaseException | None = None
        self._trace = trace
        self.has_budget = self.chance.random() < 0.3
        """Whether the user may not spend as they please."""
        self.budget = self.chance.randrange(40)
        """Tokens that the user may spend; only ever more."""
        if self.has_budget:
            self.store.books.apply_budget(self._put_budget())
            self.auditor.limit(self.budget)
        self._reads = random.Random(f"reads of {seed}")
        self._has_odd_account = self.has_budget and self._reads.random() < 0.5
        """Whether its account takes now and then as long to read the ledger as a pause and a resume, and crashes."""
        self._start_worker()

    # What goes wrong

    def effect(self, kind: str) -> None:
        if self.killed:
            raise Killed
        if not self.quiet and self.kills_left and self.chance.random() < self.kill_share:
            self.kills_left -= 1
            self.kill(kind)
            raise Killed

    def kill(self, kind: str) -> None:
        """The process goes away: what is in memory is gone, what is in the stores stays."""
        self.killed = True
        self.happened(f"killed at {kind}")

    def happened(self, kind: str) -> None:
        self.happenings[kind] += 1
        self.auditor.journal_failed |= kind.startswith("journal away")
        self.say(kind)

    def say(self, text: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.loop.now:.3f}  {text}")

    # The worker

    def _start_worker(self) -> None:
        self.auditor.incarnation += 1
        self.auditor.process_ended()
        self.killed = False
        self.loop = SimLoop(self.chance, self.loop.now + self.chance.random())
        loop = self.loop
        self.dispatcher = SimDispatcher(loop)
        runner = SimRunner(loop, self, self.auditor, self.stories)
        group = GroupCommit(self.store)
        records = GroupJournal(self.journal, clock=loop.time)
        persistence = SimService.spawn(self.dispatcher, self, group, persistence_actor.gather)
        journal = SimService.spawn(self.dispatcher, self, records, journal_actor.gather)
        around = Surroundings(WORKER, loop, loop.time, runner, persistence)  # type: ignore[arg-type]
        around.journal = journal
        around.journal_fault = lambda: records.fault
        around.give_up = self._gave_up
        self.directory = ExecutionDirectory()
        self.budgets = BudgetIndex(known=False)
        pool: Any = Pool(loop, self._slow if self._has_odd_account else lambda: 0.0)
        desk = Desk(loop.time, loop.call_later, self.directory, self.store.books, pool, "USD")
        around.budgets = self.budgets
        around.accounts = self.accounts = AccountsActor.spawn(
            self.dispatcher, self.dispatcher, around, desk, self.budgets
        )
        self.accounts.tell(LoadBudgets())
        catalogue = Catalogue(TYPES)
        self.recovery = WorkerRecovery(self.store, self.journal, catalogue, WORKER, Pool(loop))  # type: ignore[arg-type]
        limits = SupervisorLimits(max_live=self.chance.choice((1, 2, 100)), retain_seconds=5.0)
        self.supervisor = Supervisor.spawn(
            self.dispatcher, self.dispatcher, around, limits, self.directory, self.recovery
        )
        self.supervisor.tell(RecoverWorker())
        self.say(f"worker {self.auditor.incarnation} starts")

    def _gave_up(self, reason: str) -> None:
        if not self.killed:
            self.failure = PromiseBroken(f"the worker gave up: {reason}")

    def step(self) -> bool:
        """Let one thing happen; a killed worker is started again. False if nothing is left to happen."""
        self.steps += 1
        if self.steps > STEP_LIMIT:
            raise PromiseBroken("2: the world does not come to rest")
        try:
            going = self.dispatcher.step()
        except Killed:
            going = True
        if self.killed:
            ActorRegistry.unregister(self.supervisor)
            self._start_worker()
            going = True
        failure = self.failure or self.auditor.failure
        if failure is not None:
            raise failure
        return going

    def drain(self) -> None:
        """Have the worker go away in good order; it is started again once it has."""
        self.happened("drained")
        worker = self.auditor.incarnation

        def drained(_: object) -> None:
            if self.auditor.incarnation == worker and not self.killed:
                self.killed = True

        self._ask(DrainWorker(self.chance.choice((0.0, 0.5, 5.0))), lambda value: drained(value), drained)

    @property
    def waiting_commands(self) -> int:
        """How much the Supervisor has not come to yet."""
        mailbox = self.supervisor.actor_inbox
        assert isinstance(mailbox, Mailbox)
        return mailbox.depth

    def close(self) -> None:
        ActorRegistry.unregister(self.supervisor)

    # What clients do

    def _slow(self) -> float:
        return self._reads.expovariate(1.0) if self._reads.random() < 0.3 else 0.0

    def raise_budget(self, tokens: int, done: Callable[[Any], None], failed: Callable[[BaseException], None]) -> None:
        """Let the user spend more."""
        self.budget += tokens
        self.auditor.limit(self.budget)
        self._ask(KeepBudget(self._put_budget()), done, failed, self.accounts)

    def _put_budget(self) -> PutBudget:
        return PutBudget(USER.id, Budget(BudgetScope.TOTAL, BudgetUnit.TOKENS, self.budget))

    def start(
        self, execution_id: str, story: Story, done: Callable[[Any], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Ask for an execution; `done` hears that it was accepted."""
        self.stories[execution_id] = story
        self.auditor.begins(execution_id, story)
        plan, now = story.plan, self.loop.now
        run = Run(
            plan,
            execution_id,
            user=USER,
            inputs=story.inputs,
            labels={},
            durability=story.durability,
            created_at=now,
        )
        run.budget = story.budget
        insert = InsertExecution(
            execution_id,
            "story",
            plan.fingerprint,
            plan.document,
            USER,
            {},
            story.inputs,
            story.durability,
            WORKER,
            now,
            budget=story.budget.to_json() if story.budget is not None else None,
        )
        self._ask(StartExecution(run, insert), done, failed)

    def fork(
        self,
        execution_id: str,
        parent_id: str,
        story: Story,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Ask for a fork of an execution at rest."""
        self.stories[execution_id] = story
        self.auditor.begins(execution_id, story)
        self._ask(StartExecution(*begin_fork(self, execution_id, parent_id, story)), done, failed)

    def command(self, command: Command, done: Callable[[Any], None], failed: Callable[[BaseException], None]) -> None:
        self._ask(ForwardCommand(command), done, failed)

    def look(self, execution_id: str, see: Callable[[Any], None]) -> None:
        """Ask an execution in memory for its status."""
        entry = self.directory.find(execution_id)
        if entry is None or entry.ref is None or not entry.accepted:
            return

        def answered(answer: Any) -> None:
            payload = orjson.loads(answer.body)
            try:
                self.auditor.shown(payload)
            except PromiseBroken as broken:
                self.failure = broken
            see(payload)

        _follow(entry.ref.ask(GetStatus(), block=False), answered, lambda error: None)

    def crash(self, execution_id: str) -> None:
        """Have the actor of an execution die of a bug."""
        entry = self.directory.find(execution_id)
        if entry is None or entry.ref is None or not entry.accepted:
            return
        self.happened("actor crashed")
        self.crashes += 1
        try:
            entry.ref.tell(object())
        except ActorDeadError:
            self.say("it was dead already")

    def perhaps_crash_the_account(self) -> None:
        """Have the account of the user die of a bug, in some seeds, now and then."""
        if not self._has_odd_account or self.quiet or self._reads.random() > 0.03:
            return
        account = self.budgets.accounts.get(USER.id)
        if account is not None and account.is_alive():
            self.happened("account crashed")
            account.tell(object())

    def _ask(
        self,
        message: object,
        done: Callable[[Any], None],
        failed: Callable[[BaseException], None],
        of: ActorRef[Any] | None = None,
    ) -> None:
        try:
            future = (of or self.supervisor).ask(message, block=False)
        except ActorDeadError as dead:
            failed(dead)
            return
        _follow(future, done, failed)


def _follow(future: Any, done: Callable[[Any], None], failed: Callable[[BaseException], None]) -> None:
    """Call back with what a future resolves to, through futures of futures."""

    def resolved(_: object) -> None:
        try:
            value = future.get(timeout=0)
        except Exception as error:  # noqa: BLE001 - handed to the client
            failed(error)
            return
        if isinstance(value, LoopFuture):
            _follow(value, done, failed)
        else:
            done(value)

    future.add_done_callback(resolved)
