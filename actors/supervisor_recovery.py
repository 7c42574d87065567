"""The Supervisor and executions that were stored: for a command, or because a process left them unfinished."""

from __future__ import annotations

from typing import assert_never

from loguru import logger

from offbook.actors.directory import Entry
from offbook.actors.execution_messages import (
    BeginExecution,
    CancelExecution,
    Command,
    CutOffExecution,
    PauseExecution,
    ResumeExecution,
    SetBudget,
    SignalExecution,
    TakeUpExecution,
)
from offbook.actors.storage_messages import ForgetRecords
from offbook.actors.supervisor_crashes import SupervisorCrashes
from offbook.actors.supervisor_messages import (
    ExecutionLoaded,
    ExecutionsLoaded,
    RecoverWorker,
    SupervisorMessage,
    UnfinishedFound,
)
from offbook.workflows.errors import CommandRefused, ExecutionNotFound, NotResumable, OffbookError
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus


class SupervisorRecovery(SupervisorCrashes):
    """Takes stored executions into memory."""

    def _tell_held(self, message: ExecutionsLoaded) -> None:
        """Have what was loaded for a command taken in; if that was not possible, its sender hears why."""
        held = message.loaded[0]
        self._tell_self(ExecutionLoaded(held.execution_id, None, message.error) if message.error else held)

    def _loaded(self, message: ExecutionLoaded) -> None:
        run = message.run
        owner = run.user.id if run is not None and run.user is not None else None
        held = self._held.pop(message.execution_id, [])
        theirs = [each for each in held if run is not None and each[0].caller.may_see(owner)]
        for each in held:
            if each not in theirs:
                error = message.error or ExecutionNotFound(message.execution_id)
                each[1].set_exception((type(error), error, None))
        if run is None or not theirs:
            return
        entry = self._directory.find(message.execution_id)
        if entry is None and message.elsewhere:
            # Whoever has it may run it at this moment: one writer, and nothing is paid for twice.
            for forwarded, future in theirs:
                refusal = _not_here(forwarded.command, message.elsewhere)
                future.set_exception((type(refusal), refusal, None))
            return
        self._held[message.execution_id] = theirs
        entry = entry or self._take_in(message, run)
        if entry.ref is not None:
            self._release(entry, entry.ref)

    def _take_in(self, loaded: ExecutionLoaded, run: Run) -> Entry:
        """Take an execution that was stored into memory: one at rest as it is, one that was live goes on."""
        run.db_reads += 1
        if loaded.claimed:
            run.db_writes += 1
        resumes = self._goes_on and (run.status is ExecutionStatus.INTERRUPTED or loaded.claimed)
        if not run.status.at_rest or resumes:
            return self._take_up(loaded, run)
        if loaded.unsaved:
            # It had come to rest, and its process went away before that was stored. What was streamed then was
            # shown, and is not in the journal: what is shown from here on is of a new epoch.
            entry = self._spawn(run, inserted=True, saved=False, gauge=loaded.gauge)
            entry.accepted = True
            assert entry.ref is not None
            entry.ref.tell(TakeUpExecution(run.epoch + 1))
            return entry
        self._forget_records(loaded)
        entry = self._spawn(run, inserted=True, saved=True, gauge=loaded.gauge)
        entry.accepted = entry.saved = True
        entry.rested_at = self._around.clock()
        self._rested[run.execution_id] = entry.rested_at
        self._arm_eviction()
        return entry

    def _take_up(self, loaded: ExecutionLoaded, run: Run) -> Entry:
        """Take in an execution that had not finished: it goes on when there is a place for it."""
        entry = self._spawn(run, inserted=True, saved=run.status.at_rest, gauge=loaded.gauge)
        entry.accepted = True
        assert entry.ref is not None
        if not self._goes_on:
            entry.ref.tell(CutOffExecution())
            return entry
        entry.status = ExecutionStatus.RECOVERING
        epoch = max(run.epoch, loaded.claimed) + 1
        entry.begin = BeginExecution(epoch, loaded.lost)
        entry.ref.tell(TakeUpExecution(epoch, resume=True))
        if self._admission.enter(run.execution_id, bounded=False):
            entry.ref.tell(entry.begin)
        logger.info("execution taken up again", execution_id=run.execution_id, epoch=entry.begin.epoch)
        return entry

    def _found_unfinished(self, message: UnfinishedFound) -> None:
        if message.error is not None:
            self._recover_later(message.error, RecoverWorker())
            return
        self._queue.survey(message.execution_ids)
        if self._directory.recovering:
            logger.info("recovery begins", executions=len(self._directory.recovering))
        self._recover_next()

    def _recover_next(self) -> None:
        part = self._queue.next_part()
        if part:
            self._recovery.load(part, self._tell_self)

    def _recovered(self, message: ExecutionsLoaded) -> None:
        if message.error is not None:
            self._recover_later(message.error, ExecutionsLoaded(()))
            return
        for loaded in message.loaded:
            if loaded.execution_id not in self._directory and loaded.execution_id not in self._discarded:
                self._recover(loaded)
            entry = self._directory.find(loaded.execution_id)
            if entry is not None and entry.ref is not None:
                self._release(entry, entry.ref)
            self._queue.done(loaded.execution_id)
        if message.loaded and not self._directory.recovering:
            logger.info("recovery is complete")
        self._recover_next()

    def _recover(self, loaded: ExecutionLoaded) -> None:
        if loaded.elsewhere:
            # Another worker took it over from rest while this one was away.
            self._forget_records(loaded)
        elif loaded.run is not None:
            self._take_in(loaded, loaded.run)
        elif loaded.error is not None:
            logger.error("execution cannot be recovered", execution_id=loaded.execution_id, why=str(loaded.error))
            self._around.dead_letters.add(
                self._around.clock(), "unrecoverable", loaded.execution_id, str(loaded.error)
            )
        else:
            # It was deleted, and its records were left.
            self._forget_records(loaded)

    def _forget_records(self, loaded: ExecutionLoaded) -> None:
        if loaded.records and self._around.journal is not None:
            self._around.journal.tell(ForgetRecords(loaded.execution_id, loaded.records))

    def _recover_later(self, error: Exception, again: SupervisorMessage) -> None:
        delay = self._queue.delay()
        logger.warning("recovery waits", retry_in=delay, why=str(error))
        self._later(delay, again)


def _not_here(command: Command, worker_id: str) -> OffbookError:
    advice = f"worker {worker_id} has it: ask that one"
    match command:
        case ResumeExecution():
            return NotResumable(command.execution_id, ExecutionStatus.RUNNING, advice)
        case CancelExecution():
            name = "cancel"
        case PauseExecution():
            name = "pause"
        case SignalExecution():
            name = f"signal {command.name!r}"
        case SetBudget():
            name = "change its budget"
        case _:
            assert_never(command)
    return CommandRefused(command.execution_id, name, ExecutionStatus.RUNNING, advice)
