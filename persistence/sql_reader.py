"""Questions as SQL, each answered in one transaction that cannot write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Row, and_, exists, func, or_, select

from offbook.persistence.databases import away_as_unavailable, in_chunks
from offbook.persistence.packing import digest, unpack, unpack_outputs
from offbook.persistence.sql_keys import read_key, read_keys, read_sealed_keys
from offbook.persistence.sql_ledger import used_by
from offbook.persistence.tables import checkpoints, executions, labels, outputs, workflows
from offbook.workflows.key_records import KeyRow, SealedKey
from offbook.workflows.records import (
    CheckpointSummary,
    ExecutionFilter,
    ExecutionRow,
    StoredExecution,
    WorkflowRow,
)
from offbook.workflows.states import UNFINISHED
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject

_LISTED = (
    executions.c.execution_id,
    executions.c.workflow_name,
    executions.c.fingerprint,
    executions.c.status,
    executions.c.epoch,
    executions.c.worker_id,
    executions.c.user_id,
    executions.c.labels,
    executions.c.durability,
    executions.c.percent,
    executions.c.error_type,
    executions.c.created_at,
    executions.c.started_at,
    executions.c.finished_at,
    executions.c.parent_id,
)


class SqlReader:
    """Implements `ExecutionReader` on a pool of connections of SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, *, on_transaction: Callable[[], None]) -> None:
        """`on_transaction` is called for each transaction that is sent, from several threads."""
        self._engine = engine
        self._on_transaction = on_transaction

    def load(self, execution_id: str) -> StoredExecution | None:
        found = self.load_many([execution_id])
        return found[0] if found else None

    def load_many(self, execution_ids: Sequence[str]) -> list[StoredExecution]:
        """Load several in one transaction."""
        rows: list[Row[Any]] = []
        documents: dict[str, JsonObject] = {}
        kept: dict[str, Row[Any]] = {}
        packed: dict[str, list[bytes]] = {}
        with self._transaction() as connection:
            for some in in_chunks(execution_ids):
                rows += connection.execute(select(executions).where(executions.c.execution_id.in_(some)))
                saved = select(checkpoints).where(checkpoints.c.execution_id.in_(some))
                kept.update((row.execution_id, row) for row in connection.execute(saved))
                parts = (
                    select(outputs.c.execution_id, outputs.c.data)
                    .where(outputs.c.execution_id.in_(some))
                    .order_by(outputs.c.execution_id, outputs.c.epoch, outputs.c.save, outputs.c.part)
                )
                for part in connection.execute(parts):
                    packed.setdefault(part.execution_id, []).append(bytes(part.data))
            for fingerprints in in_chunks({row.fingerprint for row in rows}):
                used = select(workflows).where(workflows.c.fingerprint.in_(fingerprints))
                documents.update((row.fingerprint, unpack(row.document)) for row in connection.execute(used))
        return [
            _stored(row, documents[row.fingerprint], kept.get(row.execution_id), packed.get(row.execution_id, []))
            for row in rows
        ]

    def unfinished(self, worker_id: str) -> list[str]:
        """Those of a worker that run, or were interrupted when it went away, oldest first."""
        query = (
            select(executions.c.execution_id)
            .where(executions.c.worker_id == worker_id, executions.c.status.in_([each.value for each in UNFINISHED]))
            .order_by(executions.c.created_at, executions.c.execution_id)
        )
        with self._transaction() as connection:
            return list(connection.execute(query).scalars())

    def load_row(self, execution_id: str) -> ExecutionRow | None:
        with self._transaction() as connection:
            row = connection.execute(select(*_LISTED).where(executions.c.execution_id == execution_id)).first()
        return _listed(row) if row is not None else None

    def list_executions(
        self, where: ExecutionFilter, *, before: tuple[float, str] | None, limit: int
    ) -> list[ExecutionRow]:
        """Newest first, strictly after the cursor."""
        query = select(*_LISTED).where(*_conditions(where))
        if before is not None:
            created_at, execution_id = before
            same = and_(executions.c.created_at == created_at, executions.c.execution_id < execution_id)
            query = query.where(or_(executions.c.created_at < created_at, same))
        query = query.order_by(executions.c.created_at.desc(), executions.c.execution_id.desc()).limit(limit)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
            used = used_by(connection, [row.execution_id for row in rows])
        return [replace(_listed(row), usage=used.get(row.execution_id, NO_USAGE)) for row in rows]

    def workflow(self, reference: str) -> tuple[WorkflowRow, JsonObject] | None:
        """By fingerprint, or the one that was registered last under that name."""
        named = and_(workflows.c.name == reference, workflows.c.registered_at.is_not(None))
        query = (
            select(workflows)
            .where(or_(workflows.c.fingerprint == reference, named))
            .order_by(
                (workflows.c.fingerprint == reference).desc(),
                workflows.c.registered_at.desc(),
                workflows.c.fingerprint,
            )
            .limit(1)
        )
        with self._transaction() as connection:
            row = connection.execute(query).first()
        return (_workflow(row), unpack(row.document)) if row is not None else None

    def list_workflows(
        self, *, name: str | None = None, after: tuple[float, str] | None = None, limit: int
    ) -> list[WorkflowRow]:
        """Those that were registered, newest first, strictly after the cursor. Reads no document."""
        registered_at, fingerprint = workflows.c.registered_at, workflows.c.fingerprint
        columns = [fingerprint, workflows.c.name, workflows.c.created_at, registered_at]
        query = select(*columns).where(registered_at.is_not(None))
        if name is not None:
            query = query.where(workflows.c.name == name)
        if after is not None:
            same = and_(registered_at == after[0], fingerprint > after[1])
            query = query.where(or_(registered_at < after[0], same))
        query = query.order_by(registered_at.desc(), fingerprint).limit(limit)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [_workflow(row) for row in rows]

    def provider_key(self, user_id: str, provider: str) -> bytes | None:
        with self._transaction() as connection:
            return read_key(connection, user_id, provider)

    def provider_keys(self, user_id: str) -> list[KeyRow]:
        with self._transaction() as connection:
            return read_keys(connection, user_id)

    def sealed_keys(self, *, after: tuple[str, str] | None, limit: int) -> list[SealedKey]:
        with self._transaction() as connection:
            return read_sealed_keys(connection, after, limit)

    def ping(self) -> None:
        with self._transaction() as connection:
            connection.execute(select(func.count()).select_from(workflows).where(workflows.c.fingerprint == ""))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        self._on_transaction()
        with away_as_unavailable(), self._engine.begin() as connection:
            yield connection


def _stored(row: Row[Any], document: JsonObject, checkpoint: Row[Any] | None, parts: list[bytes]) -> StoredExecution:
    packed_state = checkpoint.state if checkpoint is not None else row.outcome
    return StoredExecution(
        execution_id=row.execution_id,
        workflow_name=row.workflow_name,
        fingerprint=row.fingerprint,
        document=document,
        status=row.status,
        epoch=row.epoch,
        worker_id=row.worker_id,
        user=_user(row),
        labels=orjson.loads(row.labels),
        inputs=unpack(row.inputs),
        durability=row.durability,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        state=unpack(packed_state) if packed_state is not None else None,
        outputs=unpack_outputs(parts),
        checkpoint=_summary(checkpoint) if checkpoint is not None else None,
        budget=orjson.loads(row.budget) if row.budget is not None else None,
        parent_id=row.parent_id,
    )


def _conditions(where: ExecutionFilter) -> Iterator[Any]:
    if where.statuses:
        yield executions.c.status.in_(where.statuses)
    if where.workflow is not None:
        yield or_(executions.c.workflow_name == where.workflow, executions.c.fingerprint == where.workflow)
    if where.user_id is not None:
        yield executions.c.user_id == where.user_id
    if where.parent_id is not None:
        yield executions.c.parent_id == where.parent_id
    if where.worker_id is not None:
        yield executions.c.worker_id == where.worker_id
    for key, value in where.labels.items():
        yield exists().where(labels.c.execution_id == executions.c.execution_id, labels.c.pair == digest(key, value))


def _listed(row: Any) -> ExecutionRow:
    return ExecutionRow(**{**row._mapping, "labels": orjson.loads(row.labels)})


def _workflow(row: Row[Any]) -> WorkflowRow:
    return WorkflowRow(row.fingerprint, row.name, row.registered_at or row.created_at)


def _user(row: Row[Any]) -> ExecutionUser | None:
    return ExecutionUser(row.user_id, row.user_role, row.user_tier) if row.user_id is not None else None


def _summary(row: Row[Any]) -> CheckpointSummary:
    return CheckpointSummary(
        schema_version=row.schema_version,
        fingerprint=row.fingerprint,
        user=_user(row),
        failed_node=row.failed_node,
        completed_nodes=tuple(orjson.loads(row.completed_nodes)),
        last_output_node=row.last_output_node,
        saved_at=row.saved_at,
    )
