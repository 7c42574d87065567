"""A checkpoint whole, as people get it: user, inputs, outputs, what is half done. Nothing is loaded from it."""

from __future__ import annotations

from offbook.workflows.checkpoint import summary_of, to_state
from offbook.workflows.records import StoredExecution, StoredOutput
from offbook.workflows.run import Run
from offbook.workflows.states import NodeStatus
from offbook.workflows.values import JsonObject, JsonValue


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


def _is_reused(state: JsonObject, output: StoredOutput) -> bool:
    work: JsonObject = state["nodes"][output.node_id]
    if output.item is not None:
        items: list[JsonObject] = work.get("items", [])
        work = items[output.item] if output.item < len(items) else {}
    return work.get("status") == NodeStatus.COMPLETED and not work["attempt"]


def _partial_outputs(state: JsonObject) -> list[JsonValue]:
    """Return what unfinished nodes and items had written: kept for people, and no output."""
    found: list[JsonValue] = []
    for node_id, node in state["nodes"].items():
        for item, each in [(None, node), *enumerate(node.get("items", ()))]:
            if each.get("partial"):
                found.append({"node_id": node_id, "item": item, "text": each["partial"]})
    return found
