"""The Supervisor and crashes: of executions, within their restart intensity, and of the actors beside them."""

from __future__ import annotations

from typing import Any

from loguru import logger
from pykka import ActorRef

from offbook.actors.directory import Entry
from offbook.actors.execution_messages import BeginExecution, CutOffExecution, GiveUpExecution, TakeUpExecution
from offbook.actors.restart_intensity import recent_crashes, restart_delay
from offbook.actors.supervisor_at_rest import SupervisorAtRest
from offbook.actors.supervisor_messages import ExecutionCrashed, RestartDue, ServiceCrashed, ServiceRestartDue
from offbook.workflows.states import ExecutionStatus

SERVICE_RESTARTS = 5

SERVICE_PERIOD = 60.0
"""More crashes of the PersistenceActor or JournalActor within so many seconds end the worker."""


class SupervisorCrashes(SupervisorAtRest):
    """Restarts what crashes."""

    def on_child_stopped(self, child: ActorRef[Any], reason: BaseException | None) -> None:
        """A crash is told by the dying actor itself, with its state; here only one that could not tell is left."""
        if reason is None:
            return
        for entry in self._directory:
            if entry.ref is child:
                logger.error("execution died without its state", execution_id=entry.execution_id, why=str(reason))
                self._crashed(ExecutionCrashed(child, entry.execution_id, entry.run, entry.accepted, str(reason)))
                return

    def _service_crashed(self, message: ServiceCrashed) -> None:
        crashes = recent_crashes(self._service_crashes.get(message.name, ()), self._around.clock(), SERVICE_PERIOD)
        self._service_crashes[message.name] = crashes
        logger.error("service crashed, its mailbox is kept", service=message.name, why=message.reason)
        if len(crashes) > SERVICE_RESTARTS:
            times = f"{len(crashes)} times within {SERVICE_PERIOD:g} s"
            self._around.give_up(f"the {message.name} actor crashed {times}: {message.reason}")
            return
        self._later(restart_delay(crashes), ServiceRestartDue(message.name))

    def _crashed(self, message: ExecutionCrashed) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None or entry.ref is not message.ref:
            return
        around = self._around
        around.runner.abort(message.execution_id, silently=True)
        entry.ref = None
        entry.run = message.run
        entry.last_reason = message.reason
        entry.claimed = message.claimed
        entry.gauge = message.gauge
        if not message.stored:
            logger.error(
                "execution crashed before it was stored", execution_id=entry.execution_id, why=message.reason
            )
            self._forget(entry.execution_id)
            return
        policy = message.run.plan.workflow.restart
        entry.crashes = recent_crashes(entry.crashes, around.clock(), policy.within)
        entry.restarts += 1
        if len(entry.crashes) > policy.max_restarts:
            entry.poisoned = True
        delay = 0.0 if entry.poisoned else restart_delay(entry.crashes)
        logger.warning(
            "execution crashed", execution_id=entry.execution_id, why=message.reason, restarts=entry.restarts
        )
        entry.status = ExecutionStatus.RECOVERING
        if around.feed is not None:
            around.feed.note(entry.execution_id)
        self._later(delay, RestartDue(entry.execution_id))

    def _restart(self, execution_id: str) -> None:
        entry = self._directory.find(execution_id)
        if entry is None or entry.ref is not None:
            return
        turn = entry.turn_awaited()
        entry = self._spawn(entry.run, inserted=True, saved=entry.saved or turn is not None)
        assert entry.ref is not None
        if turn is not None and not entry.poisoned:
            self._await_turn_again(entry, entry.ref, turn)
        elif entry.run.status.at_rest:
            self._rest_again(entry, entry.ref)
        elif entry.poisoned:
            reason = f"its actor crashed {len(entry.crashes)} times: {entry.last_reason}"
            entry.ref.tell(GiveUpExecution(reason))
        elif self._draining is not None:
            entry.ref.tell(CutOffExecution())
        else:
            entry.ref.tell(BeginExecution(entry.run.epoch + 1))
        self._release(entry, entry.ref)

    def _await_turn_again(self, entry: Entry, ref: ActorRef[Any], begin: BeginExecution) -> None:
        """It had been taken up, and crashed before it went on."""
        entry.status = ExecutionStatus.RECOVERING
        ref.tell(TakeUpExecution(begin.epoch, resume=True))
        if self._draining is not None:
            ref.tell(CutOffExecution())
        elif self._admission.has(entry.execution_id):
            ref.tell(begin)

    def _rest_again(self, entry: Entry, ref: ActorRef[Any]) -> None:
        """What was at rest when its actor crashed only has to be stored, if it is not."""
        if entry.claimed:
            # Whoever asked for the resume heard that it failed: a later epoch says that it is at rest.
            entry.saved = False
            ref.tell(TakeUpExecution(entry.claimed + 1))
            entry.claimed = 0
            return
        if not entry.saved:
            ref.tell(BeginExecution(entry.run.epoch))
            return
        self._rested[entry.execution_id] = entry.rested_at
        if self._draining is not None:
            self._draining.stored(entry.execution_id)
        self._arm_eviction()
