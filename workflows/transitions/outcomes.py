"""How a node or item ends for good: completed, failed or skipped, and what that means for the run."""

from __future__ import annotations

from offbook.workflows.effects import Effect
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import FailurePoint, RunState
from offbook.workflows.states import ExecutionStatus, NodeStatus, StepKind
from offbook.workflows.transitions import calls, fan_out
from offbook.workflows.values import JsonValue, NodeError
from offbook.workflows.work import Work


def complete(
    run: RunState, node: PlanNode, item: int | None, work: Work, output: JsonValue, effects: list[Effect]
) -> None:
    """A node or item has its output."""
    work.status = NodeStatus.COMPLETED
    work.finished_at = run.now
    work.error = None
    work.partial = ""
    run.touch(node.index, work)
    if work.attempt:
        run.steps.add(run.now, node.id, item, StepKind.FINISHED, "", run.revision)
        run.unstored.append((node.index, item))
    else:
        run.steps.add(run.now, node.id, item, StepKind.FINISHED, "kept", run.revision)
    if item is None:
        run.outputs[node.id] = output
        run.settle(node, work)
    else:
        work.output = output
        fan_out.item_settled(run, node, effects)


def fail(
    run: RunState, node: PlanNode, item: int | None, work: Work, error: NodeError, effects: list[Effect]
) -> None:
    """An attempt was the last: the node or item has failed for good."""
    work.status = NodeStatus.FAILED
    work.error = error
    work.finished_at = run.now
    run.touch(node.index, work)
    run.steps.add(run.now, node.id, item, StepKind.FAILED, f"{error.type}: {error.message}", run.revision)
    if node.continue_on_error:
        if item is None:
            run.settle(node, work)
        else:
            fan_out.item_settled(run, node, effects)
        return
    if run.failure is None:
        run.failure = FailurePoint(error, node.id, item)
    if run.stopping is not ExecutionStatus.CANCELLED:
        run.stopping = ExecutionStatus.FAILED
        calls.withdraw(run, effects)
    if item is not None:
        run.works[node.index].error = error


def skip(run: RunState, node: PlanNode, work: Work) -> None:
    """Nothing that leads to a node is alive, or its own condition says no."""
    work.status = NodeStatus.SKIPPED
    work.finished_at = run.now
    run.touch(node.index, work)
    run.steps.add(run.now, node.id, None, StepKind.SKIPPED, "", run.revision)
    run.settle(node, work)
