"""What an execution's actor makes of its writes: stored, refused as stale, or not to be stored."""

from __future__ import annotations

from dataclasses import replace

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.execution_commands import ExecutionCommands
from offbook.actors.execution_messages import AcceptExecution
from offbook.actors.loop import LoopFuture
from offbook.actors.other_user import audit
from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.supervisor_messages import ExecutionAccepted, ExecutionDiscarded, ExecutionSaved
from offbook.workflows.errors import CommandRefused, IdempotencyConflict, NotResumable
from offbook.workflows.messages import Recovered, TakenUp
from offbook.workflows.records import ClaimExecution, DeleteExecution, InsertExecution, SaveState


class ExecutionWrites(ExecutionCommands):
    """Hears what became of writes."""

    def _accept(self, message: AcceptExecution) -> LoopFuture:
        self._begin = message.begin
        return self._write_and_wait(message.insert)

    def _written(self, message: WriteDone) -> None:
        match message.write:
            case InsertExecution():
                self._inserted_row(message)
            case ClaimExecution():
                self._claimed(message)
            case SaveState(epoch=epoch):
                if message.write.bookings is not None:
                    self._run.forget_settled(message.write.bookings.entries)
                if message.result.applied:
                    self._recorder.stored(message.write.state["journal_seq"])
                if message.result.applied and epoch == self._run.epoch and message.write.save == self._last_save:
                    self._saved = True
                    if (purse := self._purse_if_watched()) is not None:
                        purse.leave()
                        self._purse = None
                    self._run.revision = max(self._run.revision, message.write.state["revision"])
                    self._changed()
                    self._resolve_changes(everything=True)
                    self._resolve_rest()
                    self._tell_supervisor(ExecutionSaved(self._run.execution_id))
                elif not message.result.applied:
                    self._fenced(epoch)
            case _:
                logger.error("unexpected write", write=type(message.write).__name__)

    def _fenced(self, epoch: int) -> None:
        """A later epoch is stored than that of a save: another worker has this execution now."""
        run = self._run
        self._refuse("stale-write", f"epoch {epoch}")
        if epoch != run.epoch or not run.status.at_rest:
            return
        logger.error("state refused as stale: another worker has this execution", execution_id=run.execution_id)
        self._recorder.forget_everything()
        self._tell_supervisor(ExecutionDiscarded(run.execution_id))

    def _inserted_row(self, message: WriteDone) -> None:
        assert isinstance(message.write, InsertExecution)
        run, future = self._run, self._take_pending()
        existing = message.result.existing_id
        if existing is not None:
            self._tell_supervisor(ExecutionDiscarded(run.execution_id))
            if message.result.existing_hash == message.write.request_hash:
                future.set(existing)
            else:
                conflict = IdempotencyConflict(message.write.idempotency_key or "", existing)
                future.set_exception((IdempotencyConflict, conflict, None))
            return
        self._inserted = True
        run.db_writes += 1
        run.revision += 1
        self._changed()
        future.set(run.execution_id)
        self._tell_supervisor(ExecutionAccepted(run.execution_id))
        if self._begin and not run.status.at_rest:
            self._apply(Recovered(run.epoch, self._around.clock()))

    def _claimed(self, message: WriteDone) -> None:
        run, future = self._run, self._take_pending()
        resuming, self._resuming = self._resuming, None
        assert resuming is not None
        if not message.result.applied:
            refusal = NotResumable(run.execution_id, run.status, "another worker has it")
            future.set_exception((NotResumable, refusal, None))
            self._tell_supervisor(ExecutionDiscarded(run.execution_id))
            return
        run.db_writes += 1
        audit(run, resuming)
        self._apply(replace(resuming, reads=run.db_reads, writes=run.db_writes))
        _pass_value(self._recorder.when_recorded(run.epoch, strict=False), future)
        self._apply(Recovered(run.epoch, self._around.clock()))
        self._hear_deferred()

    def _not_written(self, message: WriteFailed) -> None:
        if isinstance(message.write, SaveState):
            # Not the database being away (that is retried): what is to be stored cannot be.
            logger.error("state cannot be stored", execution_id=self._run.execution_id, why=str(message.error))
            return
        future = self._take_pending()
        self._resuming = None
        if isinstance(message.write, ClaimExecution) and self._run.status.at_rest:
            # Whether it was committed may be unknown: a later epoch says that this is at rest, as it was.
            run = self._run
            self._apply(TakenUp(message.write.epoch + 1, self._around.clock(), run.db_reads, run.db_writes, run.user))
        if isinstance(message.write, InsertExecution):
            # Whether it was committed may be unknown, and its sender hears that nothing was started.
            undo = DeleteExecution(self._run.execution_id)
            self._around.persistence.tell(StoreWrite(undo, None, keep_trying=True))
            self._tell_supervisor(ExecutionDiscarded(self._run.execution_id))
        future.set_exception((type(message.error), message.error, None))
        self._hear_deferred()

    def _hear_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for name, message, future in deferred:
            try:
                answer = self._command(name, message)
            except CommandRefused as refused:
                future.set_exception((CommandRefused, refused, None))
            else:
                _pass_value(answer, future)


def _pass_value(source: LoopFuture, target: LoopFuture) -> None:
    """Resolve one future as another is resolved."""

    def resolved(_: LoopFuture) -> None:
        try:
            target.set(source.get(timeout=0))
        except ActorDeadError as dead:
            target.set_exception((ActorDeadError, dead, None))

    source.add_done_callback(resolved)
