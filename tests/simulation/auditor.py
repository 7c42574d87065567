"""Checks every promise against what really happened. Believes nothing that the engine says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from offbook.actors.calls import NodeTask
from offbook.workflows.ledger import NO_ITEM, SettledEntry
from offbook.workflows.message_codec import decode
from offbook.workflows.messages import NodeFailed, NodeFinished, NodeReused, ResumeRequested, TakenUp
from offbook.workflows.records import (
    ClaimExecution,
    InsertExecution,
    JournalRecord,
    SaveState,
    StoredOutput,
    Write,
    WriteResult,
)
from offbook.workflows.states import Durability, ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, Usage
from tests.simulation.stories import Place, Story, reasons, written

LAG_RECORDS = 256
LAG_SECONDS = 0.05
"""The bounds of `async`, as they are promised."""

DECIDED_SECONDS = 2.0
"""How long it may take at most until a call begins that was allowed to."""

LIMITED = "ada"
"""Who has a budget, where anybody has one."""

Charged = tuple[str, int, int, int]
"""A place in the ledger: node, item, attempt, epoch."""


REPEATED_CALLS = 2
"""Where a stored receipt has them."""


class PromiseBroken(AssertionError):
    """A promise does not hold; the message says which, for which execution, and how it is known."""


@dataclass(slots=True)
class Seen:
    """All that is known of one execution from outside."""

    story: Story
    born: int
    """The process that accepted it."""
    recorded: set[Place] = field(default_factory=set)
    """Outputs that are on disk: in the journal or in the database."""
    finished: list[tuple[Place, int]] = field(default_factory=list)
    repeats: int = 0
    """Computations that were done again."""
    refused: dict[Place, int] = field(default_factory=dict)
    """The attempt at each place of which it is on disk that its output was refused by a check; the last."""
    handed_over: dict[int, float] = field(default_factory=dict)
    """Records that are on their way to the disk, and since when."""
    owner: ExecutionUser | None = None
    """Whose it is, as its row says."""
    owners: dict[int, str] = field(default_factory=dict)
    """Whose it was from which epoch on."""
    writes: int = 0
    loads: int = 0
    """How often it was read from the database."""
    taken_up: set[int] = field(default_factory=set)
    """Later processes of which it is on disk that they took it up."""
    saves: int = 0
    claims: int = 0
    epochs: list[tuple[int, int]] = field(default_factory=list)
    """(epoch, incarnation of the worker) of each save, in order."""
    last: tuple[int, int, float] = (0, 0, 0.0)
    """(epoch, revision, percent) that was shown last."""
    status: str = ""
    called: set[Charged] = field(default_factory=set)
    """Attempts that may have used tokens, by incarnation."""
    charged: dict[Charged, Usage] = field(default_factory=dict)
    """What the engine heard that they used, and has on disk."""
    known: list[tuple[float, int, str]] = field(default_factory=list)
    """Since when how many tokens of it are on disk, and whose it was when they were used."""
    budget: int | None = None
    """Tokens that it may spend by itself."""

    def user_in(self, epoch: int) -> str:
        """Return whose it was in an epoch."""
        return self.owners[max((each for each in self.owners if each <= epoch), default=min(self.owners))]


class Auditor:
    """Hears of everything that is stored, computed and shown."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.journal_failed = False
        """Whether the journal was away: then live executions go on without it, in `sync` too."""
        self.incarnation = 0
        """Which process of the worker it is, from 1."""
        self.failure: PromiseBroken | None = None
        """The first promise that was seen broken where raising would be taken for an error of the engine's."""
        self.budget: int | None = None
        """Tokens that the user of all executions may spend."""
        self.clock: Callable[[], float] = float
        self.repeats = 0
        """Computations that were done again."""
        self.reuses = 0
        """Outputs that forks kept."""
        self.refusals = 0
        """Outputs that were refused by a check."""

    def limit(self, tokens: int) -> None:
        """So much may all executions spend."""
        self.budget = tokens

    def begins(self, execution_id: str, story: Story) -> None:
        self.seen[execution_id] = Seen(story, self.incarnation)
        self.seen[execution_id].budget = story.budget.amount if story.budget is not None else None

    # What is stored

    def stored(self, write: Write, result: WriteResult) -> None:
        if isinstance(write, InsertExecution):
            self.seen[write.execution_id].writes += 1
            self.seen[write.execution_id].owner = write.user
            self.seen[write.execution_id].owners[1] = write.user.id if write.user is not None else ""
        elif isinstance(write, ClaimExecution) and result.applied:
            seen = self.seen[write.execution_id]
            seen.writes += 1
            seen.claims += 1
            seen.owner = write.user or seen.owner
            seen.owners[write.epoch] = seen.owner.id if seen.owner is not None else ""
        elif isinstance(write, SaveState) and result.applied:
            try:
                self._saved(write)
            except PromiseBroken as broken:
                self.failure = self.failure or broken

    def _saved(self, write: SaveState) -> None:
        seen = self.seen[write.execution_id]
        seen.writes += 1
        seen.saves += 1
        seen.status = write.status
        if seen.epochs and write.epoch < seen.epochs[-1][0]:
            raise PromiseBroken(
                f"6: {write.execution_id}: epoch {write.epoch} wrote after epoch {seen.epochs[-1][0]}"
            )
        for epoch, incarnation in seen.epochs:
            # What rests may be cancelled where it was loaded; anything else is a new epoch.
            cancelled = write.status == ExecutionStatus.CANCELLED
            if epoch == write.epoch and incarnation != self.incarnation and not cancelled:
                raise PromiseBroken(f"6: {write.execution_id}: two processes wrote in epoch {epoch}")
        seen.epochs.append((write.epoch, self.incarnation))
        seen.recorded |= {(output.node_id, output.item) for output in write.outputs}
        self._check_kept(write)
        completed = write.status == ExecutionStatus.COMPLETED
        if completed == (write.checkpoint is not None):
            raise PromiseBroken(f"checkpoint of {write.execution_id}: {write.checkpoint} at {write.status}")
        seen.owner = write.user or seen.owner
        if seen.owner is None or write.state["user"] != seen.owner.to_json():
            raise PromiseBroken(f"7: {write.execution_id} is of {write.state['user']}, and its row of {seen.owner}")
        if write.checkpoint is not None and write.checkpoint.user != seen.owner:
            raise PromiseBroken(f"7: {write.execution_id} is of {seen.owner}, its checkpoint {write.checkpoint.user}")

    def loaded(self, execution_id: str) -> None:
        self.seen[execution_id].loads += 1

    def handed_over(self, execution_id: str, seq: int, now: float) -> None:
        """A record is on its way to the disk."""
        self.seen[execution_id].handed_over[seq] = now

    def forgotten(self, execution_id: str, through: int) -> None:
        """The records up to here need not be on disk: the database has what they say."""
        seen = self.seen[execution_id]
        seen.handed_over = {seq: since for seq, since in seen.handed_over.items() if seq > through}

    def process_ended(self) -> None:
        """What was on its way to the disk is gone."""
        for seen in self.seen.values():
            seen.handed_over.clear()

    def recorded(self, record: JournalRecord) -> None:
        message = decode(record.data)
        seen = self.seen[record.execution_id]
        seen.handed_over.pop(record.seq, None)
        if isinstance(message, NodeFinished | NodeReused):
            seen.recorded.add((message.node_id, message.item))
        if isinstance(message, NodeFailed) and message.error.type == "check_failed":
            seen.refused[message.node_id, message.item] = message.attempt
        if isinstance(message, NodeFinished | NodeFailed) and message.usage.tokens:
            place = _charged(message.node_id, message.item, message.attempt, message.epoch)
            if place in seen.called:
                if place not in seen.charged:
                    seen.known.append((self.clock(), message.usage.tokens, seen.user_in(message.epoch)))
                seen.charged.setdefault(place, message.usage)
        if isinstance(message, TakenUp | ResumeRequested) and self.incarnation > seen.born:
            seen.taken_up.add(self.incarnation)

    # What is computed

    def _check_budgets(self, task: NodeTask, seen: Seen, now: float) -> None:
        """No call begins once a budget is known to be used up; what was decided before is on its way."""
        known = [each for other in self.seen.values() for each in other.known if each[0] < now - DECIDED_SECONDS]
        # The budget is of one user: others who go on with an execution have none.
        spent = sum(tokens for _, tokens, user in known if user == LIMITED)
        is_limited = task.scope.user is not None and task.scope.user.id == LIMITED
        if self.budget is not None and is_limited and spent >= max(1, self.budget):
            self._note(f"money: {task.execution_id} goes on with {spent} of {self.budget} tokens spent")
        own = sum(tokens for at, tokens, _ in seen.known if at < now - DECIDED_SECONDS)
        if seen.budget is not None and own >= max(1, seen.budget):
            self._note(f"money: {task.execution_id} goes on with {own} of its {seen.budget} tokens spent")

    def started(self, task: NodeTask, now: float) -> None:
        seen = self.seen[task.execution_id]
        node = task.scope.node
        place = (node.id, task.item)
        if task.scope.user != seen.owner:
            self._note(f"7: {task.execution_id} is of {seen.owner}, and {place} runs for {task.scope.user}")
        self._check_told(task, seen, place)
        if node.estimate is not None:
            seen.called.add(_charged(node.id, task.item, task.attempt, task.epoch))
            self._check_budgets(task, seen, now)
        if place in seen.recorded:
            self._note(f"2: {task.execution_id}: {place} is computed again although it is on disk")
        if seen.story.parent is not None and seen.story.parent.must_keep(task):
            self._note(f"a fork keeps: {task.execution_id}: {place} is paid again although nothing it sees changed")
        if seen.story.durability == Durability.ASYNC and not self.journal_failed:
            self._check_lag(task, seen, now)
        if seen.story.durability == Durability.SYNC and not self.journal_failed:
            for need in node.needs:
                self._check_on_disk(task, seen, seen.story.plan.nodes[need].id)

    def withdrawn(self, task: NodeTask) -> None:
        """It was stopped while it waited for a limit: nobody was called."""
        self.seen[task.execution_id].called.discard(_charged(task.scope.node.id, task.item, task.attempt, task.epoch))

    def reused(self, task: NodeTask) -> None:
        """A fork keeps what its parent had."""
        self.reuses += 1
        seen = self.seen[task.execution_id]
        place = (task.scope.node.id, task.item)
        if place in seen.recorded:
            self._note(f"2: {task.execution_id}: {place} is taken over again although it is on disk")

    def _check_told(self, task: NodeTask, seen: Seen, place: Place) -> None:
        """Whoever writes anew what was refused is told why the last time."""
        last = seen.refused.get(place, 0)
        if (
            last
            and last == task.attempt - 1
            and not self.journal_failed
            and task.scope.check_failures != reasons(last)
        ):
            told = task.scope.check_failures
            self._note(f"3: {task.execution_id}: {place} is told {told}, but attempt {last} was refused")

    def _check_kept(self, write: SaveState) -> None:
        """What was written and refused for good is in the checkpoint, and how often it was."""
        counted = {(node_id, item): failures for node_id, item, _, failures, _ in write.state["checked"]}
        for node_id, node in write.state["nodes"].items():
            for item, state in [(None, node), *enumerate(node.get("items", ()))]:
                failed = state["status"] == "failed" and state.get("error", {}).get("type") == "check_failed"
                if not failed or (item is None and "items" in node):
                    continue
                if state.get("partial") != written(state["attempt"]) or not counted.get((node_id, item)):
                    raise PromiseBroken(f"5: {write.execution_id}: what {node_id} {item} had written is not kept")
                self.seen[write.execution_id].refused[node_id, item] = state["attempt"]

    def _check_lag(self, task: NodeTask, seen: Seen, now: float) -> None:
        oldest = min(seen.handed_over.values(), default=now)
        if now - oldest > LAG_SECONDS + 1e-6 or len(seen.handed_over) > LAG_RECORDS + 1:
            lag = 1000 * (now - oldest)
            count = len(seen.handed_over)
            self._note(f"2: {task.execution_id}: async started with {count} records and {lag:.0f} ms not on disk")

    def _check_on_disk(self, task: NodeTask, seen: Seen, need: str) -> None:
        done = {place for place, _ in seen.finished if place[0] == need}
        if not done <= seen.recorded:
            self._note(f"2: {task.execution_id}: sync started {task.scope.node.id} before {need} was on disk")

    def _note(self, text: str) -> None:
        self.failure = self.failure or PromiseBroken(text)

    def finished(self, task: NodeTask) -> None:
        seen = self.seen[task.execution_id]
        place = (task.scope.node.id, task.item)
        if any(each == place for each, _ in seen.finished):
            self.repeats += 1
            seen.repeats += 1
        seen.finished.append((place, self.incarnation))

    # What is shown

    def shown(self, payload: JsonObject) -> None:
        seen = self.seen[payload["execution_id"]]
        epoch, revision, percent = payload["epoch"], payload["revision"], payload["progress"]["percent"]
        last_epoch, last_revision, last_percent = seen.last
        if self.journal_failed:
            # What could not be recorded is shown all the same, and a kill takes it back.
            seen.last = (epoch, revision, percent)
            return
        if epoch < last_epoch or revision < last_revision:
            raise PromiseBroken(f"4: {payload['execution_id']}: revision {revision} was shown after {last_revision}")
        if epoch == last_epoch and percent < last_percent:
            raise PromiseBroken(f"4: {payload['execution_id']}: {percent} % was shown after {last_percent} %")
        if (payload["status"] == ExecutionStatus.WAITING) != (payload["waiting"] is not None):
            raise PromiseBroken(f"4: {payload['execution_id']}: {payload['status']}, for {payload['waiting']}")
        if revision >> 32 != epoch:
            raise PromiseBroken(f"4: {payload['execution_id']}: revision {revision} is not of epoch {epoch}")
        seen.last = (epoch, revision, percent)

    # How it ended

    def check_end(
        self,
        execution_id: str,
        stored: Any,
        expected: dict[str, JsonValue],
        *,
        undisturbed: bool,
        certain: bool,
        resumed: bool,
    ) -> None:
        """Compare what the database has in the end with what the model says must be there.

        `certain`: whoever wrote always knew whether it was stored, so that what is counted must be exact.
        `resumed`: somebody did, and what was repeated before that is told no more.
        """
        seen = self.seen[execution_id]
        if stored is None:
            raise PromiseBroken(f"2: {execution_id} was accepted and is nowhere")
        status = ExecutionStatus(stored.status)
        if status is not ExecutionStatus.COMPLETED:
            raise PromiseBroken(f"2: {execution_id} is {status} in the end")
        if stored.checkpoint is not None:
            raise PromiseBroken(f"1: {execution_id} completed, and its checkpoint is still there")
        found = _outputs(stored)
        if found != expected:
            wrong = {each: (found.get(each), expected.get(each)) for each in {*found, *expected}}
            wrong = {each: pair for each, pair in wrong.items() if pair[0] != pair[1]}
            raise PromiseBroken(f"2, 3: {execution_id}: outputs differ, (found, expected): {wrong}")
        if undisturbed and seen.writes != 2:
            raise PromiseBroken(f"1: {execution_id} cost {seen.writes} writes although nothing went wrong")
        shown = stored.state["db"]
        if undisturbed and shown != [0, 2]:
            raise PromiseBroken(f"1: {execution_id} says that it cost {shown}")
        if certain and shown[1] != seen.writes:
            raise PromiseBroken(f"1: {execution_id} says that it cost {shown[1]} writes: it cost {seen.writes}")
        told = stored.state["receipt"][REPEATED_CALLS] if stored.state["receipt"] else 0
        if seen.story.durability == Durability.SYNC and not (resumed or self.journal_failed) and told < seen.repeats:
            raise PromiseBroken(f"2: {execution_id} says that it repeated {told} calls: it repeated {seen.repeats}")
        if not len(seen.taken_up) <= shown[0] <= seen.loads:
            raise PromiseBroken(
                f"1: {execution_id} says that it cost {shown[0]} reads: it was loaded {seen.loads} times, "
                f"and taken up by {len(seen.taken_up)} processes"
            )

    def check_books(self, execution_id: str, books: Sequence[SettledEntry]) -> None:
        """No attempt is charged twice, and none is forgotten."""
        seen = self.seen[execution_id]
        entered = {each.entry.place: each.entry.usage for each in books}
        if len(entered) != len(books):
            raise PromiseBroken(f"money: {execution_id}: an attempt is in the ledger twice")
        for place, usage in seen.charged.items():
            if entered.get(place) != usage:
                raise PromiseBroken(f"money: {execution_id}: {place} used {usage}, entered is {entered.get(place)}")
        for place, usage in entered.items():
            if place not in seen.called and not usage.estimated:
                raise PromiseBroken(f"money: {execution_id}: {place} is charged, and was never called")
        if seen.story.durability == Durability.SYNC and not self.journal_failed:
            forgotten = seen.called - entered.keys()
            if forgotten:
                raise PromiseBroken(f"money: {execution_id}: in no ledger: {sorted(forgotten)}")


def _charged(node_id: str, item: int | None, attempt: int, epoch: int) -> Charged:
    return node_id, NO_ITEM if item is None else item, attempt, epoch


def own_outputs(stored: Any) -> list[StoredOutput]:
    """Return the outputs of an execution: of what a fork was seeded with, those that it took over."""

    def is_own(output: StoredOutput) -> bool:
        work = stored.state["nodes"][output.node_id]
        items = work.get("items", [])
        if output.item is not None:
            work = items[output.item] if output.item < len(items) else {"status": "pending"}
        return output.kept == (work["status"] == "completed" and not work["attempt"])

    return [output for output in stored.outputs if is_own(output)]


def _outputs(stored: Any) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    items: dict[str, dict[int, JsonValue]] = {}
    for output in own_outputs(stored):
        value = orjson.loads(orjson.dumps(output.value))
        if output.item is None:
            found[output.node_id] = value
        else:
            items.setdefault(output.node_id, {})[output.item] = value
    for node_id, state in stored.state["nodes"].items():
        if "items" in state:
            found[node_id] = [items.get(node_id, {}).get(item) for item in range(len(state["items"]))]
    return found
