"""What an execution is made of, and what can be read of it; transitions alone change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_

from offbook.workflows.errors import NotResumable
from offbook.workflows.ledger import Entry
from offbook.workflows.messages import NodeHeld
from offbook.workflows.plan import Plan, PlanNode
from offbook.workflows.receipt import Receipt
from offbook.workflows.reuse import Kept, Reuse
from offbook.workflows.scope import Scope
from offbook.workflows.states import ExecutionStatus, NodeStatus
from offbook.workflows.values import NO_USAGE, ExecutionUser, JsonObject, JsonValue, NodeError, Usage
from offbook.workflows.work import Checked, Steps, Work

REVISIONS_PER_EPOCH = 1 << 32
_NOTHING_TOLD = (0, 0)


@dataclass(frozen=True, slots=True)
class FailurePoint:
    """The error that failed an execution, and where."""

    error: NodeError
    node_id: str | None
    item: int | None


class RunState:
    """The state of one execution, without its transitions."""

    __slots__ = (
        "_content_done",
        "_percent_floor",
        "budget",
        "checked",
        "created_at",
        "db_reads",
        "db_writes",
        "durability",
        "epoch",
        "execution_id",
        "failure",
        "finished_at",
        "guidance",
        "held_calls",
        "in_flight",
        "inputs",
        "journal_seq",
        "labels",
        "lost_calls",
        "missing",
        "next_timer",
        "now",
        "open_nodes",
        "outputs",
        "plan",
        "ready",
        "receipt",
        "reuse",
        "revision",
        "signals",
        "started_at",
        "status",
        "steps",
        "stopping",
        "told",
        "unsettled",
        "unstored",
        "user",
        "waiting_works",
        "warned",
        "works",
    )

    def __init__(
        self,
        plan: Plan,
        execution_id: str,
        *,
        user: ExecutionUser | None,
        inputs: JsonObject,
        labels: dict[str, str],
        durability: str,
        created_at: float,
    ) -> None:
        self.plan = plan
        self.execution_id = execution_id
        self.user = user
        self.inputs = inputs
        self.labels = labels
        self.durability = durability
        self.created_at = created_at
        self.started_at: float | None = None
        self.finished_at: float | None = None
        self.status = ExecutionStatus.QUEUED
        self.stopping: ExecutionStatus | None = None
        """Where the run ends up once nothing is in flight."""
        self.epoch = 1
        self.revision = REVISIONS_PER_EPOCH
        self.now = created_at
        self.failure: FailurePoint | None = None
        self.guidance = ""
        self.receipt: Receipt | None = None
        self.reuse: Reuse | None = None
        """Of a fork: what it may keep of the execution it comes from."""
        self.told = _NOTHING_TOLD
        """Where the last event stands that watchers were told: revision, and number within it. Not stored."""
        self.db_reads = 0
        self.db_writes = 0
        self.journal_seq = 0
        """The last record of the journal that this state has in it."""
        self.signals: dict[str, JsonValue] = {}
        """Signals that were accepted before a crash and whose nodes have not come to wait for them again."""
        self.budget = plan.workflow.budget_of_each
        """What this execution may spend; None: as much as its user may."""
        self.warned: tuple[str, ...] = ()
        """Budgets that only warn, and have."""
        self.unsettled: list[Entry] | None = None
        """What attempts used and no save has brought into the ledger yet."""
        self.lost_calls: dict[tuple[int, int | None], list[tuple[int, int]]] | None = None
        """(attempt, epoch) of what was in flight when its incarnation went away, by node and item."""
        self.held_calls: dict[tuple[int, int | None], NodeHeld] | None = None
        """Attempts in flight that wait for a limit, if any ever did."""
        self.works = [Work() for _ in plan.nodes]
        self.outputs: dict[str, JsonValue] = {}
        self.checked: dict[tuple[int, int | None], Checked] | None = None
        """What checks said of outputs that failed them, by node and item; None if none did."""
        self.steps = Steps()
        self.unstored: list[tuple[int, int | None]] = []
        """Whose outputs no save has carried yet."""
        self._percent_floor = 0.0
        self.ready: list[int] = []
        """Nodes whose needs are settled, and of which nothing has been made yet."""
        self.next_timer: float | None = None
        """When the timer fires that was armed last."""
        self.index_works()

    def index_works(self) -> None:
        """Compute what follows from the works: counters, content, waiting; after loading them."""
        self.in_flight = 0
        """How many attempts, decisions and expansions the node runner has."""
        self.open_nodes = 0
        """How many nodes are not settled."""
        self._content_done = 0
        self.waiting_works: dict[tuple[int, int | None], Work] = {}
        """Nodes and items that wait, in the order in which they came to."""
        settled: list[bool] = []
        for node, work in zip(self.plan.nodes, self.works, strict=True):
            done = work.settled(node.continue_on_error)
            settled.append(done)
            if done:
                self._note_content(node, work)
            else:
                self.open_nodes += 1
            if work.attempt or work.in_flight:
                self._index_attempts(node.index)
        self.missing = [sum(not settled[need] for need in node.needs) for node in self.plan.nodes]
        """Of each node: how many of its needs are not settled."""

    def _index_attempts(self, index: int) -> None:
        for item, each in self.each_of(index):
            if each.status is NodeStatus.WAITING:
                self.waiting_works[index, item] = each
            if each.in_flight:
                self.in_flight += 1

    def scope(self, node_id: str, item: int | None = None) -> Scope:
        """Return what an attempt at this node or item may see."""
        node = self.plan.node(node_id)
        work = self.work_at(node.index, item)
        parent = self.works[node.index]
        checked = self.checked.get((node.index, item)) if self.checked is not None else None
        upstream = node.ancestors & self._content_done
        so_far = None
        if item is not None and node.foreach is not None and node.foreach.concurrency == 1:
            so_far = tuple(each.output for each in (parent.items or ())[:item])
        return Scope(
            plan=self.plan,
            node=node,
            inputs=self.inputs,
            outputs=self.outputs,
            user=self.user,
            guidance=self.guidance if work.guided else "",
            last_output_node=self.plan.nodes[upstream.bit_length() - 1].id if upstream else None,
            item=parent.values[item] if item is not None else None,
            index=item,
            items_so_far=so_far,
            check_failures=checked.reasons if checked is not None else (),
        )

    @property
    def last_output_node(self) -> str | None:
        """The latest content-producing node in document order that has an output."""
        return self.plan.nodes[self._content_done.bit_length() - 1].id if self._content_done else None

    @property
    def completed_nodes(self) -> tuple[str, ...]:
        return tuple(
            node.id
            for node, work in zip(self.plan.nodes, self.works, strict=True)
            if work.status is NodeStatus.COMPLETED
        )

    @property
    def current_nodes(self) -> list[str]:
        """Nodes that run now, in document order."""
        return [
            node.id
            for node, work in zip(self.plan.nodes, self.works, strict=True)
            if work.status is NodeStatus.RUNNING and not (self.held_calls and self.is_held(node.index))
        ]

    @property
    def held(self) -> list[tuple[PlanNode, int | None, NodeHeld]]:
        """Attempts in flight that wait for a limit, in the order in which they came to."""
        return [(self.plan.nodes[index], item, held) for (index, item), held in (self.held_calls or {}).items()]

    def is_held(self, index: int, item: int | None = None) -> bool:
        """Whether an item, or all that a node has in flight, waits for a limit."""
        held = self.held_calls
        if not held:
            return False
        if item is not None:
            return (index, item) in held
        works = self.each_of(index)
        return any((index, place) in held for place, _ in works) and all(
            (index, place) in held for place, each in works if each.in_flight
        )

    @property
    def waiting(self) -> list[tuple[PlanNode, int | None, Work]]:
        """Nodes and items that wait for a time or a signal, in document order."""
        keys = sorted(self.waiting_works, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
        return [(self.plan.nodes[index], item, self.waiting_works[index, item]) for index, item in keys]

    @property
    def usage(self) -> Usage:
        """Tokens of every attempt of every epoch, also of failed ones."""
        total = NO_USAGE
        for work in self.works:
            used = work.total_usage
            if used is not NO_USAGE:
                total = total + used
        return total

    @property
    def ended_usage(self) -> Usage:
        """The same without what attempts that are under way have shown so far."""
        total = NO_USAGE
        for work in self.works:
            for each in (work, *(work.items or ())):
                total = total + each.usage
        return total

    @property
    def settled_nodes(self) -> int:
        """How many nodes are done with for good."""
        return len(self.works) - self.open_nodes

    def percent(self) -> float:
        """How far the run is, 0 to 100; within an epoch it never goes back."""
        works = self.works
        done = float(len(works) - self.open_nodes)
        for node, work in zip(self.plan.nodes, works, strict=True):
            keep_on = node.continue_on_error
            if not work.settled(keep_on):
                if work.items:
                    fractions = (1.0 if each.settled(keep_on) else each.fraction for each in work.items)
                    done += sum(fractions) / len(work.items)
                else:
                    done += work.fraction
        percent = round(100.0 * done / len(works), 2)
        if self.open_nodes:
            percent = min(percent, 99.99)
        percent = max(percent, self._percent_floor)
        self._percent_floor = percent
        return percent

    def output(self, node_id: str, item: int | None = None) -> JsonValue:
        """Return a node's or item's output; KeyError if it has none (yet)."""
        if item is None:
            return self.outputs[node_id]
        items = self.works[self.plan.index[node_id]].items or []
        if not 0 <= item < len(items) or items[item].status is not NodeStatus.COMPLETED:
            raise KeyError(item)
        return items[item].output

    def kept(self, node_id: str, item: int | None) -> Kept | None:
        """Return what a fork may keep at a node or item of its parent; None if there is nothing."""
        return self.reuse.usable((node_id, item)) if self.reuse is not None else None

    def out_of_regenerations(self) -> str:
        """Name the first unfinished node or item that has been written as often as it may be; empty if none has."""
        for (index, item), checked in (self.checked or {}).items():
            node = self.plan.nodes[index]
            spent = checked.failures > node.max_regenerations
            if spent and not self.work_at(index, item).settled(node.continue_on_error):
                return node.id if item is None else f"{node.id}[{item}]"
        return ""

    def check_regenerations(self) -> None:
        """Raise NotResumable if a resume would write again what failed its checks as often as it may."""
        place = self.out_of_regenerations()
        if place:
            limit = self.plan.node(place.partition("[")[0]).max_regenerations
            raise NotResumable(
                self.execution_id,
                self.status,
                f"{place} has failed its checks as often as it may (max_regenerations is {limit}): start or fork it "
                "with another prompt, other checks, or a higher limit",
            )

    def parked_for(self, signal: str) -> Work | None:
        """Return the first node or item that waits for this signal."""
        for _, _, work in self.waiting:
            if work.park is not None and work.park.kind == "signal" and work.park.name == signal:
                return work
        return None

    def take_unstored(self) -> list[tuple[PlanNode, int | None, JsonValue]]:
        """Return the outputs that no save has carried yet, and forget that they are owed."""
        owed, self.unstored = self.unstored, []
        taken: list[tuple[PlanNode, int | None, JsonValue]] = []
        for index, item in owed:
            node = self.plan.nodes[index]
            value = self.outputs[node.id] if item is None else (self.works[index].items or [])[item].output
            taken.append((node, item, value))
        return taken

    def forget_settled(self, entries: Sequence[Entry]) -> None:
        """What was entered into the ledger is owed no more."""
        owed = self.unsettled or []
        count = min(len(owed), len(entries))
        if all(map(is_, owed, entries)):
            # Mostly it is all that was owed, or the first of it.
            self.unsettled = owed[count:] or None
            return
        places = {entry.place for entry in entries}
        self.unsettled = [entry for entry in owed if entry.place not in places] or None

    def open_receipt(self) -> Receipt:
        """Return the receipt; there is one from the first entry on."""
        self.receipt = self.receipt or Receipt()
        return self.receipt

    def touch(self, index: int, work: Work) -> None:
        """Mark a node or item, and the node that it is of, as changed in this revision."""
        work.revision = self.revision
        self.works[index].revision = self.revision

    def settle(self, node: PlanNode, work: Work) -> None:
        """Count a node as done with for good; what waited for it alone is ready."""
        self.open_nodes -= 1
        self._note_content(node, work)
        missing = self.missing
        for successor in node.successors:
            missing[successor] -= 1
            if not missing[successor]:
                self.ready.append(successor)

    def restore_percent(self, percent: float) -> None:
        """Go on from a percentage that was shown before."""
        self._percent_floor = percent

    def settled(self, index: int) -> bool:
        """Whether a node is done with for good."""
        return self.works[index].settled(self.plan.nodes[index].continue_on_error)

    def each_of(self, index: int) -> list[tuple[int | None, Work]]:
        """Return the node's own work as (None, work), then its items' as (item, work)."""
        work = self.works[index]
        if work.items is None:
            return [(None, work)]
        return [(None, work), *enumerate(work.items)]

    def _note_content(self, node: PlanNode, work: Work) -> None:
        if node.produces_content and work.settled(node.continue_on_error) and self.outputs.get(node.id) is not None:
            self._content_done |= 1 << node.index

    def work_at(self, index: int, item: int | None) -> Work:
        work = self.works[index]
        if item is None:
            return work
        if work.items is None or not 0 <= item < len(work.items):
            raise KeyError(item)
        return work.items[item]
