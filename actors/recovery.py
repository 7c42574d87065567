"""Reads executions back from database and journal, on threads of their own. Decides nothing about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from loguru import logger

from offbook.actors.catalogue import Catalogue
from offbook.actors.supervisor_messages import ExecutionLoaded, ExecutionsLoaded, UnfinishedFound
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.errors import OffbookError, StorageUnavailable
from offbook.workflows.messages import CutOff
from offbook.workflows.records import ExecutionReader, JournalRecord, JournalStore, StoredExecution
from offbook.workflows.recovery import claimed_epoch, rebuild
from offbook.workflows.run import Run
from offbook.workflows.states import Durability, ExecutionStatus


class WorkerRecovery:
    """Journal over checkpoint over row, for one worker. Implements the Supervisor's `Recovery`."""

    def __init__(
        self,
        reader: ExecutionReader,
        journal: JournalStore | None,
        catalogue: Catalogue,
        worker_id: str,
        pool: Executor,
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._catalogue = catalogue
        self._worker_id = worker_id
        self._pool = pool

    def find(self, reply: Callable[[UnfinishedFound], None]) -> None:
        """Tell which executions of this worker had not finished."""
        self._pool.submit(lambda: reply(self._find()))

    def load(self, execution_ids: tuple[str, ...], reply: Callable[[ExecutionsLoaded], None]) -> None:
        """Tell what each of these executions had become, one answer for each id."""
        self._pool.submit(lambda: reply(self._load(execution_ids)))

    def read(self, execution_id: str) -> tuple[StoredExecution, Run] | None:
        """Return an execution for somebody to look at, for any thread.

        One that was cut off is `interrupted`. One that another worker has runs, for all that is known here.
        """
        stored = self._reader.load(execution_id)
        if stored is None:
            return None
        run, _ = rebuild(
            stored, self._catalogue.restore(stored.document, stored.fingerprint), self._records([execution_id])
        )
        if self.elsewhere(stored):
            run.status = ExecutionStatus.RUNNING
        elif not run.status.at_rest:
            run.apply(CutOff(run.now))
        return stored, run

    def elsewhere(self, stored: StoredExecution) -> str:
        """Return the worker that has an execution which is live; empty if that is this one."""
        live = not ExecutionStatus(stored.status).at_rest
        return stored.worker_id if live and stored.worker_id != self._worker_id else ""

    def _find(self) -> UnfinishedFound:
        try:
            found = self._reader.unfinished(self._worker_id)
            recorded = self._journal.execution_ids() if self._journal is not None else []
        except StorageUnavailable as away:
            return UnfinishedFound((), away)
        return UnfinishedFound(tuple(dict.fromkeys([*found, *recorded])))

    def _load(self, execution_ids: tuple[str, ...]) -> ExecutionsLoaded:
        try:
            stored = {each.execution_id: each for each in self._reader.load_many(execution_ids)}
            records = self._journal.read(execution_ids) if self._journal is not None else {}
        except StorageUnavailable as away:
            return ExecutionsLoaded(tuple(ExecutionLoaded(each, None) for each in execution_ids), away)
        return ExecutionsLoaded(
            tuple(self._rebuilt(each, stored.get(each), records.get(each, [])) for each in execution_ids)
        )

    def _rebuilt(
        self, execution_id: str, stored: StoredExecution | None, records: Sequence[JournalRecord]
    ) -> ExecutionLoaded:
        last = records[-1].seq if records else 0
        if stored is None:
            return ExecutionLoaded(execution_id, None, records=last)
        try:
            run, folded = rebuild(stored, self._catalogue.restore(stored.document, stored.fingerprint), records)
        except OffbookError as error:
            return ExecutionLoaded(execution_id, None, error, records=last)
        except Exception as fault:  # noqa: BLE001 - told for this execution, which must not keep the others waiting
            logger.opt(exception=fault).error("execution cannot be rebuilt", execution_id=execution_id)
            return ExecutionLoaded(execution_id, None, fault, records=last)
        if folded.broken_at is not None:
            logger.error(
                "journal breaks off, what came after is done again",
                execution_id=execution_id,
                record=folded.broken_at,
                last=last,
            )
        saved_seq = stored.state.get("journal_seq", 0) if stored.state is not None else 0
        lost = ""
        if run.durability == Durability.EXIT and not run.status.at_rest:
            saved = stored.state is not None and stored.state.get("started_at") is not None
            lost = "checkpoint" if saved else "beginning"
        claimed = claimed_epoch(stored, run)
        unsaved = run.status.at_rest and run.journal_seq > saved_seq
        size = sum(len(record.data) for record in records if saved_seq < record.seq <= run.journal_seq)
        gauge = JournalGauge(run.journal_seq, saved_seq, size) if self._journal is not None else None
        return ExecutionLoaded(
            execution_id,
            run,
            records=last,
            claimed=claimed,
            unsaved=unsaved,
            lost=lost,
            gauge=gauge,
            elsewhere=self.elsewhere(stored),
        )

    def _records(self, execution_ids: list[str]) -> list[JournalRecord]:
        if self._journal is None:
            return []
        return self._journal.read(execution_ids).get(execution_ids[0], [])
