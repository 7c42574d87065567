"""A server on which thousands of executions have ended: one that ran, and copies of its row."""

from __future__ import annotations

import sqlite3

from tests.page.documents import novel
from tests.page.server import Server


def start_full(server: Server, rows: int) -> None:
    """Start a server with so many executions, a minute between them; their ids count from the newest on."""
    server.start()
    server.until(server.begin(novel(rate=0), {"premise": "rain", "chapters": 1}), "completed")
    server.stop()
    database = sqlite3.connect(next(server.folder.glob("*.db")))
    columns = [row[1] for row in database.execute("PRAGMA table_info(executions)")]
    changed = {
        "execution_id": "printf('%032x', n)",
        "created_at": "created_at - 60 * n",
        "status": "CASE n % 3 WHEN 0 THEN 'failed' WHEN 1 THEN 'cancelled' ELSE 'completed' END",
    }
    values = ", ".join(changed.get(column, column) for column in columns)
    database.execute(
        f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows - 1}) "
        f"INSERT INTO executions ({', '.join(columns)}) SELECT {values} FROM executions, numbers"
    )
    database.commit()
    database.close()
    server.start()
