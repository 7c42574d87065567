"""The Supervisor and executions at rest: kept in memory for a while, resumed by policy, forgotten."""

from __future__ import annotations

from loguru import logger

from offbook.actors.directory import Entry
from offbook.actors.execution_messages import ResumeExecution, RetireExecution
from offbook.actors.supervisor_base import SupervisorBase
from offbook.actors.supervisor_messages import AutoResumeDue, EvictionDue, ExecutionRetired, ExecutionSaved
from offbook.workflows.states import ExecutionStatus

EVICTION_SECONDS = 1.0


class SupervisorAtRest(SupervisorBase):
    """Looks after executions that have come to rest."""

    def _saved(self, message: ExecutionSaved) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or not entry.status.at_rest:
            return
        entry.saved = True
        entry.rested_at = self._around.clock()
        self._rested[entry.execution_id] = entry.rested_at
        if self._draining is not None:
            self._draining.stored(entry.execution_id)
        elif entry.status is ExecutionStatus.FAILED:
            self._plan_auto_resume(entry)
        self._arm_eviction()

    def _arm_eviction(self) -> None:
        if not self._eviction_armed and self._rested:
            self._eviction_armed = True
            self._later(EVICTION_SECONDS, EvictionDue())

    def _evict(self) -> None:
        self._eviction_armed = False
        now = self._around.clock()
        excess = len(self._rested) - self._limits.retain_count
        for execution_id, since in list(self._rested.items()):
            if excess <= 0 and now - since < self._limits.retain_seconds:
                break
            del self._rested[execution_id]
            excess -= 1
            entry = self._directory.find(execution_id)
            if entry is not None and entry.saved and entry.status.at_rest:
                self._tell(entry, RetireExecution(entry.commands))
        self._arm_eviction()

    def _retired(self, message: ExecutionRetired) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or not (entry.saved and entry.status.at_rest):
            return
        if entry.commands == message.commands:
            self._forget(message.execution_id)
        else:
            self._rested[message.execution_id] = self._around.clock()
            self._arm_eviction()

    def _forget(self, execution_id: str) -> None:
        entry = self._directory.remove(execution_id)
        self._rested.pop(execution_id, None)
        self._leave(execution_id)
        if entry is not None and entry.ref is not None and entry.ref.is_alive():
            entry.ref.stop(block=False)
        if self._draining is not None:
            self._draining.stored(execution_id)

    def _discard(self, execution_id: str) -> None:
        """Forget an execution that was not accepted, also if a survey of what is unfinished saw its row."""
        if not self._directory.recovered.done():
            self._discarded.add(execution_id)
        self._forget(execution_id)

    def _plan_auto_resume(self, entry: Entry) -> None:
        policy = entry.run.plan.workflow.restart
        if entry.poisoned or entry.auto_resumes >= policy.auto_resume or entry.run.out_of_regenerations():
            return
        delay = policy.delay * 2**entry.auto_resumes
        entry.auto_resumes += 1
        logger.info("failed execution will be resumed", execution_id=entry.execution_id, seconds=delay)
        self._rested.pop(entry.execution_id, None)
        self._later(delay, AutoResumeDue(entry.execution_id, entry.run.epoch))

    def _auto_resume(self, message: AutoResumeDue) -> None:
        entry = self._directory.find(message.execution_id)
        if self._draining is not None or entry is None or entry.ref is None or entry.run.epoch != message.epoch:
            return
        if entry.status is not ExecutionStatus.FAILED:
            return
        self._command(entry, entry.ref, ResumeExecution(message.execution_id))
