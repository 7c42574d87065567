"""A store of executions in memory: for tests, and for users who need nothing to outlive the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from offbook.persistence.memory_keys import MemoryKeys
from offbook.persistence.memory_ledger import MemoryLedger
from offbook.workflows.budgets import DeleteBudget, PutBudget
from offbook.workflows.key_records import DeleteKey, KeyRow, PutKey, SealedKey
from offbook.workflows.records import (
    ClaimExecution,
    DeleteExecution,
    ExecutionFilter,
    ExecutionRow,
    InsertExecution,
    PutWorkflow,
    SaveState,
    StoredExecution,
    StoredOutput,
    WorkflowRow,
    Write,
    WriteResult,
)
from offbook.workflows.states import UNFINISHED, ExecutionStatus
from offbook.workflows.values import JsonObject, JsonValue


@dataclass(slots=True)
class _Kept:
    """One execution: what is loaded of it, and what only lists and idempotency need."""

    stored: StoredExecution
    percent: float = 0.0
    error_type: str | None = None
    idempotency_key: tuple[str | None, str] | None = None
    """With the user who brought it, whoever's the execution is now."""
    request_hash: str | None = None
    saves: dict[tuple[int, int], tuple[StoredOutput, ...]] = field(default_factory=dict)
    """What each save brought, by its epoch and number; outputs are loaded in that order, whatever came first."""


@dataclass(slots=True)
class _Document:
    row: WorkflowRow
    document: JsonObject
    registered_at: float | None


class MemoryStore:
    """Implements `ExecutionStore`, its writer and its reader. Values are copied in and out, as a database would."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executions: dict[str, _Kept] = {}
        self._keys: dict[tuple[str | None, str], str] = {}
        self._workflows: dict[str, _Document] = {}
        self._provider_keys = MemoryKeys()
        self.books = MemoryLedger()
        self._reads = 0
        self._writes = 0

    @property
    def writer(self) -> MemoryStore:
        return self

    @property
    def reader(self) -> MemoryStore:
        return self

    def transactions(self) -> tuple[int, int]:
        return self._reads, self._writes

    def reads_apart(self) -> int:
        return self.books.reads

    def close(self) -> None:
        """Do nothing: what was stored can be opened again by handing on this object."""

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        with self._lock:
            self._writes += 1
            return [self._apply(write) for write in writes]

    def _apply(self, write: Write) -> WriteResult:
        match write:
            case InsertExecution():
                inserted = self._insert(write)
                self.books.apply(write.execution_id, 1, write.bookings if inserted.applied else None)
                return inserted
            case ClaimExecution():
                claimed = self._claim(write)
                self.books.apply(write.execution_id, write.epoch, write.bookings if claimed else None)
                return WriteResult(claimed)
            case SaveState():
                self.books.apply(write.execution_id, write.epoch, write.bookings)
                return WriteResult(self._save(write))
            case DeleteExecution():
                self.books.release(write.execution_id)
                kept = self._executions.pop(write.execution_id, None)
                if kept is not None and kept.idempotency_key is not None:
                    del self._keys[kept.idempotency_key]
                return WriteResult(kept is not None)
            case PutWorkflow():
                known = self._workflows.get(write.fingerprint)
                row = WorkflowRow(write.fingerprint, write.name, write.created_at)
                document = known.document if known else _copy(write.document)
                self._workflows[write.fingerprint] = _Document(row, document, write.created_at)
                return WriteResult()
            case PutBudget() | DeleteBudget():
                return WriteResult(self.books.apply_budget(write))
            case PutKey() | DeleteKey():
                return WriteResult(self._provider_keys.apply(write))

    def _insert(self, write: InsertExecution) -> WriteResult:
        if write.fingerprint not in self._workflows:
            row = WorkflowRow(write.fingerprint, write.workflow_name, write.created_at)
            self._workflows[write.fingerprint] = _Document(row, _copy(write.document), None)
        if write.execution_id in self._executions:
            return WriteResult()
        key = None
        if write.idempotency_key is not None:
            key = (write.user.id if write.user else None, write.idempotency_key)
            holder = self._keys.setdefault(key, write.execution_id)
            if holder != write.execution_id:
                return WriteResult(False, holder, self._executions[holder].request_hash)
        stored = StoredExecution(
            execution_id=write.execution_id,
            workflow_name=write.workflow_name,
            fingerprint=write.fingerprint,
            document={},
            status=ExecutionStatus.RUNNING.value,
            epoch=1,
            worker_id=write.worker_id,
            user=write.user,
            labels=dict(write.labels),
            inputs=_copy(write.inputs),
            durability=write.durability,
            created_at=write.created_at,
            started_at=None,
            finished_at=None,
            state=_copy(write.state),
            outputs=tuple(replace(output, value=_copy(output.value)) for output in write.outputs),
            checkpoint=None,
            parent_id=write.parent_id,
            budget=write.budget,
        )
        self._executions[write.execution_id] = _Kept(
            stored, idempotency_key=key, request_hash=write.request_hash, saves={(0, 0): stored.outputs}
        )
        return WriteResult()

    def _claim(self, write: ClaimExecution) -> bool:
        kept = self._executions.get(write.execution_id)
        if kept is None or kept.stored.epoch > write.epoch:
            return False
        if kept.stored.epoch == write.epoch:
            return kept.stored.worker_id == write.worker_id
        kept.stored = replace(
            kept.stored,
            epoch=write.epoch,
            worker_id=write.worker_id,
            status=write.status,
            user=write.user or kept.stored.user,
        )
        return True

    def _save(self, write: SaveState) -> bool:
        kept = self._executions.get(write.execution_id)
        if kept is None or kept.stored.epoch > write.epoch:
            return False
        before = kept.stored.outputs
        known = {(output.node_id, output.item) for output in before if not output.kept}
        fresh = tuple(
            StoredOutput(output.node_id, output.item, _copy(output.value))
            for output in write.outputs
            if (output.node_id, output.item) not in known
        )
        kept.saves.setdefault((write.epoch, write.save), fresh)
        kept.stored = replace(
            kept.stored,
            epoch=write.epoch,
            status=write.status,
            state=_copy(write.state),
            outputs=tuple(each for _, outputs in sorted(kept.saves.items()) for each in outputs),
            started_at=write.started_at,
            finished_at=write.finished_at,
            checkpoint=write.checkpoint,
            user=write.user or kept.stored.user,
        )
        kept.percent, kept.error_type = write.percent, write.error_type
        return True

    def load(self, execution_id: str) -> StoredExecution | None:
        found = self.load_many([execution_id])
        return found[0] if found else None

    def load_many(self, execution_ids: Sequence[str]) -> list[StoredExecution]:
        with self._lock:
            self._reads += 1
            found = [self._executions.get(execution_id) for execution_id in dict.fromkeys(execution_ids)]
            return [self._loaded(kept.stored) for kept in found if kept is not None]

    def _loaded(self, stored: StoredExecution) -> StoredExecution:
        return replace(
            stored,
            document=_copy(self._workflows[stored.fingerprint].document),
            inputs=_copy(stored.inputs),
            labels=dict(stored.labels),
            state=_copy(stored.state),
            outputs=tuple(replace(output, value=_copy(output.value)) for output in stored.outputs),
        )

    def unfinished(self, worker_id: str) -> list[str]:
        with self._lock:
            self._reads += 1
            found = [kept.stored for kept in self._executions.values() if kept.stored.worker_id == worker_id]
        found = [stored for stored in found if ExecutionStatus(stored.status) in UNFINISHED]
        return [
            stored.execution_id for stored in sorted(found, key=lambda each: (each.created_at, each.execution_id))
        ]

    def load_row(self, execution_id: str) -> ExecutionRow | None:
        with self._lock:
            self._reads += 1
            kept = self._executions.get(execution_id)
            return _row(kept) if kept is not None else None

    def list_executions(
        self, where: ExecutionFilter, *, before: tuple[float, str] | None, limit: int
    ) -> list[ExecutionRow]:
        with self._lock:
            self._reads += 1
            rows = [_row(kept) for kept in self._executions.values()]
        found = [
            row
            for row in rows
            if _matches(row, where) and (before is None or (row.created_at, row.execution_id) < before)
        ]
        found.sort(key=lambda row: (row.created_at, row.execution_id), reverse=True)
        return [replace(row, usage=self.books.used_by(row.execution_id)) for row in found[:limit]]

    def workflow(self, reference: str) -> tuple[WorkflowRow, JsonObject] | None:
        with self._lock:
            self._reads += 1
            found = self._workflows.get(reference)
            if found is None:
                named = [each for each in self._registered() if each.row.name == reference]
                found = named[0] if named else None
            return (found.row, _copy(found.document)) if found is not None else None

    def list_workflows(
        self, *, name: str | None = None, after: tuple[float, str] | None = None, limit: int
    ) -> list[WorkflowRow]:
        with self._lock:
            self._reads += 1
            found = [each.row for each in self._registered()]
        return [
            row
            for row in found
            if (name is None or row.name == name)
            and (after is None or (-row.created_at, row.fingerprint) > (-after[0], after[1]))
        ][:limit]

    def provider_key(self, user_id: str, provider: str) -> bytes | None:
        with self._lock:
            self._reads += 1
            return self._provider_keys.find(user_id, provider)

    def provider_keys(self, user_id: str) -> list[KeyRow]:
        with self._lock:
            self._reads += 1
            return self._provider_keys.of_user(user_id)

    def sealed_keys(self, *, after: tuple[str, str] | None, limit: int) -> list[SealedKey]:
        with self._lock:
            self._reads += 1
            return self._provider_keys.page(after, limit)

    def ping(self) -> None:
        with self._lock:
            self._reads += 1

    def _registered(self) -> list[_Document]:
        """Return the registered workflows, newest first."""
        found = [each for each in self._workflows.values() if each.registered_at is not None]
        return sorted(found, key=lambda each: (-(each.registered_at or 0.0), each.row.fingerprint))


def _copy(value: JsonValue) -> JsonValue:
    return orjson.loads(orjson.dumps(value))


def _user_id(stored: StoredExecution) -> str | None:
    return stored.user.id if stored.user else None


def _row(kept: _Kept) -> ExecutionRow:
    stored = kept.stored
    return ExecutionRow(
        execution_id=stored.execution_id,
        workflow_name=stored.workflow_name,
        fingerprint=stored.fingerprint,
        status=stored.status,
        epoch=stored.epoch,
        worker_id=stored.worker_id,
        user_id=_user_id(stored),
        labels=dict(stored.labels),
        durability=stored.durability,
        percent=kept.percent,
        error_type=kept.error_type,
        created_at=stored.created_at,
        started_at=stored.started_at,
        finished_at=stored.finished_at,
        parent_id=stored.parent_id,
    )


def _matches(row: ExecutionRow, where: ExecutionFilter) -> bool:
    return (
        (not where.statuses or row.status in where.statuses)
        and (where.workflow is None or where.workflow in (row.workflow_name, row.fingerprint))
        and (where.user_id is None or where.user_id == row.user_id)
        and (where.worker_id is None or where.worker_id == row.worker_id)
        and (where.parent_id is None or where.parent_id == row.parent_id)
        and all(row.labels.get(key) == value for key, value in where.labels.items())
    )
