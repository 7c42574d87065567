"""Which executions are in memory, and what a list shows of them. The Supervisor changes it; others only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pykka import ActorRef

from offbook.actors.execution_messages import BeginExecution
from offbook.actors.loop import LoopFuture
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.records import ExecutionFilter, ExecutionRow
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus


class Entry:
    """An execution that is in memory."""

    __slots__ = (
        "accepted",
        "auto_resumes",
        "begin",
        "claimed",
        "commands",
        "crashes",
        "execution_id",
        "gauge",
        "last_reason",
        "poisoned",
        "ref",
        "restarts",
        "rested_at",
        "run",
        "saved",
        "status",
    )

    def __init__(self, run: Run, ref: ActorRef[Any] | None) -> None:
        self.execution_id = run.execution_id
        self.run = run
        """Read for lists and ownership; while `ref` is None, the state that the crashed actor handed over."""
        self.ref = ref
        """None while its actor is being restarted."""
        self.status = run.status
        self.begin: BeginExecution | None = None
        """How it goes on when there is a place for it; None: as a new one."""
        self.commands = 0
        """How many commands it was sent."""
        self.gauge: JournalGauge | None = None
        """How far the journal was with it when its actor crashed."""
        self.claimed = 0
        """The epoch of a claim that was under way when its actor crashed, and may be stored."""
        self.accepted = False
        """Whether its row is stored."""
        self.saved = False
        """Whether it is at rest and stored."""
        self.rested_at = 0.0
        self.restarts = 0
        self.crashes: tuple[float, ...] = ()
        """When it crashed, within the period of its restart policy."""
        self.auto_resumes = 0
        self.poisoned = False
        """Whether it crashed more often than its policy allows."""
        self.last_reason = ""

    @property
    def user_id(self) -> str | None:
        return self.run.user.id if self.run.user else None

    def turn_awaited(self) -> BeginExecution | None:
        """Return how it is to go on if it was taken up and has not begun; None if it has, or is a new one."""
        begin, run = self.begin, self.run
        if begin is None:
            return None
        taken_up = run.status is ExecutionStatus.RECOVERING and run.epoch <= begin.epoch
        return begin if taken_up or run.epoch < begin.epoch else None

    def matches(self, where: ExecutionFilter) -> bool:
        run = self.run
        plan = run.plan
        return (
            (not where.statuses or self.status.value in where.statuses)
            and (where.workflow is None or where.workflow in (plan.workflow.name, plan.fingerprint))
            and (where.user_id is None or where.user_id == self.user_id)
            and (where.parent_id is None or (run.reuse is not None and run.reuse.parent_id == where.parent_id))
            and all(run.labels.get(key) == value for key, value in where.labels.items())
        )

    def row(self, worker_id: str) -> ExecutionRow:
        """Return the line of this execution in a list; its percent is read from the run, on the control loop."""
        run = self.run
        return ExecutionRow(
            execution_id=run.execution_id,
            workflow_name=run.plan.workflow.name,
            fingerprint=run.plan.fingerprint,
            status=self.status.value,
            epoch=run.epoch,
            worker_id=worker_id,
            user_id=self.user_id,
            labels=run.labels,
            durability=run.durability,
            percent=run.percent(),
            error_type=run.failure.error.type if run.failure else None,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            parent_id=run.reuse.parent_id if run.reuse is not None else None,
        )


class ExecutionDirectory:
    """The index of executions in memory, in the order in which they came."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.surveyed = False
        """Whether it is known which executions are to be recovered."""
        self.recovered = LoopFuture()
        """Resolved once all that was to be recovered is in memory again."""
        self.recovering: dict[str, None] = {}
        """Executions that were live when this worker's process went away and are not in memory yet, in order."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __contains__(self, execution_id: str) -> bool:
        return execution_id in self._entries

    def find(self, execution_id: str) -> Entry | None:
        return self._entries.get(execution_id)

    def add(self, entry: Entry) -> None:
        self._entries[entry.execution_id] = entry

    def remove(self, execution_id: str) -> Entry | None:
        return self._entries.pop(execution_id, None)

    def rows(self, where: ExecutionFilter, worker_id: str) -> list[ExecutionRow]:
        """Return accepted executions that match, newest first."""
        rows = [entry.row(worker_id) for entry in self if entry.accepted and entry.matches(where)]
        rows.sort(key=lambda row: (row.created_at, row.execution_id), reverse=True)
        return rows

    def live(self) -> list[Entry]:
        """Return those that are not at rest."""
        return [entry for entry in self if not entry.status.at_rest]

    def count(self) -> dict[str, int]:
        """Return how many executions in memory have each status."""
        counts = {status.value: 0 for status in ExecutionStatus}
        for entry in self:
            counts[entry.status.value] += 1
        return counts
