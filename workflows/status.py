"""The status payload: what anybody is told of an execution. Reads a run, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from offbook.workflows.money import CURRENCY, cost_json
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus, NodeStatus
from offbook.workflows.values import NO_USAGE, JsonObject, JsonValue, format_time
from offbook.workflows.work import Step, Work

INLINE_OUTPUT_BYTES = 2048
PREVIEW_CHARACTERS = 200
UNUSED: JsonObject = NO_USAGE.to_json()
UNTOUCHED: JsonObject = {
    "status": NodeStatus.PENDING.value,
    "attempt": 0,
    "started_at": None,
    "finished_at": None,
    "usage": UNUSED,
    "error": None,
}
"""How a node is shown to which nothing has happened yet: most of a status, early in an execution."""
NO_JOURNAL: JsonObject = {"state": "off", "records": 0, "bytes": 0, "lag_ms": 0.0}


@dataclass(frozen=True, slots=True)
class StatusContext:
    """What a run does not know of itself."""

    source: str = "memory"
    """`memory`, or `database` once the actor has gone."""
    checkpoint_saved: bool = False
    journal: JsonObject | None = None
    """How far the journal is with this execution; None: none keeps records of it now."""
    currency: str = CURRENCY
    """Of the price table by which usage was priced."""
    status: ExecutionStatus | None = None
    """Shown in place of the run's own: `recovering` while its actor is restarted."""


def status_payload(run: RunState, context: StatusContext, since: int | None = None) -> JsonObject:
    """Build the payload of `GET /status/{execution_id}`; with `since`, only the entries changed after it."""
    status = context.status or run.status
    partial = since is not None and since <= run.revision
    after = since if partial and since is not None else -1
    nodes = list(zip(run.plan.nodes, run.works, strict=True))
    usage = run.usage
    return {
        "execution_id": run.execution_id,
        "workflow": {"name": run.plan.workflow.name, "fingerprint": run.plan.fingerprint},
        "status": status.value,
        "waiting": waiting_detail(run) if status is ExecutionStatus.WAITING else None,
        "source": context.source,
        "partial": partial,
        "revision": run.revision,
        "epoch": run.epoch,
        "user_id": run.user.id if run.user else None,
        "labels": run.labels,
        "parent": run.reuse.parent_id if run.reuse is not None else None,
        "result": _result(run),
        "progress": {
            "percent": run.percent(),
            "completed": run.settled_nodes,
            "total": len(run.works),
            "current": run.current_nodes if not status.at_rest else [],
        },
        "node_results": {
            node.id: node_entry(run, node, work, status) for node, work in nodes if work.revision > after
        },
        "processing_steps": [step_entry(step) for step in run.steps if step[-1] > after],
        "first_seq": run.steps.first_seq,
        "last_output_node": run.last_output_node,
        "usage": usage.to_json(),
        "cost": cost_json(usage, context.currency) if usage is not NO_USAGE else None,
        "db_ops": {"reads": run.db_reads, "writes": run.db_writes},
        "durability": run.durability,
        "journal": context.journal or NO_JOURNAL,
        "checkpoint": {
            "saved": context.checkpoint_saved,
            "failed_at_node": run.failure.node_id if run.failure else None,
            "completed_nodes": list(run.completed_nodes),
        },
        "receipt": run.receipt.to_json(context.currency) if run.receipt else None,
        "error": _error(run),
        "created_at": format_time(run.created_at),
        "started_at": format_time(run.started_at),
        "finished_at": format_time(run.finished_at),
    }


def waiting_detail(run: RunState) -> JsonObject | None:
    """Say what the execution waits for: a person before a time, the earliest time first, then what has none."""
    return min(waits(run), key=lambda each: each[0], default=((), {}))[1] or None


def waits(run: RunState) -> Iterator[tuple[tuple[int, float], JsonObject]]:
    """Yield what each node and item that waits waits for, and how that is to be sorted."""
    for node, item, work in run.waiting:
        kind, name, why = _waits_for(node, work)
        due = work.due
        detail: JsonObject = {
            "kind": kind,
            "name": name,
            "until": format_time(due),
            "node_id": node.id,
            "item": item,
        }
        if kind == "provider":
            detail["limit"] = {"kind": "provider", "why": why}
        if kind == "signal" and work.park is not None:
            detail["form"] = work.park.form
        yield (0 if kind == "signal" else 1, due if due is not None else float("inf")), detail
    for node, item, held in run.held:
        detail = {
            "kind": "provider",
            "name": held.name,
            "until": format_time(held.until),
            "node_id": node.id,
            "item": item,
            "limit": {"kind": held.kind, "why": held.why},
        }
        yield (1, held.until if held.until is not None else float("inf")), detail


def _waits_for(node: PlanNode, work: Work) -> tuple[str, str, str]:
    """Return kind and name of what a waiting node or item waits for, and why."""
    if work.retry_at is not None:
        error = work.error
        if error is not None and error.provider:
            return "provider", error.provider, "retry_after"
        return "timer", node.id, ""
    return (work.park.kind, work.park.name, "") if work.park else ("timer", node.id, "")


def output_entry(url: str, value: JsonValue) -> JsonObject:
    """Show an output whole up to 2 KB of JSON; past that where to get it, its size and how it begins."""
    encoded = orjson.dumps(value)
    if len(encoded) <= INLINE_OUTPUT_BYTES:
        return {"output": value}
    text = value if isinstance(value, str) else encoded[: 4 * PREVIEW_CHARACTERS].decode(errors="ignore")
    return {"output_ref": {"url": url, "bytes": len(encoded), "preview": text[:PREVIEW_CHARACTERS]}}


def _result(run: RunState) -> JsonValue:
    """What the output nodes gave: the value, or one for each node id where there are several."""
    if run.status is not ExecutionStatus.COMPLETED:
        return None
    found = {
        node.id: run.outputs[node.id] for node in run.plan.nodes if node.type == "output" and node.id in run.outputs
    }
    entries = {node_id: output_entry(output_url(run, node_id), value) for node_id, value in found.items()}
    shown = {node_id: entry.get("output", entry) for node_id, entry in entries.items()}
    if len(shown) == 1:
        return next(iter(shown.values()))
    return shown or None


def output_url(run: RunState, node_id: str) -> str:
    return f"/executions/{run.execution_id}/nodes/{node_id}/output"


def node_entry(run: RunState, node: PlanNode, work: Work, status: ExecutionStatus) -> JsonObject:
    """Describe a node as the status does."""
    if not work.revision:
        return UNTOUCHED
    entry: JsonObject = {
        "status": _shown(work.status, status, held=run.is_held(node.index)),
        "attempt": work.attempt,
        "started_at": format_time(work.started_at),
        "finished_at": format_time(work.finished_at),
    }
    if node.id in run.outputs and run.settled(node.index):
        entry.update(output_entry(output_url(run, node.id), run.outputs[node.id]))
    if work.items is not None:
        entry["items"] = {
            "completed": work.count_items(NodeStatus.COMPLETED),
            "failed": work.count_items(NodeStatus.FAILED),
            "total": len(work.items),
        }
    usage = work.total_usage
    entry["usage"] = usage.to_json() if usage is not NO_USAGE else UNUSED
    entry["error"] = work.error.to_json() if work.error else None
    if run.reuse is not None and work.reused:
        entry["reused"] = True
    if work.partial:
        entry["partial_output"] = work.partial[-INLINE_OUTPUT_BYTES:]
    elif work.items is not None and work.error is not None:
        # Of the first item that failed and had written something.
        for item, each in enumerate(work.items):
            if each.partial and each.status is not NodeStatus.COMPLETED:
                entry["partial_output"] = each.partial[-INLINE_OUTPUT_BYTES:]
                entry["partial_item"] = item
                break
    if run.checked is not None and (failed := _check_failures(run, node)):
        entry["check_failures"] = failed
    if work.fraction and work.status is NodeStatus.RUNNING:
        entry["fraction"] = work.fraction
    return entry


def item_entry(run: RunState, node: PlanNode, item: int, work: Work) -> JsonObject:
    """Describe an item of a foreach, without its output."""
    usage = work.total_usage
    return {
        "status": _shown(work.status, run.status, held=run.is_held(node.index, item)),
        "attempt": work.attempt,
        "started_at": format_time(work.started_at),
        "finished_at": format_time(work.finished_at),
        "usage": usage.to_json() if usage is not NO_USAGE else UNUSED,
        "error": work.error.to_json() if work.error else None,
    }


def _check_failures(run: RunState, node: PlanNode) -> list[JsonValue]:
    """Say of a node, or of each of its items, how often its output failed its checks, and why the last time."""
    return [
        {"item": item, "times": checked.failures, "reasons": list(checked.reasons)}
        for (index, item), checked in (run.checked or {}).items()
        if index == node.index
    ]


def _shown(work: NodeStatus, status: ExecutionStatus, *, held: bool) -> str:
    """Nothing runs in an execution that is at rest: what was on its way is pending again."""
    if work is NodeStatus.RUNNING and status.at_rest:
        return NodeStatus.PENDING.value
    return NodeStatus.WAITING.value if held else work.value


def step_entry(step: Step) -> JsonObject:
    """Show a step as the status does."""
    seq, at, node_id, item, kind, text, _ = step
    return {"seq": seq, "at": format_time(at), "node_id": node_id, "item": item, "kind": kind, "text": text}


def _error(run: RunState) -> JsonObject | None:
    failure = run.failure
    if failure is None:
        return None
    return {
        "type": failure.error.type,
        "message": failure.error.message,
        "node_id": failure.node_id,
        "item": failure.item,
        "hint": failure.error.hint or _resume_hint(run),
    }


def _resume_hint(run: RunState) -> str:
    return f"resume with POST /executions/{run.execution_id}/resume: what completed is kept"
