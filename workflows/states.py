"""The states of executions and nodes, and which of them are ends."""

from __future__ import annotations

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """Where an execution stands. Terminal within an epoch: completed, failed, cancelled."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    RECOVERING = "recovering"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more in this epoch."""
        return self in ENDED

    @property
    def at_rest(self) -> bool:
        """Whether no node runs and none will until somebody resumes the execution."""
        return self in AT_REST

    @property
    def resumable(self) -> bool:
        """Whether a resume may open a new epoch from here."""
        return self in RESUMABLE


ENDED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
AT_REST = ENDED | {ExecutionStatus.PAUSED, ExecutionStatus.INTERRUPTED}
RESUMABLE = AT_REST - {ExecutionStatus.COMPLETED}
UNFINISHED = frozenset(ExecutionStatus) - ENDED - {ExecutionStatus.PAUSED}
"""What a worker that starts again goes on with by itself."""


class NodeStatus(StrEnum):
    """Where a node, or an item of a foreach, stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Durability(StrEnum):
    """What survives a killed process: every record, all but a bounded lag, or the last checkpoint."""

    SYNC = "sync"
    ASYNC = "async"
    EXIT = "exit"


class StepKind(StrEnum):
    """What a processing step tells."""

    STARTED = "started"
    THINKING = "thinking"
    TEXT = "text"
    PROGRESS = "progress"
    RETRY = "retry"
    WAITING = "waiting"
    FINISHED = "finished"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    RESUMED = "resumed"
    WARNING = "warning"
