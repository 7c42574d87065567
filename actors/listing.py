"""What people see of the actors of a worker: one line each. Reads figures, sends nothing.

There may be a hundred thousand: all of them are never looked at in one go, so that the control loop stays free.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykka import ActorRef

from offbook.actors.directory import Entry, ExecutionDirectory
from offbook.actors.loop import LoopActor
from offbook.actors.relay import Relay
from offbook.actors.surroundings import Surroundings
from offbook.workflows.values import JsonObject

AT_ONCE = 1000
"""Actors that are looked at before others have their turn on the loop."""

Account: TypeAlias = tuple[str, ActorRef[Any]]
Member: TypeAlias = Entry | Account


@dataclass(frozen=True, slots=True)
class Members:
    """Accounts and executions, and how many more there are of those that were asked for."""

    lines: list[JsonObject]
    left_out: int


def list_services(supervisor: LoopActor, around: Surroundings) -> list[JsonObject]:
    """Describe the Supervisor and what serves it."""
    lines = [_line("Supervisor", "supervisor", supervisor.actor_ref, age=_age(supervisor.started_monotonic))]
    for kind, service in (("PersistenceActor", around.persistence), ("JournalActor", around.journal)):
        if isinstance(service, Relay):
            lines.append(_relay_line(kind, service))
    if around.budgets.accounts and isinstance(around.accounts, ActorRef):
        # Of no interest before anybody has a budget.
        lines.append(_line("AccountsActor", "accounts", around.accounts))
    return lines


async def list_members(
    around: Surroundings, directory: ExecutionDirectory, *, search: str = "", limit: int | None = None
) -> Members:
    """Describe the accounts of users and the executions in memory, those with this text in their name or id.

    With a limit those come that most want to be looked at: what was restarted, what is behind, what is not at rest.
    """
    found: list[Member] = []
    matching = 0
    for some in _in_parts([*around.budgets.accounts.items(), *directory]):
        fitting = [each for each in some if not search or _has(each, search.lower())]
        matching += len(fitting)
        found += fitting
        if limit is not None and len(found) > limit:
            found = heapq.nlargest(limit, found, key=_urgency)
        await asyncio.sleep(0)
    if limit is not None:
        found.sort(key=_urgency, reverse=True)
    now = around.clock()
    lines: list[JsonObject] = []
    for some in _in_parts(found):
        lines.extend(_execution_line(each, now) if isinstance(each, Entry) else _account_line(each) for each in some)
        await asyncio.sleep(0)
    return Members(lines, matching - len(found))


def _in_parts(members: list[Member]) -> Iterator[list[Member]]:
    return (members[first : first + AT_ONCE] for first in range(0, len(members), AT_ONCE))


def _has(member: Member, text: str) -> bool:
    if isinstance(member, Entry):
        return text in member.execution_id or text in _execution_name(member).lower()
    return text in _account_name(member).lower()


def _urgency(member: Member) -> tuple[int, int, bool]:
    if isinstance(member, Entry):
        return member.restarts, _mailbox(member.ref)["depth"], not member.status.at_rest
    return 0, _mailbox(member[1])["depth"], False


def _execution_name(entry: Entry) -> str:
    return f"{entry.run.plan.workflow.name}/{entry.execution_id[-8:]}"


def _account_name(account: Account) -> str:
    return f"account of {account[0]}"


def _account_line(account: Account) -> JsonObject:
    return _line("AccountActor", _account_name(account), account[1], parent="accounts")


def _execution_line(entry: Entry, now: float) -> JsonObject:
    run = entry.run
    line = _line(
        "ExecutionActor",
        _execution_name(entry),
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
    return {
        "class": kind,
        "name": name,
        "execution_id": None,
        "state": "running" if ref is not None and ref.is_alive() else "restarting",
        "mailbox": {**_mailbox(ref)},
        "messages_handled": getattr(ref, "messages_handled", None),
        "age_seconds": round(age, 3) if age is not None else None,
        "current_nodes": [],
        "restarts": 0,
        "parent": parent,
        "last_reason": "",
    }


def _mailbox(ref: ActorRef[Any] | None) -> dict[str, int]:
    mailbox = getattr(ref, "mailbox", None)
    if mailbox is None:
        return {"depth": 0, "high_water": 0}
    return {"depth": mailbox.depth, "high_water": mailbox.high_water}


def _age(started: float) -> float:
    return time.monotonic() - started
