"""How an execution's actor applies a message to its run, and carries out the effects. Answers nobody."""

from __future__ import annotations

from typing import assert_never

from pykka import ActorDeadError

from offbook.actors.calls import NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask
from offbook.actors.execution_base import ExecutionBase
from offbook.actors.purse import Purse, make_purse
from offbook.actors.recorder import STARTS
from offbook.actors.storage_messages import StoreWrite
from offbook.actors.supervisor_messages import StatusChanged
from offbook.workflows.checkpoint import save_of
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
from offbook.workflows.errors import StaleMessage
from offbook.workflows.messages import NodeFailed, RunMessage, TimerFired
from offbook.workflows.values import NodeError


class ExecutionEffects(ExecutionBase):
    """Applies messages and performs effects."""

    def _happened(self, message: RunMessage) -> None:
        """Apply what the node runner or a timer told; from another epoch or attempt it changes nothing."""
        try:
            self._apply(message)
        except StaleMessage as stale:
            self._refuse("stale", str(stale))

    def _apply(self, message: RunMessage) -> None:
        run = self._run
        effects = run.apply(message)
        self._changed()
        if self._purse is not None or (
            run.unsettled is not None and (run.budget is not None or self._around.budgets.anybody)
        ):
            self._note_spending(message)
        hold = self._recorder.record(message)
        for effect in effects:
            if hold and isinstance(effect, STARTS):
                self._recorder.hold(hold, effect)
            else:
                self._perform(effect)
        if run.status is not self._shown:
            self._shown = run.status
            self._tell_supervisor(StatusChanged(run.execution_id, run.status))
        if self._changes:
            self._resolve_changes()

    def _changed(self) -> None:
        """What was answered is no longer so, and is news to those who watch."""
        self._answer = None
        if self._publisher is not None:
            self._publisher.note()
        feed = self._around.feed
        if feed is not None:
            feed.note(self._run.execution_id)

    def _perform(self, effect: Effect) -> None:
        around, run = self._around, self._run
        match effect:
            case StartNode():
                if run.plan.node(effect.node_id).estimate is not None and (purse := self._purse_if_watched()):
                    purse.ask(effect)
                else:
                    self._start_node(effect)
            case SaveOutcome() | SaveCheckpoint():
                self._save()
            case DecideEdges():
                around.runner.submit(DecideTask(run.epoch, run.scope(effect.node_id), self._hear))
            case ExpandItems():
                around.runner.submit(ExpandTask(run.epoch, run.scope(effect.node_id), self._hear))
            case AbortCalls():
                self._drop_held()
                around.runner.abort(run.execution_id)
            case WithdrawCalls():
                self._drop_held()
                around.runner.withdraw(run.execution_id)
            case ArmTimer():
                self._arm(effect.due)
            case _:
                assert_never(effect)

    def _start_node(self, effect: StartNode) -> None:
        run = self._run
        self._around.runner.submit(
            NodeTask(
                execution_id=run.execution_id,
                epoch=run.epoch,
                item=effect.item,
                attempt=effect.attempt,
                scope=run.scope(effect.node_id, effect.item),
                reply=self._hear,
                reuse=run.reuse,
            )
        )

    def _note_spending(self, message: RunMessage) -> None:
        purse = self._purse_if_watched()
        if purse is not None:
            purse.note(message)

    def _purse_if_watched(self) -> Purse | None:
        if self._purse is None:
            self._purse = make_purse(self._run, self._around, self.actor_ref)
        return self._purse

    def _hear(self, message: RunMessage) -> None:
        """Take a reply of the node runner, on its thread; nobody hears what comes after the end."""
        try:
            self.actor_ref.tell(message)
        except ActorDeadError:
            self._refuse("nobody", f"{type(message).__name__} after the end")

    def _arm(self, due: float) -> None:
        self._cancel_timer()
        around = self._around
        self._timer = around.loop.call_later(max(0.0, due - around.clock()), self._fire, self._run.epoch)

    def _fire(self, epoch: int) -> None:
        self._timer = None
        if self.actor_ref.is_alive():
            # The loop's clock may be a little ahead of ours: what is due by its timer is due.
            self.actor_ref.tell(TimerFired(epoch, self._around.clock() + 0.001))

    def _drop_held(self) -> None:
        """What has not started is as good as aborted; what only evaluates goes on."""
        run = self._run
        asked = self._purse.take_asked() if self._purse is not None else []
        for effect in [*self._recorder.take_held(), *asked]:
            if isinstance(effect, StartNode):
                error = NodeError("cancelled", "the attempt was cancelled before it began")
                now = self._around.clock()
                attempt = (effect.node_id, effect.item, effect.attempt, run.epoch)
                self.actor_ref.tell(NodeFailed(*attempt, error, now, begun=False))
            else:
                self._perform(effect)

    def _save(self) -> None:
        self._saved = False
        self._cancel_timer()
        save = save_of(self._run)
        self._last_save = save.save
        self._around.persistence.tell(StoreWrite(save, self.actor_ref, keep_trying=True))
