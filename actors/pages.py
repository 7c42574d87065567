"""Pages of lists: cursors, and a row of executions as JSON."""

from __future__ import annotations

import base64
import binascii

from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.money import cost_json
from offbook.workflows.records import ExecutionRow
from offbook.workflows.values import JsonObject, Usage, format_time

MAX_PAGE = 500


def encode_cursor(created_at: float, key: str) -> str:
    """Name the place after a row, by its time and what tells it from others of that time."""
    return base64.urlsafe_b64encode(f"{created_at!r} {key}".encode()).decode()


def decode_cursor(cursor: str | None) -> tuple[float, str] | None:
    """Read a cursor that `encode_cursor` wrote; ValidationFailed for any other text."""
    if not cursor:
        return None
    try:
        created_at, key = base64.urlsafe_b64decode(cursor.encode()).decode().split(" ")
        return float(created_at), key
    except (ValueError, binascii.Error):
        raise ValidationFailed(
            [Problem("bad-cursor", "cursor: not one that a list gave", "cursor", hint="take `next_cursor` as it is")]
        ) from None


def row_json(row: ExecutionRow, usage: Usage, currency: str, *, live: bool) -> JsonObject:
    """Show a row of a list; `live` if it was answered from memory."""
    return {
        "execution_id": row.execution_id,
        "workflow": {"name": row.workflow_name, "fingerprint": row.fingerprint},
        "status": row.status,
        "source": "memory" if live else "database",
        "percent": row.percent,
        "epoch": row.epoch,
        "user_id": row.user_id,
        "labels": row.labels,
        "usage": usage.to_json(),
        "cost": cost_json(usage, currency),
        "durability": row.durability,
        "error_type": row.error_type,
        "created_at": format_time(row.created_at),
        "started_at": format_time(row.started_at),
        "finished_at": format_time(row.finished_at),
        "parent": row.parent_id,
        "status_url": f"/status/{row.execution_id}",
    }
