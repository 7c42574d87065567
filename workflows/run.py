"""All transitions of an execution: no actor, no clock, no I/O, no randomness, no template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from offbook.workflows.effects import (
    AbortCalls,
    ArmTimer,
    DecideEdges,
    Effect,
    ExpandItems,
    SaveCheckpoint,
    SaveOutcome,
    StartNode,
    WithdrawCalls,
)
from offbook.workflows.errors import IllegalTransition, NotResumable, StaleMessage
from offbook.workflows.ledger import NO_ITEM, Entry, EntryKind
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    BudgetWarned,
    CancelRequested,
    CrashedForGood,
    CutOff,
    EdgesDecided,
    InterruptRequested,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import REVISIONS_PER_EPOCH, FailurePoint, Receipt, RunState
from offbook.workflows.states import Durability, ExecutionStatus, NodeStatus, StepKind
from offbook.workflows.values import NO_USAGE, JsonValue, NodeError, Usage
from offbook.workflows.work import Checked, Parked, Work

CHECK_FAILED = "check_failed"
"""The error of an output that was produced and does not pass."""

_ENTRY_KINDS = {kind.value: kind for kind in (StepKind.TEXT, StepKind.THINKING, StepKind.PROGRESS)}


class Run(RunState):
    """The state of one execution and all that can change it. Only its own actor calls `apply`."""

    __slots__ = ()

    def apply(self, message: RunMessage) -> list[Effect]:
        """Change this run by one message; return what its actor must do, in order.

        Raises StaleMessage for another epoch's or attempt's message, IllegalTransition or NotResumable for a
        command that does not fit; each changes nothing.
        """
        handler = self._handlers[type(message)]
        at: float = message.at
        before = self.now
        if at > before:
            self.now = at
        self.revision += 1
        effects: list[Effect] = []
        try:
            handler(self, message, effects)
        except (StaleMessage, IllegalTransition, NotResumable):
            self.revision -= 1
            self.now = before
            raise
        self._advance(effects)
        return effects

    def _recovered(self, message: Recovered, effects: list[Effect]) -> None:
        if message.epoch < self.epoch:
            raise StaleMessage(f"epoch {message.epoch} of execution {self.execution_id} has passed")
        if self.status.at_rest:
            raise IllegalTransition(self.execution_id, self.status, "going on without a resume")
        before = self.epoch
        if message.epoch > self.epoch:
            self._go_on_in(message.epoch)
        if message.lost:
            self.receipt = self.receipt or Receipt()
            self.receipt.went_back_to = message.lost
        self.status = ExecutionStatus.RUNNING
        self._next_timer = None
        if self.started_at is None:
            # It begins: nothing is in flight, and all is indexed.
            self.started_at = self.now
        else:
            self._forget_calls(before)
            self.index_works()
        if self.stopping not in (None, ExecutionStatus.INTERRUPTED):
            # It was on its way to rest, by a command that was accepted or a failure; now nothing keeps it.
            return
        self.stopping = None
        for node, work in zip(self.plan.nodes, self.works, strict=True):
            if work.settled(node.continue_on_error):
                continue
            if node.foreach is not None and work.status is not NodeStatus.WAITING and work.attempt:
                self._recover_foreach(node, work, effects)
            elif work.status is NodeStatus.RUNNING:
                self._repeat(node, None, work, effects)
            elif work.is_held_back:
                self._again(node, None, work, effects)
            elif work.status is NodeStatus.PENDING and not self._missing[node.index]:
                self._ready.append(node.index)

    def has_heard(self, message: CancelRequested | PauseRequested) -> bool:
        """Whether a command asks for what happens already."""
        if isinstance(message, CancelRequested):
            return ExecutionStatus.CANCELLED in (self.stopping, self.status)
        ending = self.stopping in (ExecutionStatus.PAUSED, ExecutionStatus.CANCELLED, ExecutionStatus.FAILED)
        return self.status is ExecutionStatus.PAUSED or (ending and not self.status.at_rest)

    def _taken_up(self, message: TakenUp, effects: list[Effect]) -> None:
        if message.epoch <= self.epoch:
            raise StaleMessage(f"epoch {message.epoch} of execution {self.execution_id} has passed")
        before = self.epoch
        self._go_on_in(message.epoch)
        self._count_transactions(message)
        if message.user is not None:
            self.user = message.user
        if not self.status.at_rest:
            self.status = ExecutionStatus.RECOVERING
            self._forget_calls(before)
            if self.stopping is ExecutionStatus.INTERRUPTED:
                self.stopping = None
        elif self.status is ExecutionStatus.COMPLETED:
            effects.append(SaveOutcome())
        else:
            effects.append(SaveCheckpoint())

    def _go_on_in(self, epoch: int) -> None:
        """Open an epoch in which this run goes on where it was left: what is shown from here on is newer."""
        self._open_epoch(epoch)
        self.receipt = self._new_receipt(self.receipt)

    def _cut_off(self, message: CutOff, effects: list[Effect]) -> None:
        if self.status.at_rest:
            raise IllegalTransition(self.execution_id, self.status, "being cut off")
        self._forget_calls(self.epoch)
        self._next_timer = None
        self.status = ExecutionStatus.RUNNING
        self.stopping = self.stopping or ExecutionStatus.INTERRUPTED

    def _recover_foreach(self, node: PlanNode, work: Work, effects: list[Effect]) -> None:
        work.status = NodeStatus.RUNNING
        if work.items is None:
            work.in_flight = True
            self._in_flight += 1
            effects.append(ExpandItems(node.id))
            return
        for item, each in enumerate(work.items):
            if each.status is NodeStatus.RUNNING:
                self._repeat(node, item, each, effects)
            elif each.is_held_back:
                self._again(node, item, each, effects)
        self._fill(node, work, effects)

    def _repeat(self, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
        """Start an attempt again that was in flight when its actor or process went away: the same number."""
        began = work.started_at is not None
        if began:
            self.receipt = self.receipt or Receipt()
            self.receipt.repeated_calls += 1
        else:
            # It was stopped while it waited for its turn: nothing was done in it.
            work.started_at = self.now
        work.in_flight = True
        self._in_flight += 1
        work.live_usage = NO_USAGE
        self._touch(node.index, work)
        self.steps.add(self.now, node.id, item, StepKind.STARTED, "repeated" if began else "", self.revision)
        effects.append(StartNode(node.id, item, work.attempt))

    def _count_transactions(self, message: TakenUp | ResumeRequested) -> None:
        """Take over what was counted since the last save, which a process that went away had in memory only."""
        self.db_reads = max(self.db_reads, message.reads)
        self.db_writes = max(self.db_writes, message.writes)

    def _again(self, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
        """Try once more to begin an attempt that was held back: the same number."""
        self._waiting.pop((node.index, item), None)
        work.park = None
        work.status = NodeStatus.RUNNING
        if work.tries == 1:
            # What it waited is no time in which anything was done.
            work.started_at = self.now
        work.in_flight = True
        self._in_flight += 1
        self._touch(node.index, work)
        effects.append(StartNode(node.id, item, work.attempt))

    def _budget_set(self, message: BudgetSet, effects: list[Effect]) -> None:
        if self.status.at_rest:
            raise IllegalTransition(self.execution_id, self.status, "another budget")
        self.budget = message.budget
        self._try_held_back(effects)

    def _budget_freed(self, message: BudgetFreed, effects: list[Effect]) -> None:
        if self.status.at_rest:
            raise StaleMessage("there is room in a budget for what has come to rest")
        self._try_held_back(effects)

    def _try_held_back(self, effects: list[Effect]) -> None:
        if self.stopping is None and self.status not in (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING):
            for node, item, work in self.waiting:
                if work.is_held_back:
                    self._again(node, item, work, effects)

    def _budget_warned(self, message: BudgetWarned, effects: list[Effect]) -> None:
        if message.name in self.warned:
            raise StaleMessage(f"of the budget {message.name} was warned before")
        self.warned = (*self.warned, message.name)
        text = f"the budget is used up: {message.name}"
        self.steps.add(self.now, None, None, StepKind.WARNING, text, self.revision)

    def _open_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.revision = epoch * REVISIONS_PER_EPOCH + 1
        self._percent_floor = 0.0

    def _finished(self, message: NodeFinished, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        self._let_go(node, message.item)
        self._land(work, message.usage)
        if self.reuse is not None and self.reuse.had_cost(node.id, message.item):
            self._receipt().repeated_calls += 1
        self._charge(node, message.item, work, message.usage, message.model)
        self._complete(node, message.item, work, message.output, effects)

    def _reused(self, message: NodeReused, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        kept = self.kept(node.id, message.item)
        if kept is None:
            raise StaleMessage(f"there is nothing to reuse at {node.id}")
        self._let_go(node, message.item)
        self._land(work, NO_USAGE)
        if self.lost_calls is not None:
            # What was lost with its incarnation would have found the same, and called nothing.
            self.lost_calls.pop((node.index, message.item), None)
        # No attempt was made: that tells it from what ran here, also in a stored state.
        work.attempt = 0
        self._receipt().keep(kept, item=message.item is not None)
        self._complete(node, message.item, work, kept.output, effects)

    def _receipt(self) -> Receipt:
        self.receipt = self.receipt or Receipt()
        return self.receipt

    def _complete(
        self, node: PlanNode, item: int | None, work: Work, output: JsonValue, effects: list[Effect]
    ) -> None:
        work.status = NodeStatus.COMPLETED
        work.finished_at = self.now
        work.error = None
        work.partial = ""
        self._touch(node.index, work)
        if work.attempt:
            self.steps.add(self.now, node.id, item, StepKind.FINISHED, "", self.revision)
            self._unstored.append((node.index, item))
        else:
            self.steps.add(self.now, node.id, item, StepKind.FINISHED, "kept", self.revision)
        if item is None:
            self.outputs[node.id] = output
            self._settled(node, work)
        else:
            work.output = output
            self._item_settled(node, effects)

    def _failed(self, message: NodeFailed, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        self._let_go(node, message.item)
        self._land(work, message.usage)
        self._charge(node, message.item, work, message.usage, message.model)
        error = message.error
        if error.type == "cancelled" and self.stopping is not None:
            self._aborted(node, message.item, work, message)
            return
        work.error = error
        if message.partial:
            work.partial = message.partial
        self._touch(node.index, work)
        if error.type == CHECK_FAILED:
            self._check_failed(node, message, work, effects)
            return
        policy = node.retry
        checked = self.checked.get((node.index, message.item)) if self.checked is not None else None
        tries = work.tries - checked.tries if checked is not None else work.tries
        if error.retryable and tries < policy.attempts and self.stopping is not ExecutionStatus.CANCELLED:
            delay = min(policy.max_delay, policy.delay * policy.factor ** (tries - 1))
            delay = max(delay * (0.5 + message.jitter / 2), error.retry_after or 0.0)
            work.retry_at = self.now + delay
            self._wait(node.index, message.item, work)
            text = f"{error.type}: {error.message}; next attempt in {delay:.1f} s"
            self.steps.add(self.now, node.id, message.item, StepKind.RETRY, text, self.revision)
            return
        self._fail(node, message.item, work, error, effects)

    def _check_failed(self, node: PlanNode, message: NodeFailed, work: Work, effects: list[Effect]) -> None:
        """An output failed its checks: another attempt, at once, within its own budget and that of all epochs."""
        error = message.error
        self.checked = {} if self.checked is None else self.checked
        checked = self.checked.setdefault((node.index, message.item), Checked())
        checked.tries += 1
        checked.failures += 1
        checked.reasons = message.reasons or (error.message,)
        again = error.retryable and checked.tries < node.check_attempts
        if checked.failures > node.max_regenerations:
            limit = f"it is not written again: max_regenerations is {node.max_regenerations}"
            error = replace(error, hint=f"{limit}; fork it with another prompt, other checks, or a higher limit")
        elif again and self.stopping is not ExecutionStatus.CANCELLED:
            text = f"{error.type}: {error.message}; next attempt at once"
            self.steps.add(self.now, node.id, message.item, StepKind.RETRY, text, self.revision)
            if self.stopping is None:
                self._attempt(node, message.item, work, effects)
            else:
                work.retry_at = self.now
                self._wait(node.index, message.item, work)
            return
        self._fail(node, message.item, work, error, effects)

    def _fail(self, node: PlanNode, item: int | None, work: Work, error: NodeError, effects: list[Effect]) -> None:
        """An attempt was the last: the node or item has failed for good."""
        work.status = NodeStatus.FAILED
        work.error = error
        work.finished_at = self.now
        self._touch(node.index, work)
        self.steps.add(self.now, node.id, item, StepKind.FAILED, f"{error.type}: {error.message}", self.revision)
        if node.continue_on_error:
            if item is None:
                self._settled(node, work)
            else:
                self._item_settled(node, effects)
            return
        if self.failure is None:
            self.failure = FailurePoint(error, node.id, item)
        if self.stopping is not ExecutionStatus.CANCELLED:
            self.stopping = ExecutionStatus.FAILED
            self._withdraw(effects)
        if item is not None:
            self.works[node.index].error = error

    def _aborted(self, node: PlanNode, item: int | None, work: Work, message: NodeFailed) -> None:
        """An attempt ended because this run stops. A cancel ends it; an interrupt repeats it later."""
        work.partial = message.partial or work.partial
        self._touch(node.index, work)
        if self.stopping is ExecutionStatus.CANCELLED:
            work.status = NodeStatus.CANCELLED
            work.finished_at = self.now
            self.steps.add(self.now, node.id, item, StepKind.CANCELLED, "", self.revision)
        elif not message.begun:
            work.started_at = None
        # An interrupted attempt stays `running`, not in flight: the next epoch repeats it under its number.

    def _parked(self, message: NodeParked, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        self._let_go(node, message.item)
        self._land(work, NO_USAGE)
        if message.kind == "signal" and message.name in self.signals:
            # It was sent, and accepted, before a crash put this node back.
            self._complete(node, message.item, work, self.signals.pop(message.name), effects)
            return
        work.park = Parked(
            message.kind, message.name, message.until, message.form, message.default, message.has_default
        )
        self._wait(node.index, message.item, work)
        self.steps.add(self.now, node.id, message.item, StepKind.WAITING, message.name, self.revision)

    def _progressed(self, message: NodeProgressed, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        if message.fraction is not None:
            work.fraction = max(work.fraction, message.fraction)
        if message.usage is not None:
            work.live_usage = message.usage
        for kind, text in message.entries:
            self.steps.stream(self.now, node.id, message.item, _ENTRY_KINDS[kind], text, self.revision)
        self._touch(node.index, work)

    def _held_back(self, message: NodeHeld, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        if self._held is None:
            self._held = {}
        self._held[node.index, message.item] = message
        self._touch(node.index, work)

    def _began(self, message: NodeBegan, effects: list[Effect]) -> None:
        node, work = self._in_flight_work(message.node_id, message.item, message.attempt, message.epoch)
        if self._held:
            self._held.pop((node.index, message.item), None)
        self._touch(node.index, work)

    def _edges_decided(self, message: EdgesDecided, effects: list[Effect]) -> None:
        node, work = self._deciding_work(message.node_id, message.epoch)
        self._land(work, NO_USAGE)
        if message.error is not None:
            self._fail(node, None, work, message.error, effects)
        elif self.stopping is not None:
            return  # decided again, with the same outcome, when the run goes on
        elif message.taken and (not node.needs or self._any_live_edge(node, message.edges)):
            self._start(node, work, effects)
        else:
            self._skip(node, work)

    def _items_expanded(self, message: ItemsExpanded, effects: list[Effect]) -> None:
        node, work = self._deciding_work(message.node_id, message.epoch)
        if node.foreach is None or work.items is not None:
            raise StaleMessage(f"node {node.id} was expanded before")
        self._land(work, NO_USAGE)
        if message.error is not None:
            self._fail(node, None, work, message.error, effects)
            return
        work.values = message.items
        work.items = [Work() for _ in message.items]
        for each in work.items if work.guided else ():
            each.guided = True
        self._touch(node.index, work)
        if work.items:
            self._fill(node, work, effects)
        else:
            self._complete(node, None, work, [], effects)

    def _timer_fired(self, message: TimerFired, effects: list[Effect]) -> None:
        if message.epoch != self.epoch:
            raise StaleMessage(f"a timer of epoch {message.epoch} fired in epoch {self.epoch}")
        if self.status.at_rest:
            raise StaleMessage("a timer fired after the run had come to rest")
        self._next_timer = None
        if self.stopping is not None:
            return
        for node, item, work in self.waiting:
            if work.due is None or work.due > self.now:
                continue
            if work.is_held_back:
                self._again(node, item, work, effects)
                continue
            del self._waiting[node.index, item]
            if work.retry_at is not None:
                work.retry_at = None
                self._attempt(node, item, work, effects)
                continue
            park, work.park = work.park, None
            assert park is not None
            if park.kind == "timer" or park.has_default:
                self._complete(node, item, work, park.default, effects)
            else:
                error = NodeError("timeout", f"no signal {park.name!r} came in time")
                self._fail(node, item, work, error, effects)

    def _signal_received(self, message: SignalReceived, effects: list[Effect]) -> None:
        if self.status.at_rest or self.stopping is not None:
            raise IllegalTransition(self.execution_id, self.status, "a signal")
        for node, item, work in self.waiting:
            if work.park is not None and work.park.kind == "signal" and work.park.name == message.name:
                del self._waiting[node.index, item]
                work.park = None
                self._complete(node, item, work, message.payload, effects)
                return
        raise IllegalTransition(
            self.execution_id, self.status, f"the signal {message.name!r}, which nothing waits for,"
        )

    def _cancel_requested(self, message: CancelRequested, effects: list[Effect]) -> None:
        if self.status.ended:
            raise IllegalTransition(self.execution_id, self.status, "a cancel")
        if self.stopping is ExecutionStatus.CANCELLED:
            return
        self.stopping = ExecutionStatus.CANCELLED
        if self._in_flight:
            effects.append(AbortCalls())

    def _pause_requested(self, message: PauseRequested, effects: list[Effect]) -> None:
        if self.status.at_rest:
            if self.status is ExecutionStatus.PAUSED:
                return
            raise IllegalTransition(self.execution_id, self.status, "a pause")
        if self.stopping in (None, ExecutionStatus.INTERRUPTED):
            self.stopping = ExecutionStatus.PAUSED
            self._withdraw(effects)

    def _interrupt_requested(self, message: InterruptRequested, effects: list[Effect]) -> None:
        if self.status.at_rest:
            raise IllegalTransition(self.execution_id, self.status, "an interrupt")
        if self.stopping is None:
            self.stopping = ExecutionStatus.INTERRUPTED
        if not message.abort:
            self._withdraw(effects)
        elif self._in_flight:
            effects.append(AbortCalls())

    def _resume_requested(self, message: ResumeRequested, effects: list[Effect]) -> None:
        if not self.status.resumable:
            raise NotResumable(self.execution_id, self.status)
        self.check_regenerations()
        if message.epoch <= self.epoch:
            raise StaleMessage(f"epoch {message.epoch} of execution {self.execution_id} has passed")
        self._open_epoch(message.epoch)
        self._count_transactions(message)
        if message.user is not None:
            before = self.user.id if self.user is not None else "nobody"
            text = f"on behalf of {message.user.id} in place of {before}"
            self.steps.add(self.now, None, None, StepKind.RESUMED, text, self.revision)
            self.user = message.user
        # A worker that went away stopped nobody: what it cost to go on is told until it is through.
        self.receipt = self._new_receipt(self.receipt if self.status is ExecutionStatus.INTERRUPTED else None)
        guided: bool | None = bool(message.guidance)
        if message.guidance or self.reuse is None:
            self.guidance = message.guidance
        else:
            # What was said when it was forked is for nodes that it may not have come to yet.
            guided = None
        self.failure = None
        self.stopping = None
        self.finished_at = None
        self.status = ExecutionStatus.RECOVERING
        self._reset_unfinished(guided=guided)
        self.index_works()
        self.steps.add(self.now, None, None, StepKind.RESUMED, message.guidance, self.revision)

    def _new_receipt(self, before: Receipt | None) -> Receipt:
        """Count what is kept from here on; what was repeated or lost since the resume before goes on being told."""
        receipt = self.would_keep()
        if before is not None:
            receipt.repeated_calls = before.repeated_calls
            receipt.went_back_to = before.went_back_to
        return receipt

    def _reset_unfinished(self, *, guided: bool | None) -> None:
        """Put what failed or was cancelled back to pending; what is settled for good stays.

        `guided`: whether guidance is for it; None leaves that as it is.
        """
        stopped = (NodeStatus.FAILED, NodeStatus.CANCELLED)
        targets: list[Work] = []
        for node in self.plan.nodes:
            for item, each in self.each_of(node.index):
                each.guided = each.guided and guided is None
                finished_with_error = node.continue_on_error and each.status is NodeStatus.FAILED
                if each.status in stopped and not finished_with_error:
                    targets.append(each)
                    each.status = NodeStatus.PENDING
                    each.tries = 0
                    if self.checked is not None and (node.index, item) in self.checked:
                        self.checked[node.index, item].tries = 0
                    each.retry_at = None
                    each.park = None
                    each.finished_at = None
                    each.fraction = 0.0
                    self._touch(node.index, each)
        if not targets:
            # Nothing had failed: guidance is for what was on its way when the run stopped.
            targets = [
                each
                for node in self.plan.nodes
                for _, each in self.each_of(node.index)
                if each.status is NodeStatus.RUNNING and each.items is None
            ]
        for each in targets if guided else ():
            each.guided = True

    def _crashed_for_good(self, message: CrashedForGood, effects: list[Effect]) -> None:
        before = self.epoch
        if message.epoch > self.epoch:
            self._open_epoch(message.epoch)
        if self._in_flight:
            effects.append(AbortCalls())
        self._forget_calls(before)
        if self.failure is None:
            self.failure = FailurePoint(message.error, None, None)
        self.stopping = ExecutionStatus.FAILED

    _handlers: ClassVar[dict[type[Any], Callable[..., None]]] = {
        Recovered: _recovered,
        TakenUp: _taken_up,
        CutOff: _cut_off,
        NodeFinished: _finished,
        NodeReused: _reused,
        NodeFailed: _failed,
        NodeParked: _parked,
        NodeProgressed: _progressed,
        NodeHeld: _held_back,
        NodeBegan: _began,
        EdgesDecided: _edges_decided,
        ItemsExpanded: _items_expanded,
        TimerFired: _timer_fired,
        SignalReceived: _signal_received,
        CancelRequested: _cancel_requested,
        PauseRequested: _pause_requested,
        InterruptRequested: _interrupt_requested,
        ResumeRequested: _resume_requested,
        BudgetSet: _budget_set,
        BudgetFreed: _budget_freed,
        BudgetWarned: _budget_warned,
        CrashedForGood: _crashed_for_good,
    }

    # What transitions share

    def _forget_calls(self, epoch: int) -> None:
        """Nothing that was in flight in an epoch answers to this incarnation. What it used is paid all the same."""
        for node in self.plan.nodes:
            for item, each in self.each_of(node.index):
                if each.in_flight and each.status is NodeStatus.RUNNING and (item is None) is (node.foreach is None):
                    if self._is_unbegun(node.index, item):
                        each.started_at = None
                    else:
                        self.lost_calls = self.lost_calls or {}
                        self.lost_calls.setdefault((node.index, item), []).append((each.attempt, epoch))
                each.in_flight = False
        self._in_flight = 0
        self._held = None

    def _is_unbegun(self, index: int, item: int | None) -> bool:
        """Whether an attempt in flight waits for a limit, and has called nobody.

        In `sync` it may have begun unheard: nothing that was called may be forgotten there.
        """
        held = self._held.get((index, item)) if self._held else None
        return held is not None and not held.begun and self.durability != Durability.SYNC

    def _withdraw(self, effects: list[Effect]) -> None:
        """Nothing new starts: what is in flight and only waits for its turn ends now; the rest finishes."""
        if self._in_flight:
            effects.append(WithdrawCalls())

    def _charge(self, node: PlanNode, item: int | None, work: Work, usage: Usage, model: str) -> None:
        """Owe the ledger what an attempt used, and as much for each call there that was lost before it."""
        if usage.tokens or usage.cost:
            self._owe(node, item, work.attempt, self.epoch, usage, model)
            if self.lost_calls:
                self._write_off(node, item, work, usage, model)

    def _write_off(self, node: PlanNode, item: int | None, work: Work, usage: Usage, model: str = "") -> None:
        """Owe the ledger what calls that were lost with their incarnation are taken to have used."""
        assert self.lost_calls is not None
        estimate = usage._replace(estimated=True)
        for attempt, epoch in self.lost_calls.pop((node.index, item), ()):
            work.usage = work.usage + estimate
            self._owe(node, item, attempt, epoch, estimate, model)

    def _write_off_the_rest(self) -> None:
        """Perhaps nothing makes the calls again that were lost: they used what they had shown, or were to use.

        Those of which neither is known wait for the next call at their place.
        """
        for index, item in list(self.lost_calls or ()):
            node, work = self.plan.nodes[index], self._work(index, item)
            usage = work.live_usage if work.live_usage.tokens else node.estimate or NO_USAGE
            if usage.tokens:
                self._write_off(node, item, work, usage)
            work.live_usage = NO_USAGE

    def _owe(self, node: PlanNode, item: int | None, attempt: int, epoch: int, usage: Usage, model: str) -> None:
        if self.unsettled is None:
            self.unsettled = []
        place = NO_ITEM if item is None else item
        self.unsettled.append(Entry(EntryKind.SETTLE, node.id, place, attempt, epoch, self.now, model, usage))

    def _advance(self, effects: list[Effect]) -> None:
        """Start what became ready, then see whether the run has come to rest."""
        if self.status in (ExecutionStatus.QUEUED, ExecutionStatus.RECOVERING):
            # Its turn has not come: `Recovered` finds again what is ready.
            self._ready.clear()
            if self.stopping is not None:
                self._come_to_rest(self.stopping, effects)
            return
        while self._ready and self.stopping is None:
            self._consider(self.plan.nodes[self._ready.pop(0)], effects)
        self._ready.clear()
        if self.status.at_rest:
            if self.stopping is ExecutionStatus.CANCELLED and self.status is not ExecutionStatus.CANCELLED:
                self._come_to_rest(ExecutionStatus.CANCELLED, effects)
            return
        if self.stopping is not None:
            if not self._in_flight:
                self._come_to_rest(self.stopping, effects)
            else:
                self.status = ExecutionStatus.RUNNING
            return
        if not self._unsettled:
            if self.lost_calls:
                self._write_off_the_rest()
            self.status = ExecutionStatus.COMPLETED
            self.finished_at = self.now
            effects.append(SaveOutcome())
            return
        held = len(self._held) if self._held else 0
        idle = self._in_flight == held and bool(self._waiting or held)
        self.status = ExecutionStatus.WAITING if idle else ExecutionStatus.RUNNING
        if self._waiting:
            self._arm(effects)

    def _arm(self, effects: list[Effect]) -> None:
        dues = [work.due for work in self._waiting.values() if work.due is not None]
        if dues and (self._next_timer is None or min(dues) < self._next_timer):
            self._next_timer = min(dues)
            effects.append(ArmTimer(self._next_timer))

    def _come_to_rest(self, status: ExecutionStatus, effects: list[Effect]) -> None:
        cancelled = status is ExecutionStatus.CANCELLED
        if self.lost_calls and status.ended:
            self._write_off_the_rest()
        for node, work in zip(self.plan.nodes, self.works, strict=True):
            for item, each in self.each_of(node.index):
                if cancelled and each.status in (NodeStatus.WAITING, NodeStatus.RUNNING):
                    self._waiting.pop((node.index, item), None)
                    each.status = NodeStatus.CANCELLED
                    each.finished_at = self.now
                    self._touch(node.index, each)
            self._rest_foreach(node, work)
        self.status = status
        self.stopping = None
        if status.ended:
            self.finished_at = self.now
        self.steps.add(self.now, None, None, _REST_STEPS[status], "", self.revision)
        effects.append(SaveCheckpoint())

    def _rest_foreach(self, node: PlanNode, work: Work) -> None:
        """A foreach rests as what its items ended as: failed if one failed for good, else pending again."""
        if work.items is None or work.status is not NodeStatus.RUNNING or node.continue_on_error:
            return
        failed = [item for item in work.items if item.status is NodeStatus.FAILED]
        work.revision = self.revision
        if failed:
            work.status = NodeStatus.FAILED
            work.error = failed[0].error
            work.finished_at = self.now

    def _consider(self, node: PlanNode, effects: list[Effect]) -> None:
        """All that this node needs is settled: decide, start or skip it."""
        work = self.works[node.index]
        live = not node.needs or any(self._is_live(need) for need in node.needs)
        if not live:
            self._skip(node, work)
        elif node.has_conditions and not work.attempt:
            work.in_flight = True
            self._in_flight += 1
            effects.append(DecideEdges(node.id))
        else:
            self._start(node, work, effects)

    def _any_live_edge(self, node: PlanNode, edges: tuple[bool, ...]) -> bool:
        return any(taken and self._is_live(need) for need, taken in zip(node.needs, edges, strict=True))

    def _is_live(self, index: int) -> bool:
        """Whether a predecessor lets what follows it run; a skipped one does not."""
        return self.works[index].status is not NodeStatus.SKIPPED

    def _start(self, node: PlanNode, work: Work, effects: list[Effect]) -> None:
        if node.foreach is None:
            self._attempt(node, None, work, effects)
            return
        work.status = NodeStatus.RUNNING
        work.attempt += 1
        work.started_at = work.started_at or self.now
        self._touch(node.index, work)
        self.steps.add(self.now, node.id, None, StepKind.STARTED, "", self.revision)
        if work.items is None:
            work.in_flight = True
            self._in_flight += 1
            effects.append(ExpandItems(node.id))
        else:
            self._fill(node, work, effects)

    def _attempt(self, node: PlanNode, item: int | None, work: Work, effects: list[Effect]) -> None:
        if self.stopping is not None:
            return
        work.status = NodeStatus.RUNNING
        work.attempt += 1
        work.tries += 1
        work.started_at = work.started_at or self.now
        work.in_flight = True
        self._in_flight += 1
        self._touch(node.index, work)
        self.steps.add(self.now, node.id, item, StepKind.STARTED, "", self.revision)
        effects.append(StartNode(node.id, item, work.attempt))

    def _fill(self, node: PlanNode, work: Work, effects: list[Effect]) -> None:
        """Start items of a foreach, in order, until as many are active as may be."""
        assert node.foreach is not None
        assert work.items is not None
        if all(item.settled(node.continue_on_error) for item in work.items):
            self._finish_foreach(node, work, effects)
            return
        active = sum(1 for item in work.items if item.status in (NodeStatus.RUNNING, NodeStatus.WAITING))
        for position, item in enumerate(work.items):
            if active >= node.foreach.concurrency or self.stopping is not None:
                return
            if item.status is NodeStatus.PENDING:
                self._attempt(node, position, item, effects)
                active += 1

    def _item_settled(self, node: PlanNode, effects: list[Effect]) -> None:
        work = self.works[node.index]
        self._touch(node.index, work)
        self._fill(node, work, effects)

    def _finish_foreach(self, node: PlanNode, work: Work, effects: list[Effect]) -> None:
        assert work.items is not None
        self.outputs[node.id] = [item.output for item in work.items]
        failed = [item for item in work.items if item.status is NodeStatus.FAILED]
        work.finished_at = self.now
        self._touch(node.index, work)
        if failed:
            work.status = NodeStatus.FAILED
            work.error = failed[0].error
            text = f"{len(failed)} of {len(work.items)} items failed"
            self.steps.add(self.now, node.id, None, StepKind.FAILED, text, self.revision)
        else:
            work.status = NodeStatus.COMPLETED
            work.error = None
            self.steps.add(self.now, node.id, None, StepKind.FINISHED, "", self.revision)
            if self.reuse is not None and all(item.reused for item in work.items):
                self._receipt().kept_nodes += 1
        self._settled(node, work)

    def _skip(self, node: PlanNode, work: Work) -> None:
        work.status = NodeStatus.SKIPPED
        work.finished_at = self.now
        self._touch(node.index, work)
        self.steps.add(self.now, node.id, None, StepKind.SKIPPED, "", self.revision)
        self._settled(node, work)

    def _settled(self, node: PlanNode, work: Work) -> None:
        self._unsettled -= 1
        self._note_content(node, work)
        missing = self._missing
        for successor in node.successors:
            missing[successor] -= 1
            if not missing[successor]:
                self._ready.append(successor)

    def _wait(self, index: int, item: int | None, work: Work) -> None:
        work.status = NodeStatus.WAITING
        self._waiting[index, item] = work
        self._touch(index, work)

    def _let_go(self, node: PlanNode, item: int | None) -> None:
        """An attempt ended: whatever it waited for, it does no more."""
        if self._held:
            self._held.pop((node.index, item), None)

    def _land(self, work: Work, usage: Usage) -> None:
        work.in_flight = False
        self._in_flight -= 1
        if usage is not NO_USAGE:
            work.usage = usage if work.usage is NO_USAGE else work.usage + usage
        work.live_usage = NO_USAGE

    def _touch(self, index: int, work: Work) -> None:
        work.revision = self.revision
        self.works[index].revision = self.revision

    def _in_flight_work(self, node_id: str, item: int | None, attempt: int, epoch: int) -> tuple[PlanNode, Work]:
        if epoch != self.epoch:
            raise StaleMessage(f"epoch {epoch} reported on {node_id}, but this is epoch {self.epoch}")
        node = self.plan.nodes[self.plan.index[node_id]]
        try:
            work = self._work(node.index, item)
        except KeyError:
            raise StaleMessage(f"{node_id} has no item {item}") from None
        if not work.in_flight or work.attempt != attempt:
            raise StaleMessage(f"attempt {attempt} at {node_id} is not the one in flight")
        return node, work

    def _deciding_work(self, node_id: str, epoch: int) -> tuple[PlanNode, Work]:
        if epoch != self.epoch:
            raise StaleMessage(f"epoch {epoch} decided on {node_id}, but this is epoch {self.epoch}")
        node = self.plan.node(node_id)
        work = self.works[node.index]
        if not work.in_flight:
            raise StaleMessage(f"nothing is to be decided on {node_id}")
        return node, work


_REST_STEPS = {
    ExecutionStatus.FAILED: StepKind.FAILED,
    ExecutionStatus.CANCELLED: StepKind.CANCELLED,
    ExecutionStatus.PAUSED: StepKind.PAUSED,
    ExecutionStatus.INTERRUPTED: StepKind.PAUSED,
}
