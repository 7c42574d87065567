"""A run as it is stored, and back: the state without inputs and outputs, which are stored once beside it."""

from __future__ import annotations

from offbook.workflows.bookings import settlement
from offbook.workflows.budgets import Budget
from offbook.workflows.errors import OffbookError
from offbook.workflows.plan import Plan
from offbook.workflows.records import CHECKPOINT_SCHEMA, CheckpointSummary, SaveState, StoredExecution, StoredOutput
from offbook.workflows.reuse import Reuse
from offbook.workflows.run import Run
from offbook.workflows.run_state import FailurePoint, Receipt
from offbook.workflows.states import ExecutionStatus, NodeStatus
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


def load_run(stored: StoredExecution, plan: Plan) -> Run:
    """Build the run that a stored execution was, in the state in which it was last saved.

    One that was never saved since its acceptance has nothing done. One that was cut off (its row says that
    it runs, yet it is loaded) is `interrupted`.
    """
    run = base_run(stored, plan)
    run.epoch = max(run.epoch, stored.epoch)
    if not ExecutionStatus(stored.status).at_rest:
        run.status = ExecutionStatus.INTERRUPTED
    return run


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
    run.adopt_kept({(output.node_id, output.item): output.value for output in stored.outputs if output.kept})
    run.adopt_outputs([(output.node_id, output.item, output.value) for output in stored.outputs if not output.kept])
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


def _is_reused(state: JsonObject, output: StoredOutput) -> bool:
    work: JsonObject = state["nodes"][output.node_id]
    if output.item is not None:
        items: list[JsonObject] = work.get("items", [])
        work = items[output.item] if output.item < len(items) else {}
    return work.get("status") == NodeStatus.COMPLETED and not work["attempt"]


def unsaved_document(run: Run) -> JsonObject:
    """Show the checkpoint of a run at rest that is not stored yet, as it will be."""
    outputs = [
        StoredOutput(node.id, item, run.outputs[node.id] if item is None else each.output)
        for node in run.plan.nodes
        for item, each in run.each_of(node.index)
        if each.status is NodeStatus.COMPLETED and (item is not None or node.foreach is None)
    ]
    unsaved = StoredExecution(
        execution_id=run.execution_id,
        workflow_name=run.plan.workflow.name,
        fingerprint=run.plan.fingerprint,
        document=run.plan.document,
        status=run.status.value,
        epoch=run.epoch,
        worker_id="",
        user=run.user,
        labels=run.labels,
        inputs=run.inputs,
        durability=run.durability,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        state=to_state(run),
        outputs=tuple(outputs),
        checkpoint=summary_of(run),
    )
    return checkpoint_document(unsaved, saved=False)


def checkpoint_document(stored: StoredExecution, *, saved: bool = True) -> JsonObject:
    """Show a checkpoint whole: user, inputs, outputs, last output, failed and completed nodes."""
    summary = stored.checkpoint
    state = stored.state
    assert summary is not None
    assert state is not None
    outputs: JsonObject = {}
    items: dict[str, JsonObject] = {}
    for output in stored.outputs:
        if output.kept and not _is_reused(state, output):
            continue
        if output.item is None:
            outputs[output.node_id] = output.value
        else:
            items.setdefault(output.node_id, {})[str(output.item)] = output.value
    for node_id in summary.completed_nodes:
        if node_id not in outputs and node_id in items:
            outputs[node_id] = [items[node_id][key] for key in sorted(items[node_id], key=int)]
    last = summary.last_output_node
    return {
        "execution_id": stored.execution_id,
        "saved": saved,
        "epoch": stored.epoch,
        "schema_version": summary.schema_version,
        "workflow": {"name": stored.workflow_name, "fingerprint": summary.fingerprint},
        "status": stored.status,
        "execution_user": summary.user.to_json() if summary.user else None,
        "inputs": stored.inputs,
        "labels": stored.labels,
        "failed_node": summary.failed_node,
        "completed_nodes": list(summary.completed_nodes),
        "node_outputs": outputs,
        "item_outputs": items,
        "partial_outputs": _partial_outputs(state),
        "last_output": {"node_id": last, "output": outputs.get(last)} if last else None,
        "state": state,
    }


def _partial_outputs(state: JsonObject) -> list[JsonValue]:
    """Return what unfinished nodes and items had written: kept for people, and no output."""
    found: list[JsonValue] = []
    for node_id, node in state["nodes"].items():
        for item, each in [(None, node), *enumerate(node.get("items", ()))]:
            if each.get("partial"):
                found.append({"node_id": node_id, "item": item, "text": each["partial"]})
    return found
