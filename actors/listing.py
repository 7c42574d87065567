"""What people see of the actors of a worker: one line each. Reads figures, sends nothing."""

from __future__ import annotations

import time
from typing import Any

from pykka import ActorRef

from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.loop import LoopActor
from offbook.actors.relay import Relay
from offbook.actors.surroundings import Surroundings
from offbook.workflows.values import JsonObject


def list_actors(supervisor: LoopActor, around: Surroundings, directory: ExecutionDirectory) -> list[JsonObject]:
    """Describe the Supervisor, what serves it, the accounts of users, and every execution in memory."""
    lines = [_line("Supervisor", "supervisor", supervisor.actor_ref, age=_age(supervisor.started_monotonic))]
    for kind, service in (("PersistenceActor", around.persistence), ("JournalActor", around.journal)):
        if isinstance(service, Relay):
            lines.append(_relay_line(kind, service))
    if around.budgets.accounts and isinstance(around.accounts, ActorRef):
        # Of no interest before anybody has a budget.
        lines.append(_line("AccountsActor", "accounts", around.accounts))
    lines.extend(
        _line("AccountActor", f"account of {user_id}", ref, parent="accounts")
        for user_id, ref in around.budgets.accounts.items()
    )
    now = around.clock()
    lines.extend(_execution_line(entry, now) for entry in directory)
    return lines


def _execution_line(entry: Entry, now: float) -> JsonObject:
    run = entry.run
    line = _line(
        "ExecutionActor",
        f"{run.plan.workflow.name}/{run.execution_id[:8]}",
        entry.ref,
        parent="supervisor",
        age=max(0.0, now - run.created_at),
    )
    line.update(
        execution_id=run.execution_id,
        state=entry.status.value,
        epoch=run.epoch,
        current_nodes=run.current_nodes if not entry.status.at_rest else [],
        restarts=entry.restarts,
        db_ops={"reads": run.db_reads, "writes": run.db_writes},
        last_reason=entry.last_reason,
        poisoned=entry.poisoned,
    )
    return line


def _relay_line(kind: str, relay: Relay) -> JsonObject:
    line = _line(kind, relay.name, relay.ref, parent="supervisor", age=_age(relay.started_monotonic))
    line.update(
        mailbox={"depth": relay.depth, "high_water": relay.high_water},
        messages_handled=relay.handled,
        restarts=relay.restarts,
        last_reason=relay.last_reason,
    )
    return line


def _line(
    kind: str, name: str, ref: ActorRef[Any] | None, *, parent: str | None = None, age: float | None = None
) -> JsonObject:
    mailbox = getattr(ref, "mailbox", None)
    return {
        "class": kind,
        "name": name,
        "execution_id": None,
        "state": "running" if ref is not None and ref.is_alive() else "restarting",
        "mailbox": {
            "depth": mailbox.depth if mailbox else 0,
            "high_water": mailbox.high_water if mailbox else 0,
        },
        "messages_handled": getattr(ref, "messages_handled", None),
        "age_seconds": round(age, 3) if age is not None else None,
        "current_nodes": [],
        "restarts": 0,
        "parent": parent,
        "last_reason": "",
    }


def _age(started: float) -> float:
    return time.monotonic() - started
