"""What an execution asks of its user's account, and tells it. Only where there is a budget; it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykka import ActorRef

from offbook.actors.account_messages import (
    AskCall,
    CallAllowed,
    CallEnded,
    CallHeldBack,
    CallsGoOn,
    Charged,
    ExecutionLeft,
)
from offbook.actors.surroundings import Surroundings, Teller
from offbook.workflows.bookings import user_of
from offbook.workflows.budgets import Budget
from offbook.workflows.effects import StartNode
from offbook.workflows.messages import NodeFailed, NodeFinished, NodeParked, NodeReused, RunMessage
from offbook.workflows.plan import PlanNode
from offbook.workflows.run import Run
from offbook.workflows.states import NodeStatus
from offbook.workflows.values import NO_USAGE, Usage
from offbook.workflows.work import HELD_BACK

RECENT_ITEMS = 5
"""Items before one that say what it will use."""

_LANDINGS = (NodeFinished, NodeFailed, NodeParked, NodeReused)

Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class _Asked:
    effect: StartNode
    budget: Budget | None
    """Of the execution, as it was asked under: it may be another one when the answer comes."""
    estimate: Usage


class Purse:
    """The attempts of one execution that wait for a word of its account, and those that had it."""

    __slots__ = ("_accounts", "_allowed", "_asked", "_ref", "_run", "_told", "_user_id")

    def __init__(self, run: Run, accounts: Teller, ref: ActorRef[Any]) -> None:
        self._run = run
        self._accounts = accounts
        self._ref = ref
        self._user_id = user_of(run)
        self._asked: dict[Place, _Asked] = {}
        self._allowed: dict[Place, Usage] = {}
        """What each is expected to use."""
        self._told: set[tuple[str, int, int, int]] = set()
        """Places in the ledger of which the account knows."""

    def ask(self, effect: StartNode) -> None:
        """Ask whether an attempt may begin."""
        run = self._run
        estimate = self._estimate(run.plan.node(effect.node_id), effect.item)
        self._asked[effect.node_id, effect.item] = _Asked(effect, run.budget, estimate)
        self._accounts.tell(
            AskCall(
                user_id=self._user_id,
                ref=self._ref,
                execution_id=run.execution_id,
                epoch=run.epoch,
                node_id=effect.node_id,
                item=effect.item,
                attempt=effect.attempt,
                estimate=estimate,
                budget=run.budget,
                used=run.ended_usage if run.budget is not None else NO_USAGE,
            )
        )

    def ask_again(self) -> None:
        """Its account is another one: tell it all anew."""
        self._told.clear()
        self._tell_charges()
        if self._allowed:
            run = self._run
            self._accounts.tell(CallsGoOn(self._user_id, run.execution_id, run.epoch, dict(self._allowed)))
        for effect in self.take_asked():
            self.ask(effect)

    def allowed(self, message: CallAllowed) -> StartNode | None:
        """Return the attempt that may begin; None if it is not wanted any more."""
        asked = self._answered(message)
        if asked is None:
            return None
        self._allowed[message.node_id, message.item] = asked.estimate
        return asked.effect

    def held_back(self, message: CallHeldBack, at: float) -> NodeParked | None:
        """Return what happens to the attempt that may not begin; None if it is not wanted any more, or asked anew.

        Nobody would tell of the room in a budget that was set between question and answer.
        """
        asked = self._answered(message)
        if asked is None:
            return None
        if asked.budget != self._run.budget:
            self.ask(asked.effect)
            return None
        node_id, item = message.node_id, message.item
        name, until = message.budget, message.until
        return NodeParked(
            node_id, item, message.attempt, message.epoch, HELD_BACK, name, until, None, None, False, at
        )

    def _answered(self, message: CallAllowed | CallHeldBack) -> _Asked | None:
        """Take the attempt that an answer is for; None, and its end, if it is not asked for any more."""
        place = (message.node_id, message.item)
        asked = self._asked.get(place)
        if asked is None or (asked.effect.attempt, self._run.epoch) != (message.attempt, message.epoch):
            if place not in self._allowed:
                # Else it is a second answer for what is under way.
                self._end(place, message.attempt, message.epoch)
            return None
        del self._asked[place]
        return asked

    def take_asked(self) -> list[StartNode]:
        """Return the attempts that wait for a word, in order, and forget them: they are not wanted any more."""
        asked, self._asked = self._asked, {}
        return [each.effect for each in asked.values()]

    def note(self, message: RunMessage) -> None:
        """Tell what a message that was applied means for the account."""
        self._tell_charges()
        if isinstance(message, _LANDINGS):
            place = (message.node_id, message.item)
            if self._allowed.pop(place, None) is not None:
                self._end(place, message.attempt, message.epoch)

    def leave(self) -> None:
        """The execution is at rest, and all that it used is in the ledger."""
        self._accounts.tell(ExecutionLeft(self._user_id, self._run.execution_id))

    def _tell_charges(self) -> None:
        entries = tuple(each for each in self._run.unsettled or () if each.place not in self._told)
        if entries:
            self._told.update(each.place for each in entries)
            self._accounts.tell(Charged(self._user_id, self._run.execution_id, entries))

    def _end(self, place: Place, attempt: int, epoch: int) -> None:
        self._accounts.tell(CallEnded(self._user_id, self._run.execution_id, *place, attempt, epoch))

    def _estimate(self, node: PlanNode, item: int | None) -> Usage:
        """What the last items before it used, else what is known of the node's type and config."""
        items = self._run.works[node.index].items if item is not None else None
        done = [each.usage for each in items or () if each.status is NodeStatus.COMPLETED and each.usage.tokens]
        recent = done[-RECENT_ITEMS:]
        if not recent:
            return node.estimate or NO_USAGE
        total = NO_USAGE
        for usage in recent:
            total = total + usage
        count = len(recent)
        return Usage(total.input_tokens // count, total.output_tokens // count, True, total.cost // count)


def make_purse(run: Run, around: Surroundings, ref: ActorRef[Any]) -> Purse | None:
    """Return what an execution needs to ask its account; None if no budget is about it."""
    accounts = around.accounts
    if accounts is None or not (run.budget is not None or around.budgets.watches(user_of(run))):
        return None
    return Purse(run, accounts, ref)
