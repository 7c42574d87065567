"""The Supervisor: admits executions, spawns an actor for each, restarts the crashed, resumes by policy, drains."""

from __future__ import annotations

from typing import assert_never

from loguru import logger

from offbook.actors.execution_messages import AcceptExecution, ResumeExecution
from offbook.actors.listing import list_services
from offbook.actors.loop import LoopFuture
from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.supervisor_messages import (
    AdoptExecution,
    AutoResumeDue,
    DeleteStored,
    DrainWorker,
    EvictionDue,
    ExecutionAccepted,
    ExecutionCrashed,
    ExecutionDiscarded,
    ExecutionLoaded,
    ExecutionRetired,
    ExecutionSaved,
    ExecutionsLoaded,
    ForwardCommand,
    GraceOver,
    KeepWorkflow,
    ListLive,
    ListServices,
    RecoverWorker,
    RestartDue,
    ServiceCrashed,
    ServiceRestartDue,
    StartExecution,
    StatusChanged,
    SupervisorMessage,
    UnfinishedFound,
)
from offbook.actors.supervisor_recovery import SupervisorRecovery
from offbook.workflows.errors import CommandRefused, Draining, ExecutionNotFound
from offbook.workflows.records import DeleteExecution, PutWorkflow


class Supervisor(SupervisorRecovery):
    """Spawns one ExecutionActor per run, knows which are in memory, and keeps them going."""

    def on_receive(self, message: SupervisorMessage) -> object:
        match message:
            case StatusChanged():
                return self._status_changed(message)
            case ExecutionAccepted():
                return self._accepted(message)
            case ExecutionSaved():
                return self._saved(message)
            case StartExecution():
                return self._start(message)
            case ExecutionRetired():
                return self._retired(message)
            case ForwardCommand():
                return self._forward(message)
            case ExecutionLoaded():
                return self._loaded(message)
            case ExecutionDiscarded():
                return self._discard(message.execution_id)
            case ExecutionCrashed():
                return self._crashed(message)
            case RestartDue():
                return self._restart(message.execution_id)
            case AutoResumeDue():
                return self._auto_resume(message)
            case EvictionDue():
                return self._evict()
            case DeleteStored():
                return self._delete(message.execution_id)
            case WriteDone() | WriteFailed():
                return self._written(message)
            case KeepWorkflow():
                return self._keep_workflow(message)
            case ListLive():
                return self._directory.rows(message.where, self._around.worker_id)
            case ListServices():
                return list_services(self, self._around)
            case DrainWorker():
                return self._drain(message.grace)
            case GraceOver():
                return self._interrupt_all(abort=True)
            case RecoverWorker():
                return self._recovery.find(self._tell_self)
            case UnfinishedFound():
                return self._found_unfinished(message)
            case ExecutionsLoaded():
                return self._recovered(message)
            case AdoptExecution():
                return self._queue.wait_for(message.execution_id)
            case ServiceCrashed():
                return self._service_crashed(message)
            case ServiceRestartDue():
                return self._services[message.name].restart()
            case _:
                assert_never(message)

    def _start(self, message: StartExecution) -> LoopFuture:
        if self._draining is not None:
            raise Draining
        run = message.run
        begin = self._admission.enter(run.execution_id)
        entry = self._spawn(run, inserted=False, saved=False)
        assert entry.ref is not None
        return self._answer_of(entry.ref, AcceptExecution(message.insert, begin))

    def _accepted(self, message: ExecutionAccepted) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None:
            return
        entry.accepted = True
        logger.info("execution accepted", execution_id=entry.execution_id, workflow=entry.run.plan.workflow.name)
        if self._draining is not None:
            self._interrupt(entry)

    def _status_changed(self, message: StatusChanged) -> None:
        entry = self._directory.find(message.execution_id)
        if entry is None:
            return
        before, entry.status = entry.status, message.status
        entry.saved = False
        if before.at_rest and not message.status.at_rest:
            # A resume is not turned away.
            self._admission.force(entry.execution_id)
            self._rested.pop(entry.execution_id, None)
        if message.status.at_rest and not before.at_rest:
            logger.info("execution at rest", execution_id=entry.execution_id, status=message.status.value)
            self._leave(entry.execution_id)

    def _delete(self, execution_id: str) -> LoopFuture:
        entry = self._directory.find(execution_id)
        if entry is not None and not (entry.status.at_rest and entry.saved):
            raise CommandRefused(execution_id, "delete", entry.status, "cancel it first")
        self._forget(execution_id)
        return self._write(execution_id, DeleteExecution(execution_id))

    def _keep_workflow(self, message: KeepWorkflow) -> LoopFuture:
        return self._write(message.write.fingerprint, message.write)

    def _write(self, key: str, write: DeleteExecution | PutWorkflow) -> LoopFuture:
        future = self._writing.get(key)
        if future is None:
            future = self._writing[key] = LoopFuture()
            self._around.persistence.tell(StoreWrite(write, self.actor_ref))
        return future

    def _written(self, message: WriteDone | WriteFailed) -> None:
        write = message.write
        assert isinstance(write, DeleteExecution | PutWorkflow)
        key = write.execution_id if isinstance(write, DeleteExecution) else write.fingerprint
        future = self._writing.pop(key)
        if isinstance(message, WriteDone):
            future.set(message.result.applied)
        else:
            future.set_exception((type(message.error), message.error, None))

    def _forward(self, message: ForwardCommand) -> LoopFuture:
        if self._draining is not None and isinstance(message.command, ResumeExecution):
            raise Draining
        execution_id = message.command.execution_id
        entry = self._directory.find(execution_id)
        if entry is not None and not message.caller.may_see(entry.user_id):
            raise ExecutionNotFound(execution_id)
        held = self._held.get(execution_id)
        if held is None and entry is not None and entry.ref is not None:
            return self._command(entry, entry.ref, message.command)
        future = LoopFuture()
        if held is not None:
            held.append((message, future))
            return future
        self._held[execution_id] = [(message, future)]
        if entry is None:
            self._recovery.load((execution_id,), self._tell_held)
        return future
