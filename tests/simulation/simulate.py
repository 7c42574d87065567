"""One seed: random clients play with a random world until all is quiet, then the auditor has the last word."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from offbook.actors.execution_messages import (
    CancelExecution,
    PauseExecution,
    ResumeExecution,
    SetBudget,
    SignalExecution,
)
from offbook.workflows.records import StoredOutput
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonValue
from tests.simulation.auditor import PromiseBroken, own_outputs
from tests.simulation.forks import draw_fork, edits_in, resting
from tests.simulation.onlookers import SHARE, Onlooker
from tests.simulation.owners import EVERY, Owners
from tests.simulation.stories import FATAL, OK, RETRYABLE, Place, Story, draw, expected
from tests.simulation.world import USER, World

PLAY_STEPS = 400
"""Steps in which clients do as they please and faults happen; after that they only see it through."""


MOST_WAITING = 30
"""Commands that clients let wait for the Supervisor while they see it through."""


@dataclass(slots=True)
class Customer:
    """Whoever started an execution."""

    execution_id: str
    story: Story
    accepted: bool = False
    refused: bool = False
    resumes: int = 0
    """How often it was asked to go on."""
    stopped: str = ""
    """The cancel or pause that was accepted since it was last asked to go on."""
    status: str = ""
    held_back: bool = False
    """Whether it was seen to wait for a budget."""
    allowed: int = 0
    """Tokens by which its own budget was raised."""
    disturbed: bool = False
    approved: dict[str, list[JsonValue]] = field(default_factory=dict)
    """Payloads that were accepted, by node, in order; the first is the one that counts."""
    sent: dict[str, list[JsonValue]] = field(default_factory=dict)
    waiting_for: list[str] = field(default_factory=list)
    owners: Owners = field(default_factory=lambda: Owners([USER.id]))
    """Whose it may be, after resumes as other users."""
    parent: Customer | None = None
    """Whose execution this one is a fork of."""


@dataclass(slots=True)
class Summary:
    """What one seed was like."""

    nodes: int
    messages: int
    crashes: int
    repeats: int
    happenings: Counter[str]


class Simulation:
    """The clients of one world."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.world = World(seed, trace=trace)
        self.chance: random.Random = self.world.chance
        self.customers: list[Customer] = []
        self.forking = random.Random(-1 - seed)
        """Of its own: seeds without forks are played as they were before there were any."""
        self.forks_left = self.forking.choice((0, 0, 1, 2))
        watching = random.Random(f"onlookers of {seed}")
        """Of its own, too: a seed that nobody watches is played as it always was."""
        self.watching = watching if watching.random() < SHARE else None
        self.world.talkative = self.watching is not None
        self.onlookers: dict[str, Onlooker] = {}
        self.heard: Counter[str] = Counter()

    def run(self) -> Summary:
        world, chance = self.world, self.chance
        try:
            for number in range(chance.choice((1, 1, 2, 3))):
                self._start(Customer(f"{number:032x}", draw(chance)))
            for _ in range(PLAY_STEPS):
                self._watch()
                if not world.step() and all(self._is_over(each) for each in self.customers):
                    if not self.forks_left:
                        break
                    self._fork(self.forking.choice(self.customers))
                elif self.forks_left and self.forking.random() < 0.02:
                    self._fork(self.forking.choice(self.customers))
                if chance.random() < 0.12:
                    self._play(chance.choice(self.customers))
            world.quiet = True
            self._see_through()
            self._audit()
        finally:
            world.close()
        return Summary(
            nodes=sum(len(each.story.plan.nodes) for each in self.customers),
            messages=world.steps,
            crashes=world.auditor.incarnation - 1 + world.crashes,
            repeats=world.auditor.repeats,
            happenings=world.happenings
            + self.heard
            + Counter({"output kept by a fork": world.auditor.reuses, "output refused": world.auditor.refusals}),
        )

    # Clients

    def _watch(self) -> None:
        """Have those who watch come and go."""
        if self.watching is None:
            return
        for customer in self.customers:
            if customer.accepted and customer.execution_id not in self.onlookers:
                onlooker = Onlooker(self.world, customer.execution_id, self.watching, self.heard)
                self.onlookers[customer.execution_id] = onlooker
        for onlooker in self.onlookers.values():
            onlooker.turn()

    def _start(self, customer: Customer) -> None:
        if customer not in self.customers:
            self.customers.append(customer)

        def accepted(_: object) -> None:
            customer.accepted = True
            self.world.say(f"{customer.execution_id[-4:]} accepted ({customer.story.durability})")

        def refused(error: BaseException) -> None:
            customer.refused = True
            self._refused("start", error)

        self.world.start(customer.execution_id, customer.story, accepted, refused)

    def _fork(self, parent: Customer) -> None:
        world = self.world
        run = resting(world, parent.execution_id) if parent.accepted else None
        if run is None:
            self.forks_left -= world.calm
            return
        self.forks_left -= 1
        story, kind = draw_fork(self.forking, run, parent.story)
        owner = run.user.id if run.user is not None else ""
        customer = Customer(f"{len(self.customers):032x}", story, parent=parent, owners=Owners([owner]))
        self.customers.append(customer)

        def accepted(_: object) -> None:
            customer.accepted = True
            world.happenings[f"forked with a change of {kind}"] += 1
            world.say(f"{customer.execution_id[-4:]} is a fork of {parent.execution_id[-4:]} ({kind})")

        def refused(error: BaseException) -> None:
            customer.refused = True
            self._refused("fork", error)

        world.fork(customer.execution_id, parent.execution_id, story, accepted, refused)

    def _play(self, customer: Customer) -> None:
        world, execution_id = self.world, customer.execution_id
        if not customer.accepted:
            return
        if world.calm:
            self._look(customer)
            return
        world.perhaps_crash_the_account()
        kind = self.chance.random()
        if kind < 0.55:
            self._look(customer)
        elif kind < 0.65:
            self._command(customer, "pause", PauseExecution(execution_id))
        elif kind < 0.70:
            self._command(customer, "cancel", CancelExecution(execution_id))
        elif kind < 0.85:
            self._resume(customer)
            if self.chance.random() < 0.4:
                world.happened("resumed twice")
                self._resume(customer)
        elif kind < 0.92:
            customer.disturbed = True
            world.crash(execution_id)
        elif kind < 0.94 and self.chance.random() < 0.5:
            for each in self.customers:
                each.disturbed = True
            world.drain()
        elif kind < 0.96:
            self._give_money(customer)
        else:
            self._signal(customer)

    def _give_money(self, customer: Customer) -> None:
        """Raise the budgets that there are."""
        world = self.world
        if world.has_budget:
            world.raise_budget(
                self.chance.randrange(20),
                lambda _: world.happened("budget raised"),
                lambda error: self._refused("budget", error),
            )
        if customer.story.budget is not None:
            customer.allowed += 10
            budget = replace(customer.story.budget, amount=customer.story.budget.amount + customer.allowed)
            world.auditor.seen[customer.execution_id].budget = budget.amount
            self._command(customer, "budget", SetBudget(customer.execution_id, budget))

    def _look(self, customer: Customer) -> None:
        def see(payload: Any) -> None:
            customer.status = payload["status"]
            waiting = payload["waiting"]
            customer.held_back = bool(waiting) and waiting["kind"] == "budget"
            if customer.held_back:
                self.world.happened("held back by a budget")
            customer.waiting_for = [
                node_id
                for node_id, entry in payload["node_results"].items()
                if entry["status"] == "waiting" and customer.story.plan.node(node_id).type == "approval"
            ]
            if waiting and waiting["kind"] == "signal" and waiting["name"] not in customer.waiting_for:
                raise PromiseBroken(f"4: waiting says {waiting['name']}, which does not wait")

        self.world.look(customer.execution_id, see)

    def _command(self, customer: Customer, name: str, command: Any) -> None:
        customer.disturbed = True
        if name == "resume":
            customer.resumes += 1
            customer.stopped = ""
        resumes = customer.resumes

        def accepted(_: object) -> None:
            self.world.happened(f"{name} accepted")
            if name in ("cancel", "pause") and resumes == customer.resumes:
                customer.stopped = name

        self.world.command(command, accepted, lambda error: self._refused(name, error))

    def _resume(self, customer: Customer) -> None:
        if customer.resumes % EVERY == EVERY - 1:
            self._resume_as_another(customer)
        else:
            self._command(customer, "resume", ResumeExecution(customer.execution_id))

    def _resume_as_another(self, customer: Customer) -> None:
        world, execution_id = self.world, customer.execution_id
        user = f"user {customer.resumes} of {execution_id[-1:]}"
        accepted, refused = customer.owners.ask(user, lambda: world.auditor.incarnation)
        customer.disturbed = True
        customer.resumes += 1
        customer.stopped = ""

        def heard(_: object) -> None:
            # A client that can go on with what is its own waits for no other.
            world.happenings["resumed as another user"] += 1
            accepted()

        def turned_away(error: BaseException) -> None:
            refused(error)
            self._refused("resume as another user", error)

        world.command(ResumeExecution(execution_id, user=ExecutionUser(user), as_other_user=True), heard, turned_away)

    def _signal(self, customer: Customer) -> None:
        self._look(customer)
        for node_id in customer.waiting_for:
            payloads = customer.sent.setdefault(node_id, [])
            payload = f"payload {len(payloads)}"
            payloads.append(payload)

            def accepted(_: object, node_id: str = node_id, payload: str = payload) -> None:
                customer.approved.setdefault(node_id, []).append(payload)
                self.world.happened("signal accepted")

            self.world.command(
                SignalExecution(customer.execution_id, node_id, payload),
                accepted,
                lambda error: self._refused("signal", error),
            )

    def _refused(self, what: str, error: BaseException) -> None:
        self.world.say(f"{what} refused: {type(error).__name__}")

    # The quiet end

    def _see_through(self) -> None:
        """Nothing goes wrong any more: resume, approve and wait until every accepted execution has completed."""
        world = self.world
        idle = 0
        while not all(self._is_over(each) for each in self.customers):
            self._watch()
            going = world.step()
            idle = 0 if going else idle + 1
            if idle > 200:
                stuck = [each.execution_id for each in self.customers if not self._is_over(each)]
                raise PromiseBroken(f"2: stuck: {stuck}")
            # Clients that ask faster than they are answered would never come to an end.
            asks = not going or self.chance.random() < (0.05 if len(self.customers) < 4 else 0.02)
            if asks and world.waiting_commands < MOST_WAITING:
                for customer in self.customers:
                    self._look_for(customer)
                    if customer.accepted and not self._is_over(customer):
                        self._push(customer)

    def _look_for(self, customer: Customer) -> None:
        """Whose answer was lost finds in the list that its execution was taken all the same."""
        entry = self.world.directory.find(customer.execution_id)
        if not customer.accepted and entry is not None and entry.accepted:
            customer.accepted = customer.disturbed = True

    def _push(self, customer: Customer) -> None:
        seen = self.world.auditor.seen[customer.execution_id]
        if seen.status in ("failed", "cancelled", "paused"):
            self._resume(customer)
        self._signal(customer)
        if customer.held_back:
            self._give_money(customer)

    def _is_over(self, customer: Customer) -> bool:
        if not customer.accepted:
            # Its client got no answer: it may or may not have been taken, and nothing was promised.
            return customer.refused or self.world.auditor.incarnation > 1
        stored = self.world.auditor.seen[customer.execution_id]
        return stored.status == ExecutionStatus.COMPLETED

    def _audit(self) -> None:
        world = self.world
        for customer in self.customers:
            if not customer.accepted:
                continue
            if customer.stopped:
                raise PromiseBroken(f"5: {customer.execution_id} completed, though a {customer.stopped} was accepted")
            stored = world.store.load(customer.execution_id)
            approved: dict[str, JsonValue] = {}
            for output in own_outputs(stored) if stored is not None else ():
                if customer.story.plan.node(output.node_id).type == "approval":
                    self._check_approval(customer, output)
                    approved[output.node_id] = output.value
            owner = stored.user.id if stored is not None and stored.user is not None else ""
            if stored is not None and not customer.owners.may_be(owner, world.auditor.incarnation):
                raise PromiseBroken(f"7: {customer.execution_id} is of {owner!r} in the end")
            given_up = _given_up(stored)
            undisturbed = not customer.disturbed and all(each.startswith("forked") for each in world.happenings)
            certain = not any(each.startswith(("database away", "actor crashed")) for each in world.happenings)
            world.auditor.check_end(
                customer.execution_id,
                stored,
                expected(customer.story, given_up, approved, edits_in(customer.story, stored)),
                undisturbed=undisturbed,
                certain=certain,
                resumed=customer.resumes > 0,
            )
            world.auditor.check_books(customer.execution_id, world.store.books.settled([customer.execution_id]))

    def _check_approval(self, customer: Customer, output: StoredOutput) -> None:
        node_id, value = output.node_id, output.value
        if output.kept:
            assert customer.story.parent is not None
            if value != customer.story.parent.had(node_id):
                raise PromiseBroken(f"a fork keeps: {node_id} has {value!r}, which its parent had not")
            return
        accepted = customer.approved.get(node_id, [])
        if accepted and value != accepted[0]:
            raise PromiseBroken(f"2: {node_id} has {value!r}, but {accepted[0]!r} was accepted first")
        if value not in customer.sent.get(node_id, []):
            raise PromiseBroken(f"2: {node_id} has {value!r}, which nobody sent")


def _given_up(stored: Any) -> frozenset[Place]:
    """Which places with `continue_on_error` failed for good: their state says so, and the story must agree."""
    found: set[Place] = set()
    if stored is None:
        return frozenset()
    for node_id, state in stored.state["nodes"].items():
        if "items" in state:
            found |= {(node_id, item) for item, each in enumerate(state["items"]) if each["status"] == "failed"}
        elif state["status"] == "failed":
            found.add((node_id, None))
    return frozenset(found)


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Summary:
    """Play one seed; raises PromiseBroken, with the seed in its message, if a promise does not hold."""
    try:
        return Simulation(seed, trace).run()
    except PromiseBroken as broken:
        raise PromiseBroken(f"seed {seed}: {broken}") from broken


__all__ = ["FATAL", "OK", "RETRYABLE", "simulate"]
