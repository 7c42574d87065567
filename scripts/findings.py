"""What follows from a status, its actor and its worker: what runs, how long it has been silent, what it waits for.

Asks nobody and prints nothing; all times are by the clock of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from plain_text import duration, shown

AT_REST = frozenset({"completed", "failed", "cancelled", "paused", "interrupted"})
ENDS = frozenset({"finished", "failed", "cancelled", "skipped"})
"""Kinds of steps after which an attempt is no more, and no other follows."""
REPEATED = "repeated"
"""What a step says that starts an attempt again under its number."""
MAILBOX_FULL = 100
"""Messages in a mailbox with which its actor is behind."""
FAR_BEHIND = 1000.0
"""Milliseconds that a journal is behind if it, and not the model, is what is slow."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server has told."""

    status: dict[str, Any]
    at: float
    """When, in seconds."""
    revision_before: int
    looked: float
    """Seconds between the two looks."""
    actor: dict[str, Any] | None
    counts: dict[str, Any]
    ready: dict[str, Any]
    limits: list[dict[str, Any]]
    """What is in use of each limit of calls."""


@dataclass(frozen=True, slots=True)
class Current:
    """A node or an item of a foreach that has begun and not ended."""

    node_id: str
    item: int | None
    attempt: int
    at_least: bool
    """Whether steps that would tell of more attempts are no longer kept."""
    waits: bool
    """Whether it waits for its next attempt or for a signal or time, and runs nothing."""
    started: float | None
    """When this attempt started."""
    spoke: float | None
    """When it last said anything."""

    def __str__(self) -> str:
        return self.node_id if self.item is None else f"{self.node_id}[{self.item}]"

    def describe(self, now: float) -> str:
        words = [f"attempt {self.attempt}" + (" or later" if self.at_least else "")]
        if self.waits:
            words.append("waiting")
        elif self.started is not None:
            words.append(f"running for {duration(now - self.started)}")
        if self.spoke is not None:
            words.append(f"its last step {duration(now - self.spoke)} ago")
        return ", ".join(words)


class Findings:
    """Answers of a server, and what they mean."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.now = seen.at
        self._steps: list[dict[str, Any]] = seen.status["processing_steps"]

    def to_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        status = self.seen.status
        return {
            "execution_id": status["execution_id"],
            "status": status["status"],
            "source": status["source"],
            "epoch": status["epoch"],
            "current": [asdict(each) for each in self.current()],
            "last_step": self.last_step(),
            "seconds_since_last_step": self.seconds_since_last_step(),
            "looked_seconds": round(self.seen.looked, 3),
            "has_moved": self.has_moved,
            "waits_for": self.waits_for() or None,
            "conclusions": self.conclusions(),
            "error": status["error"],
            "actor": self.seen.actor,
            "durability": status["durability"],
            "journal": status["journal"],
            "checkpoint": status["checkpoint"],
            "db_ops": status["db_ops"],
            "worker": self.seen.ready,
        }

    @property
    def has_moved(self) -> bool:
        """Whether anything changed while it was looked at."""
        return bool(self.seen.status["revision"] != self.seen.revision_before)

    @property
    def is_live(self) -> bool:
        return self.seen.status["status"] not in AT_REST

    def current(self) -> list[Current]:
        """Return what runs or waits, in document order."""
        results = self.seen.status["node_results"] if self.is_live else {}
        begun = [node_id for node_id, entry in results.items() if entry["status"] in ("running", "waiting")]
        return [each for node_id in begun for each in self._current_of(node_id)]

    def last_step(self) -> dict[str, Any] | None:
        return self._steps[-1] if self._steps else None

    def seconds_since_last_step(self) -> float | None:
        step = self.last_step()
        return self._seconds_since(step["at"]) if step else None

    def seconds_since(self, field: str) -> float | None:
        """Return how long ago one of the status's times was; None if it has not come."""
        time = self.seen.status[field]
        return self._seconds_since(time) if time else None

    def news(self) -> str:
        """Say whether it moved while it was looked at; empty if it was not."""
        if not self.seen.looked or not self.is_live:
            return ""
        return f"{'some' if self.has_moved else 'none'} in {duration(self.seen.looked)}"

    def waits_for(self) -> str:
        """Say what a waiting execution waits for; empty if it does not say that it waits."""
        waiting = self.seen.status["waiting"]
        if not waiting:
            return ""
        until = f" until {waiting['until']}" if waiting.get("until") else ""
        return f"{waiting['kind']} {shown(waiting['name'])}{until}, in node {shown(waiting.get('node_id'))}"

    def conclusions(self) -> list[str]:
        """Say in sentences why it does not go on, the most likely reason first."""
        found = [*self._of_rest(), *self._of_worker(), *self._of_waiting(), *self._of_running()]
        return found or ["nothing is wrong with it that can be seen from here"]

    def _of_rest(self) -> Iterator[str]:
        status = self.seen.status
        execution_id = status["execution_id"]
        if status["status"] == "completed":
            yield "it has completed"
        elif not self.is_live:
            hint = (status["error"] or {}).get("hint") or ""
            advice = "" if "/resume" in hint else f"; {shown(hint)}" if hint else ""
            yield f"it rests and goes on with POST /executions/{execution_id}/resume{advice}"
        if (self.seen.actor or {}).get("poisoned"):
            yield "it is poison: it crashed its actor more often than its policy allows, and may again after a resume"
        if status["source"] == "memory" and not self.is_live and not self._is_stored:
            yield f"how it ended is not stored yet: the database is {shown(self.seen.ready['database'])}"

    def _of_worker(self) -> Iterator[str]:
        if not self.is_live:
            return
        status, ready = self.seen.status, self.seen.ready
        if status["status"] == "recovering":
            if ready["recovering"]:
                yield f"its worker has just started, and has {ready['recovering']} executions to take up again"
            else:
                yield f"its actor crashed, and is started again: {shown((self.seen.actor or {}).get('last_reason'))}"
        elif self.seen.actor is None:
            yield "no actor of this worker has it: another worker may"
        if ready["status"] == "draining":
            yield "its worker drains: it goes on in the next one"
        if ready["database"] != "ok":
            yield f"the database is away ({shown(ready['database'])}): it goes on, and its end is stored later"
        if status["journal"]["state"] == "degraded":
            yield f"the journal cannot be written ({shown(ready.get('journal_fault'))}): a crash may cost it work"

    def _of_waiting(self) -> Iterator[str]:
        status = self.seen.status
        waiting = status["waiting"]
        if status["status"] == "queued":
            yield "it waits for its turn: as many executions are live as may be (OFFBOOK_MAX_LIVE)"
        if not waiting:
            return
        if waiting["kind"] == "signal":
            path = f"/executions/{status['execution_id']}/signals/{waiting['name']}"
            yield f"it waits for somebody to answer: POST {path}"
            return
        if waiting["kind"] == "provider" and waiting.get("limit"):
            yield self._of_limit(waiting)
            return
        if waiting["kind"] == "budget":
            until = f", or until {waiting['until']}" if waiting["until"] else ""
            yield f"it waits for room in the budget of {shown(waiting['name'])}{until}: raise it (offbook budget set)"
            return
        failed = next((step for step in reversed(self._steps) if step["kind"] == "retry"), None)
        if failed and failed["node_id"] == waiting.get("node_id"):
            yield f"it waits for its next attempt at {failed['node_id']}, after {shown(failed['text'])}"
        else:
            yield f"it waits for the time {waiting['until']}"

    def _of_limit(self, waiting: dict[str, Any]) -> str:
        """Say which limit of calls it waits for, and how that stands."""
        limit, name = waiting["limit"], shown(waiting["name"])
        whose = {"user": f"the user {name}", "node_type": f"nodes of type {name}"}.get(
            limit["kind"], f"the provider {name}"
        )
        until = f", until {waiting['until']}" if waiting["until"] else ""
        if limit["why"] == "retry_after":
            return f"it waits because {whose} asked for it (Retry-After){until}"
        found = [
            each for each in self.seen.limits if (each["kind"], each["name"]) == (limit["kind"], waiting["name"])
        ]
        if not found:
            return f"it waits for a limit of {whose}: {limit['why']} (OFFBOOK_LIMITS){until}"
        most, in_use = (sum(each[field] or 0 for each in found) for field in (limit["why"], "in_use"))
        waiters = sum(each["waiting"] for each in found)
        return (
            f"it waits for a limit of {whose}: {limit['why']} = {most}, {in_use} calls are under way and "
            f"{waiters} wait (OFFBOOK_LIMITS){until}"
        )

    def _of_running(self) -> Iterator[str]:
        status, actor, counts = self.seen.status, self.seen.actor, self.seen.counts
        if status["status"] != "running":
            return
        if self.has_moved:
            yield "it moves: it changed while it was looked at"
            return
        if actor and actor["mailbox"]["depth"] >= MAILBOX_FULL:
            yield f"its actor is behind: {actor['mailbox']['depth']} messages wait in its mailbox"
        if status["journal"]["lag_ms"] >= FAR_BEHIND:
            behind = duration(status["journal"]["lag_ms"] / 1000)
            yield f"its journal is {behind} behind: nothing new starts meanwhile"
        if counts["queued_calls"]:
            yield (
                f"calls wait for their turn: {counts['live_calls']} are in flight, "
                f"{counts['queued_calls']} queued (OFFBOOK_MAX_CALLS)"
            )
        for each in self.current():
            if not each.waits and each.spoke is not None:
                yield (
                    f"{each} said nothing while it was looked at, and its last step began "
                    f"{duration(self.now - each.spoke)} ago: it waits for what it calls, until its time limit "
                    "(timeout.idle or timeout.total of the node)"
                )

    def _current_of(self, node_id: str) -> Iterator[Current]:
        entry = self.seen.status["node_results"][node_id]
        if "items" not in entry:
            steps = self._steps_of(node_id, None)
            yield self._current_work(node_id, None, steps, attempt=entry["attempt"])
            return
        items = sorted({step["item"] for step in self._steps if step["node_id"] == node_id} - {None})
        for item in items:
            steps = self._steps_of(node_id, item)
            if steps[-1]["kind"] not in ENDS:
                yield self._current_work(node_id, item, steps)

    def _current_work(
        self, node_id: str, item: int | None, steps: list[dict[str, Any]], attempt: int | None = None
    ) -> Current:
        starts = [step for step in steps if step["kind"] == "started"]
        counted = len([step for step in starts if step["text"] != REPEATED])
        return Current(
            node_id,
            item,
            attempt=max(1, counted) if attempt is None else attempt,
            at_least=attempt is None and self.seen.status["first_seq"] > 1,
            waits=bool(steps) and steps[-1]["kind"] in ("retry", "waiting"),
            started=_seconds(starts[-1]["at"]) if starts else None,
            spoke=_seconds(steps[-1]["at"]) if steps else None,
        )

    def _steps_of(self, node_id: str, item: int | None) -> list[dict[str, Any]]:
        return [step for step in self._steps if (step["node_id"], step["item"]) == (node_id, item)]

    @property
    def _is_stored(self) -> bool:
        status = self.seen.status
        return bool(
            status["checkpoint"]["saved"] or (status["status"] == "completed" and self.seen.ready["database"] == "ok")
        )

    def _seconds_since(self, time: str) -> float:
        return max(0.0, self.now - _seconds(time))


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
