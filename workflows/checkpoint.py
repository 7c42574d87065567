"""A run as it is stored, and back: the state without inputs and outputs, which are stored once beside it."""

from __future__ import annotations

from collections.abc import Mapping

from offbook.workflows.bookings import settlement
from offbook.workflows.budgets import Budget
from offbook.workflows.errors import OffbookError
from offbook.workflows.plan import Plan
from offbook.workflows.receipt import Receipt
from offbook.workflows.records import CHECKPOINT_SCHEMA, CheckpointSummary, SaveState, StoredExecution, StoredOutput
from offbook.workflows.reuse import Place, Reuse
from offbook.workflows.run import Run
from offbook.workflows.run_state import FailurePoint
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject, JsonValue, NodeError
from offbook.workflows.work import Checked, Steps, Work


class UnreadableState(OffbookError):
    """A stored state was written by a newer version of Offbook."""

    def __init__(self, execution_id: str, schema: int) -> None:
        self.execution_id = execution_id
        super().__init__(
            f"the state of execution {execution_id} has schema {schema}, this version reads up to "
            f"{CHECKPOINT_SCHEMA}: run a newer Offbook"
        )


def save_of(run: Run) -> SaveState:
    """Build the write that stores this run as it stands, and count it; its new outputs are handed over.

    A completed run needs no checkpoint; any other gets one.
    """
    run.db_writes += 1
    completed = run.status is ExecutionStatus.COMPLETED
    return SaveState(
        execution_id=run.execution_id,
        epoch=run.epoch,
        save=run.db_writes,
        status=run.status.value,
        state=to_state(run),
        outputs=tuple(StoredOutput(node.id, item, value) for node, item, value in run.take_unstored()),
        started_at=run.started_at,
        finished_at=run.finished_at,
        error_type=run.failure.error.type if run.failure else None,
        percent=run.percent(),
        checkpoint=None if completed else summary_of(run),
        bookings=settlement(run),
        # A resume as another user may have been stored that nobody was told of.
        user=run.user if run.epoch > 1 else None,
    )


def summary_of(run: Run) -> CheckpointSummary:
    """Build what people look at in a checkpoint."""
    return CheckpointSummary(
        schema_version=CHECKPOINT_SCHEMA,
        fingerprint=run.plan.fingerprint,
        user=run.user,
        failed_node=run.failure.node_id if run.failure else None,
        completed_nodes=run.completed_nodes,
        last_output_node=run.last_output_node,
        saved_at=run.now,
    )


def to_state(run: Run) -> JsonObject:
    """Write a run as JSON, without plan, inputs, labels and outputs."""
    failure = run.failure
    return {
        "schema": CHECKPOINT_SCHEMA,
        "epoch": run.epoch,
        "status": run.status.value,
        # What it will be once this is stored: a status from the database must not go back.
        "revision": run.revision + 1,
        "now": run.now,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "user": run.user.to_json() if run.user else None,
        "failure": [failure.error.to_json(), failure.node_id, failure.item] if failure else None,
        "guidance": run.guidance,
        "receipt": run.receipt.to_state() if run.receipt else None,
        "percent": run.percent(),
        "db": [run.db_reads, run.db_writes],
        "journal_seq": run.journal_seq,
        "signals": dict(run.signals),
        "budget": run.budget.to_json() if run.budget else None,
        "warned": list(run.warned),
        "lost_calls": [[*place, calls] for place, calls in (run.lost_calls or {}).items()],
        "checked": [
            [run.plan.nodes[index].id, item, *checked.to_json()]
            for (index, item), checked in (run.checked or {}).items()
        ],
        "last_seq": run.steps.last_seq,
        "steps": run.steps.to_state(),
        "nodes": {node.id: work.to_state() for node, work in zip(run.plan.nodes, run.works, strict=True)},
        **({"reuse": run.reuse.to_state()} if run.reuse is not None else {}),
    }


def base_run(stored: StoredExecution, plan: Plan) -> Run:
    """Build the run as it was last saved, whatever its row says of it since: what the journal is folded over.

    Whose it is its row says: a resume as another user is stored there before anything else.
    """
    run = Run(
        plan,
        stored.execution_id,
        user=stored.user,
        inputs=stored.inputs,
        labels=stored.labels,
        durability=stored.durability,
        created_at=stored.created_at,
    )
    run.db_writes = 1
    if stored.budget is not None:
        run.budget = Budget.from_json(stored.budget)
    if stored.state is not None:
        restore(run, stored.state)
    _adopt_kept(run, {(output.node_id, output.item): output.value for output in stored.outputs if output.kept})
    _adopt_outputs(run, [(output.node_id, output.item, output.value) for output in stored.outputs if not output.kept])
    return run


def restore(run: Run, state: JsonObject) -> None:
    """Put a fresh run into a state that `to_state` wrote; its outputs are still to be adopted."""
    if state["schema"] > CHECKPOINT_SCHEMA:
        raise UnreadableState(run.execution_id, state["schema"])
    run.epoch = state["epoch"]
    run.revision = state["revision"]
    run.now = state["now"]
    run.status = ExecutionStatus(state["status"])
    run.started_at = state["started_at"]
    run.finished_at = state["finished_at"]
    failure = state["failure"]
    run.failure = FailurePoint(NodeError.from_json(failure[0]), failure[1], failure[2]) if failure else None
    run.guidance = state["guidance"]
    run.receipt = Receipt.from_state(state["receipt"]) if state["receipt"] else None
    run.restore_percent(state["percent"])
    run.db_reads, run.db_writes = state["db"]
    run.journal_seq = state.get("journal_seq", 0)
    run.signals = state.get("signals", {})
    lost = {
        (index, item): [(attempt, epoch) for attempt, epoch in calls]
        for index, item, calls in state.get("lost_calls", ())
    }
    run.lost_calls = lost or None
    run.checked = {
        (run.plan.index[node_id], item): Checked.from_json(checked)
        for node_id, item, *checked in state.get("checked", ())
    } or None
    run.budget = Budget.from_json(state["budget"]) if state.get("budget") else None
    run.warned = tuple(state.get("warned", ()))
    run.steps = Steps.from_state(state["steps"], state["last_seq"], run.revision)
    run.reuse = Reuse.from_state(state["reuse"]) if "reuse" in state else None
    nodes: dict[str, JsonValue] = state["nodes"]
    run.works = [Work.from_state(nodes[node.id], run.revision) for node in run.plan.nodes]


def _adopt_kept(run: Run, outputs: Mapping[Place, JsonValue]) -> None:
    """Take over the outputs that a fork was seeded with; those that it has reused are its own."""
    if run.reuse is None:
        return
    run.reuse = run.reuse.with_outputs(outputs)
    for node in run.plan.nodes:
        for item, each in run.each_of(node.index):
            if not each.reused:
                continue
            if item is None:
                run.outputs[node.id] = outputs[node.id, None]
            else:
                each.output = outputs[node.id, item]


def _adopt_outputs(run: Run, outputs: list[tuple[str, int | None, JsonValue]]) -> None:
    """Take over outputs that were stored, and compute what follows from them."""
    for node_id, item, value in outputs:
        work = run.works[run.plan.index[node_id]]
        if item is None:
            run.outputs[node_id] = value
        elif work.items is not None:
            work.items[item].output = value
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        if work.items and work.settled(node.continue_on_error):
            run.outputs[node.id] = [each.output for each in work.items]
    run.index_works()
