"""What an execution's actor answers, from memory: status, changes, outputs. Changes nothing."""

from __future__ import annotations

import orjson

from offbook.actors.execution_effects import ExecutionEffects
from offbook.actors.execution_messages import GetChange, GetOutput, RetireExecution, StatusAnswer, WatchExecution
from offbook.actors.loop import LoopFuture
from offbook.actors.publisher import Publisher
from offbook.actors.storage_messages import RecordConfirmed
from offbook.actors.supervisor_messages import ExecutionRetired
from offbook.workflows.errors import NodeNotFound
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import StatusContext, status_payload

VEIL_SECONDS = 0.05
"""Between two looks at whether what would be shown is on disk."""


class ExecutionAnswers(ExecutionEffects):
    """Answers whoever asks."""

    def _confirmed(self, message: RecordConfirmed) -> None:
        self._answer = None
        for effect in self._recorder.confirm(message):
            self._perform(effect)
        self._unveil()

    def _unveil(self) -> None:
        if self._veiled and not self._recorder.is_veiled:
            veiled, self._veiled = self._veiled, []
            for since, future in veiled:
                future.set(self._status(since))

    def _look_behind_veil(self) -> None:
        """Look again: what is confirmed to the actor before this one, or given up, is not told to this one."""
        self._unveil()
        if self._veiled and self.actor_ref.is_alive():
            self._around.loop.call_later(VEIL_SECONDS, self._look_behind_veil)

    def _status(self, since: int | None) -> StatusAnswer | LoopFuture:
        if self._recorder.is_veiled:
            if not self._veiled:
                self._around.loop.call_later(VEIL_SECONDS, self._look_behind_veil)
            self._veiled.append((since, future := LoopFuture()))
            return future
        run = self._run
        if since is not None:
            payload = status_payload(run, self.context(), since)
            return StatusAnswer(orjson.dumps(payload), run.revision)
        answer, degraded = self._answer, self._recorder.is_degraded
        if answer is None or answer.degraded is not degraded:
            context = self.context()
            answer = StatusAnswer(orjson.dumps(status_payload(run, context)), run.revision, degraded)
            if not (context.journal and context.journal["lag_ms"]):
                # That the journal has caught up is no change of the run: until it has, nothing is the last word.
                self._answer = answer
        return answer

    def context(self) -> StatusContext:
        """Return what is shown of this execution that its run does not know."""
        completed = self._run.status is ExecutionStatus.COMPLETED
        saved = self._saved and self._run.status.at_rest and not completed
        currency = self._around.currency
        return StatusContext(checkpoint_saved=saved, journal=self._recorder.figures(), currency=currency)

    def is_veiled(self) -> bool:
        """Whether what would be shown is not on disk, and a crash could take it back."""
        return self._recorder.is_veiled

    def is_over(self) -> bool:
        """Whether the run has ended, and is stored."""
        return self._saved and self._run.status.ended

    def _watch(self, message: WatchExecution) -> None:
        if self._publisher is None:
            self._publisher = Publisher(self._run, self, self._around.loop, self._unwatched)
        self._publisher.join(message.watcher, message.after)

    def _unwatched(self) -> None:
        self._publisher = None
        retiring, self._retiring = self._retiring, None
        if retiring is not None:
            self._retire(retiring)

    def _change(self, message: GetChange) -> LoopFuture:
        future: LoopFuture = LoopFuture()
        if self._run.revision > message.since:
            future.set(self._run.revision)
            return future
        now = self._around.clock()
        waiting = [each for each in self._changes or () if each[2] > now]
        self._changes = [*waiting, (message.since, future, now + message.seconds)]
        return future

    def _rest(self) -> LoopFuture:
        future = LoopFuture()
        if self._saved and self._run.status.at_rest:
            future.set(self._run.revision)
        else:
            self._rest_waiters = self._rest_waiters or []
            self._rest_waiters.append(future)
        return future

    def _output(self, message: GetOutput) -> object:
        run = self._run
        if message.node_id not in run.plan.index:
            raise NodeNotFound(run.execution_id, message.node_id, "the workflow has no such node")
        try:
            return run.output(message.node_id, message.item)
        except KeyError:
            where = "it" if message.item is None else f"item {message.item}"
            raise NodeNotFound(run.execution_id, message.node_id, f"{where} has no output (yet)") from None

    def _retire(self, message: RetireExecution) -> None:
        if self._publisher is not None and self._publisher.has_watchers:
            self._retiring = message
            return
        if self._saved and self._run.status.at_rest and self._pending is None:
            self._tell_supervisor(ExecutionRetired(self._run.execution_id, message.commands))
