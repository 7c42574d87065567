"""Writes as SQL: a batch in one transaction, each kind with one statement for all. The only SQL that changes rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table, and_, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from offbook.persistence.databases import away_as_unavailable, in_chunks
from offbook.persistence.packing import digest, pack, pack_outputs
from offbook.persistence.sql_keys import KeyWrites
from offbook.persistence.sql_ledger import Booked, BudgetWrites, LedgerWrites
from offbook.persistence.tables import checkpoints, executions, labels, outputs, workflows
from offbook.workflows.budgets import DeleteBudget, PutBudget
from offbook.workflows.key_records import DeleteKey, PutKey
from offbook.workflows.ledger import Bookings
from offbook.workflows.records import (
    ClaimExecution,
    DeleteExecution,
    InsertExecution,
    PutWorkflow,
    SaveState,
    Write,
    WriteResult,
)
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser

Numbered = tuple[int, Any]
"""A write, and its place among the results."""

KNOWN_WORKFLOWS = 10_000

LAST_EPOCH = 2**31 - 1
RELEASE = Bookings("", release=True)

APPLIED = WriteResult()
STALE = WriteResult(applied=False)

_OF_THIS = executions.c.execution_id == bindparam("of")
_SAVE = update(executions).where(and_(_OF_THIS, executions.c.epoch <= bindparam("ours")))
_CLAIM = update(executions).where(and_(_OF_THIS, executions.c.epoch < bindparam("ours")))
_FORGET = delete(executions).where(_OF_THIS)
_FORGET_MORE = [
    delete(table).where(table.c.execution_id == bindparam("of")) for table in (labels, outputs, checkpoints)
]
_DROP_CHECKPOINT = delete(checkpoints).where(checkpoints.c.execution_id == bindparam("of"))


class SqlWriter:
    """Implements `ExecutionWriter` on one connection of SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, *, on_transaction: Callable[[], None]) -> None:
        """`on_transaction` is called for each transaction that is sent."""
        self._engine = engine
        self._on_transaction = on_transaction
        self._known: set[str] = set()
        """Workflows whose documents are in the database."""
        dialect = sqlite if engine.dialect.name == "sqlite" else postgresql
        self._insert_workflow = dialect.insert(workflows).on_conflict_do_nothing()
        register = dialect.insert(workflows)
        self._register_workflow = register.on_conflict_do_update(
            index_elements=["fingerprint"], set_={"registered_at": register.excluded.registered_at}
        )
        self._insert_execution = dialect.insert(executions).on_conflict_do_nothing()
        self._insert_label = dialect.insert(labels).on_conflict_do_nothing()
        self._insert_output = dialect.insert(outputs).on_conflict_do_nothing()
        checkpoint = dialect.insert(checkpoints)
        replaced = {column.name: checkpoint.excluded[column.name] for column in _besides_key(checkpoints)}
        self._keys = KeyWrites(engine.dialect)
        self._ledger = LedgerWrites(engine.dialect)
        self._budgets = BudgetWrites(engine.dialect)
        self._put_checkpoint = checkpoint.on_conflict_do_update(index_elements=["execution_id"], set_=replaced)

    def commit(self, writes: Sequence[Write]) -> list[WriteResult]:
        """Apply all writes, in order, in one transaction; StorageUnavailable if the database is away."""
        results = [APPLIED] * len(writes)
        # Back only once all is committed: a database that was away may come back without its last transactions.
        known, self._known = self._known, set()
        self._on_transaction()
        with away_as_unavailable(), self._engine.begin() as connection:
            self._store_documents(connection, writes, known)
            for round_ in _rounds(writes):
                self._put_workflows(connection, _of(round_, PutWorkflow))
                self._insert(connection, _of(round_, InsertExecution), results)
                _claim(connection, _of(round_, ClaimExecution), results)
                self._save(connection, _of(round_, SaveState), results)
                self._ledger.apply(connection, _booked(round_, results))
                _delete(connection, _of(round_, DeleteExecution), results)
                self._budgets.apply(connection, [*_of(round_, PutBudget), *_of(round_, DeleteBudget)], results)
                self._keys.apply(connection, [*_of(round_, PutKey), *_of(round_, DeleteKey)], results)
        if len(known) <= KNOWN_WORKFLOWS:
            self._known = known
        return results

    def _put_workflows(self, connection: Connection, puts: list[Numbered]) -> None:
        for _, write in puts:
            connection.execute(self._register_workflow, _workflow_row(write, registered_at=write.created_at))

    def _store_documents(self, connection: Connection, writes: Sequence[Write], known: set[str]) -> None:
        """Store the workflows of executions that the database does not have yet, as the first of them brings them."""
        fresh: dict[str, InsertExecution] = {}
        for write in writes:
            if isinstance(write, InsertExecution) and write.fingerprint not in known:
                fresh.setdefault(write.fingerprint, write)
        if fresh:
            # In one order everywhere: workers that insert the same ones must not wait for each other in a ring.
            rows = [_workflow_row(fresh[fingerprint]) for fingerprint in sorted(fresh)]
            connection.execute(self._insert_workflow, rows)
            known.update(fresh)

    def _insert(self, connection: Connection, inserts: list[Numbered], results: list[WriteResult]) -> None:
        if not inserts:
            return
        rows = [_execution_row(write) for _, write in inserts]
        if connection.execute(self._insert_execution, rows).rowcount != len(rows):
            _refuse_used_keys(connection, inserts, results)
        pairs = [
            {"execution_id": write.execution_id, "pair": digest(key, value)}
            for place, write in inserts
            if results[place].applied
            for key, value in write.labels.items()
        ]
        if pairs:
            connection.execute(self._insert_label, pairs)
        seeds = [
            {"execution_id": write.execution_id, "epoch": 1, "save": 1, "part": part, "data": data}
            for place, write in inserts
            if write.outputs and results[place].applied
            for part, data in enumerate(pack_outputs(write.outputs))
        ]
        if seeds:
            connection.execute(self._insert_output, seeds)

    def _save(self, connection: Connection, saves: list[Numbered], results: list[WriteResult]) -> None:
        if not saves:
            return
        # A first epoch changes nothing of whose an execution is: most saves leave those columns alone.
        plain = [_saved_columns(write) for _, write in saves if write.user is None]
        owned = [{**_saved_columns(write), **_user_columns(write.user)} for _, write in saves if write.user]
        changed = sum(connection.execute(_SAVE, rows).rowcount for rows in (plain, owned) if rows)
        if changed != len(saves):
            _refuse_stale(connection, saves, results)
            saves = [(place, write) for place, write in saves if results[place].applied]
        rows = [
            {"execution_id": w.execution_id, "epoch": w.epoch, "save": w.save, "part": part, "data": data}
            for _, w in saves
            for part, data in enumerate(pack_outputs(w.outputs))
        ]
        if rows:
            connection.execute(self._insert_output, rows)
        kept = [_checkpoint_row(write) for _, write in saves if write.checkpoint is not None]
        if kept:
            connection.execute(self._put_checkpoint, kept)
        over = [{"of": w.execution_id} for _, w in saves if w.checkpoint is None and not _is_first(w)]
        if over:
            connection.execute(_DROP_CHECKPOINT, over)


def _rounds(writes: Sequence[Write]) -> list[list[Numbered]]:
    """Part a batch so that in each part nothing comes twice that is written to; writes to one thing keep their order.

    Executions know nothing of each other, but for idempotency keys: the first that brings one has it, and gives it
    free for those that come after its delete and for no other. Within a round inserts go before deletes.
    """
    seen: dict[str, int] = {}
    rounds: list[list[Numbered]] = []
    after_keys = after_deletes = 0
    for place, write in enumerate(writes):
        key = _subject(write)
        at = seen.get(key, 0)
        if isinstance(write, InsertExecution) and write.idempotency_key is not None:
            at = after_keys = max(at, after_keys, after_deletes)
        elif isinstance(write, DeleteExecution):
            at = max(at, after_keys)
            after_deletes = max(after_deletes, at + 1)
        seen[key] = at + 1
        while at >= len(rounds):
            rounds.append([])
        rounds[at].append((place, write))
    return rounds


def _subject(write: Write) -> str:
    """Name what a write is about."""
    match write:
        case PutWorkflow():
            return write.fingerprint
        case PutKey() | DeleteKey():
            return f"{write.provider} {write.user_id}"
        case PutBudget() | DeleteBudget():
            return f"budget {write.user_id}"
        case _:
            return write.execution_id


def _is_first(save: SaveState) -> bool:
    """Whether nothing was saved of its execution before: its insert is the first of its writes."""
    return save.epoch == 1 and save.save == 2


def _booked(round_: list[Numbered], results: list[WriteResult]) -> list[Booked]:
    """Return what the writes of a round bring along for the ledger."""
    booked: list[Booked] = []
    for place, write in round_:
        of, applied = getattr(write, "execution_id", ""), results[place].applied
        match write:
            case SaveState() if write.bookings is not None:
                # Also of one that is refused: what was used was used.
                first = applied and _is_first(write)
                booked.append(Booked(of, write.epoch, write.save, write.bookings, first))
            case ClaimExecution() if write.bookings is not None and applied:
                booked.append(Booked(of, write.epoch, 0, write.bookings, True))
            case InsertExecution() if write.bookings is not None and applied:
                booked.append(Booked(of, 1, 1, write.bookings, True))
            case DeleteExecution():
                booked.append(Booked(of, LAST_EPOCH, 0, RELEASE, True))
    return booked


def _of(round_: list[Numbered], kind: type[Write]) -> list[Numbered]:
    return [each for each in round_ if type(each[1]) is kind]


def _refuse_used_keys(connection: Connection, inserts: list[Numbered], results: list[WriteResult]) -> None:
    """Say whose the idempotency keys are that were used before; an insert that is repeated finds its own."""
    keys = {place: key for place, write in inserts if (key := _key(write)) is not None}
    holders: dict[str, Any] = {}
    for some in in_chunks(keys.values()):
        columns = (executions.c.idempotency_key, executions.c.execution_id, executions.c.request_hash)
        query = select(*columns).where(executions.c.idempotency_key.in_(some))
        holders.update((row.idempotency_key, row) for row in connection.execute(query))
    for place, write in inserts:
        holder = holders.get(keys.get(place, ""))
        if holder is not None and holder.execution_id != write.execution_id:
            results[place] = WriteResult(False, holder.execution_id, holder.request_hash)


def _claim(connection: Connection, claims: list[Numbered], results: list[WriteResult]) -> None:
    if not claims:
        return
    plain = [_claimed_columns(write) for _, write in claims if write.user is None]
    owned = [{**_claimed_columns(write), **_user_columns(write.user)} for _, write in claims if write.user]
    if sum(connection.execute(_CLAIM, rows).rowcount for rows in (plain, owned) if rows) != len(claims):
        # A claim that is repeated because its commit was uncertain finds its own epoch there.
        _refuse_stale(connection, claims, results)


def _refuse_stale(connection: Connection, writes: list[Numbered], results: list[WriteResult]) -> None:
    """Mark the writes whose execution is not in their epoch now: it is gone, or another incarnation has it."""
    stored: dict[str, tuple[int, str]] = {}
    for some in in_chunks([write.execution_id for _, write in writes]):
        columns = (executions.c.execution_id, executions.c.epoch, executions.c.worker_id)
        query = select(*columns).where(executions.c.execution_id.in_(some))
        stored.update((row.execution_id, (row.epoch, row.worker_id)) for row in connection.execute(query))
    for place, write in writes:
        epoch, worker_id = stored.get(write.execution_id, (-1, ""))
        mine = not isinstance(write, ClaimExecution) or worker_id == write.worker_id
        if epoch != write.epoch or not mine:
            results[place] = STALE


def _delete(connection: Connection, deletes: list[Numbered], results: list[WriteResult]) -> None:
    if not deletes:
        return
    # The row first: whoever saves this execution elsewhere is done by then, or finds that it is gone.
    for place, write in deletes:
        if not connection.execute(_FORGET, {"of": write.execution_id}).rowcount:
            results[place] = STALE
    ids = [{"of": write.execution_id} for _, write in deletes]
    for statement in _FORGET_MORE:
        connection.execute(statement, ids)


def _workflow_row(write: InsertExecution | PutWorkflow, registered_at: float | None = None) -> dict[str, Any]:
    name = write.name if isinstance(write, PutWorkflow) else write.workflow_name
    return {
        "fingerprint": write.fingerprint,
        "name": name,
        "document": pack(write.document),
        "created_at": write.created_at,
        "registered_at": registered_at,
    }


def _execution_row(write: InsertExecution) -> dict[str, Any]:
    user = write.user
    return {
        "execution_id": write.execution_id,
        "workflow_name": write.workflow_name,
        "fingerprint": write.fingerprint,
        "status": ExecutionStatus.RUNNING.value,
        "epoch": 1,
        "worker_id": write.worker_id,
        **_user_columns(user),
        "labels": orjson.dumps(write.labels).decode(),
        "inputs": pack(write.inputs),
        "durability": write.durability,
        "percent": 0.0,
        "created_at": write.created_at,
        "idempotency_key": _key(write),
        "request_hash": write.request_hash,
        "budget": orjson.dumps(write.budget).decode() if write.budget is not None else None,
        "outcome": pack(write.state) if write.state is not None else None,
        "parent_id": write.parent_id,
    }


def _key(write: InsertExecution) -> str | None:
    if write.idempotency_key is None:
        return None
    return digest(write.user.id if write.user else None, write.idempotency_key)


def _claimed_columns(write: ClaimExecution) -> dict[str, Any]:
    return {
        "of": write.execution_id,
        "ours": write.epoch,
        "epoch": write.epoch,
        "worker_id": write.worker_id,
        "status": write.status,
    }


def _user_columns(user: ExecutionUser | None) -> dict[str, Any]:
    return {
        "user_id": user.id if user else None,
        "user_role": user.role if user else None,
        "user_tier": user.tier if user else None,
    }


def _saved_columns(write: SaveState) -> dict[str, Any]:
    return {
        "of": write.execution_id,
        "ours": write.epoch,
        "epoch": write.epoch,
        "status": write.status,
        "started_at": write.started_at,
        "finished_at": write.finished_at,
        # A node's own word, and PostgreSQL has no NUL in texts: what was paid for must not be lost for it.
        "error_type": write.error_type.replace("\0", "\ufffd") if write.error_type else None,
        "percent": write.percent,
        "outcome": pack(write.state) if write.checkpoint is None else None,
    }


def _checkpoint_row(write: SaveState) -> dict[str, Any]:
    summary = write.checkpoint
    assert summary is not None
    user = summary.user
    return {
        "execution_id": write.execution_id,
        "epoch": write.epoch,
        "schema_version": summary.schema_version,
        "fingerprint": summary.fingerprint,
        **_user_columns(user),
        "failed_node": summary.failed_node,
        "completed_nodes": orjson.dumps(summary.completed_nodes).decode(),
        "last_output_node": summary.last_output_node,
        "saved_at": summary.saved_at,
        "state": pack(write.state),
    }


def _besides_key(table: Table) -> Iterator[Any]:
    return (column for column in table.columns if not column.primary_key)
