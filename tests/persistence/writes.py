"""Writes to try on a store, complete, with what a test does not care for filled in."""

from __future__ import annotations

from typing import Any

from offbook.workflows.ledger import Bookings
from offbook.workflows.records import (
    CheckpointSummary,
    ClaimExecution,
    ExecutionReader,
    InsertExecution,
    PutWorkflow,
    SaveState,
    StoredExecution,
    StoredOutput,
)
from offbook.workflows.values import ExecutionUser, JsonObject

ADA = ExecutionUser("ada", "author", "gold")
BOB = ExecutionUser("bob", "user", "")
BEGAN = 1_790_000_000.125


def id_of(number: int) -> str:
    """The id of an execution; ids grow with their numbers."""
    return f"{number:032x}"


def fingerprint_of(name: str) -> str:
    return name.encode().hex().ljust(64, "0")[:64]


def document_of(name: str) -> JsonObject:
    return {"format": 1, "name": name, "nodes": [{"id": "outline", "type": "template", "config": {"text": "é\0"}}]}


def insert(
    number: int, *, workflow: str = "novella", user: ExecutionUser | None = ADA, **fields: Any
) -> InsertExecution:
    """Accept execution `number`; it was created `number` seconds after the first."""
    filled: dict[str, Any] = {
        "labels": {},
        "inputs": {"premise": f"premise {number}"},
        "durability": "async",
        "worker_id": "w1",
        "created_at": BEGAN + number,
        **fields,
    }
    return InsertExecution(
        execution_id=id_of(number),
        workflow_name=workflow,
        fingerprint=fingerprint_of(workflow),
        document=document_of(workflow),
        user=user,
        **filled,
    )


def claim(number: int, epoch: int, worker: str = "w1", bookings: Bookings | None = None) -> ClaimExecution:
    return ClaimExecution(id_of(number), epoch, worker, "running", bookings)


def summary(**fields: Any) -> CheckpointSummary:
    filled: dict[str, Any] = {
        "schema_version": 1,
        "fingerprint": fingerprint_of("novella"),
        "user": ADA,
        "failed_node": "chapters",
        "completed_nodes": ("outline",),
        "last_output_node": "outline",
        "saved_at": BEGAN + 60,
        **fields,
    }
    return CheckpointSummary(**filled)


def failed(
    number: int, *, epoch: int = 1, save: int = 2, outputs: tuple[StoredOutput, ...] = (), **fields: Any
) -> SaveState:
    """Save execution `number` as failed, with a checkpoint."""
    filled: dict[str, Any] = {
        "status": "failed",
        "state": {"epoch": epoch, "save": save, "status": "failed"},
        "started_at": BEGAN + number + 0.5,
        "finished_at": BEGAN + number + 60,
        "error_type": "rate_limit",
        "percent": 50.0,
        "checkpoint": summary(),
        **fields,
    }
    return SaveState(execution_id=id_of(number), epoch=epoch, save=save, outputs=outputs, **filled)


def completed(number: int, **fields: Any) -> SaveState:
    """Save execution `number` as completed."""
    done = {"status": "completed", "error_type": None, "percent": 100.0, "checkpoint": None}
    return failed(number, **{**done, **fields})


def put(name: str, created_at: float, fingerprint: str | None = None) -> PutWorkflow:
    return PutWorkflow(fingerprint or fingerprint_of(name), name, document_of(name), created_at)


def loaded(reader: ExecutionReader, number: int) -> StoredExecution:
    """Load execution `number`, which is there."""
    found = reader.load(id_of(number))
    assert found is not None
    return found
