"""What the node runner tells of an attempt: its progress, what holds it back, how it ended."""

from __future__ import annotations

from dataclasses import replace

from offbook.workflows.effects import Effect
from offbook.workflows.errors import StaleMessage
from offbook.workflows.messages import (
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
)
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import ExecutionStatus, NodeStatus, StepKind
from offbook.workflows.transitions import calls, charges, outcomes
from offbook.workflows.values import NO_USAGE
from offbook.workflows.work import Checked, Parked, Work

CHECK_FAILED = "check_failed"
"""The error of an output that was produced and does not pass."""

_ENTRY_KINDS = {kind.value: kind for kind in (StepKind.TEXT, StepKind.THINKING, StepKind.PROGRESS)}


def finished(run: RunState, message: NodeFinished, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    calls.land(run, node, message.item, work, message.usage)
    if run.reuse is not None and run.reuse.had_cost(node.id, message.item):
        run.open_receipt().repeated_calls += 1
    charges.charge(run, node, message.item, work, message.usage, message.model)
    outcomes.complete(run, node, message.item, work, message.output, effects)


def reused(run: RunState, message: NodeReused, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    kept = run.kept(node.id, message.item)
    if kept is None:
        raise StaleMessage(f"there is nothing to reuse at {node.id}")
    calls.land(run, node, message.item, work, NO_USAGE)
    if run.lost_calls is not None:
        # What was lost with its incarnation would have found the same, and called nothing.
        run.lost_calls.pop((node.index, message.item), None)
    # No attempt was made: that tells it from what ran here, also in a stored state.
    work.attempt = 0
    run.open_receipt().keep(kept, item=message.item is not None)
    outcomes.complete(run, node, message.item, work, kept.output, effects)


def failed(run: RunState, message: NodeFailed, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    calls.land(run, node, message.item, work, message.usage)
    charges.charge(run, node, message.item, work, message.usage, message.model)
    error = message.error
    if error.type == "cancelled" and run.stopping is not None:
        _aborted(run, node, message.item, work, message)
        return
    work.error = error
    if message.partial:
        work.partial = message.partial
    run.touch(node.index, work)
    if error.type == CHECK_FAILED:
        _check_failed(run, node, message, work, effects)
        return
    policy = node.retry
    checked = run.checked.get((node.index, message.item)) if run.checked is not None else None
    tries = work.tries - checked.tries if checked is not None else work.tries
    if error.retryable and tries < policy.attempts and run.stopping is not ExecutionStatus.CANCELLED:
        delay = min(policy.max_delay, policy.delay * policy.factor ** (tries - 1))
        delay = max(delay * (0.5 + message.jitter / 2), error.retry_after or 0.0)
        work.retry_at = run.now + delay
        calls.wait(run, node.index, message.item, work)
        text = f"{error.type}: {error.message}; next attempt in {delay:.1f} s"
        run.steps.add(run.now, node.id, message.item, StepKind.RETRY, text, run.revision)
        return
    outcomes.fail(run, node, message.item, work, error, effects)


def _check_failed(run: RunState, node: PlanNode, message: NodeFailed, work: Work, effects: list[Effect]) -> None:
    """An output failed its checks: another attempt, at once, within its own budget and that of all epochs."""
    error = message.error
    run.checked = {} if run.checked is None else run.checked
    checked = run.checked.setdefault((node.index, message.item), Checked())
    checked.tries += 1
    checked.failures += 1
    checked.reasons = message.reasons or (error.message,)
    again = error.retryable and checked.tries < node.check_attempts
    if checked.failures > node.max_regenerations:
        limit = f"it is not written again: max_regenerations is {node.max_regenerations}"
        error = replace(error, hint=f"{limit}; fork it with another prompt, other checks, or a higher limit")
    elif again and run.stopping is not ExecutionStatus.CANCELLED:
        text = f"{error.type}: {error.message}; next attempt at once"
        run.steps.add(run.now, node.id, message.item, StepKind.RETRY, text, run.revision)
        if run.stopping is None:
            calls.start_attempt(run, node, message.item, work, effects)
        else:
            work.retry_at = run.now
            calls.wait(run, node.index, message.item, work)
        return
    outcomes.fail(run, node, message.item, work, error, effects)


def _aborted(run: RunState, node: PlanNode, item: int | None, work: Work, message: NodeFailed) -> None:
    """An attempt ended because this run stops. A cancel ends it; an interrupt repeats it later."""
    work.partial = message.partial or work.partial
    run.touch(node.index, work)
    if run.stopping is ExecutionStatus.CANCELLED:
        work.status = NodeStatus.CANCELLED
        work.finished_at = run.now
        run.steps.add(run.now, node.id, item, StepKind.CANCELLED, "", run.revision)
    elif not message.begun:
        work.started_at = None
    # An interrupted attempt stays `running`, not in flight: the next epoch repeats it under its number.


def parked(run: RunState, message: NodeParked, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    calls.land(run, node, message.item, work, NO_USAGE)
    if message.kind == "signal" and message.name in run.signals:
        # It was sent, and accepted, before a crash put this node back.
        outcomes.complete(run, node, message.item, work, run.signals.pop(message.name), effects)
        return
    work.park = Parked(message.kind, message.name, message.until, message.form, message.default, message.has_default)
    calls.wait(run, node.index, message.item, work)
    run.steps.add(run.now, node.id, message.item, StepKind.WAITING, message.name, run.revision)


def progressed(run: RunState, message: NodeProgressed, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    if message.fraction is not None:
        work.fraction = max(work.fraction, message.fraction)
    if message.usage is not None:
        work.live_usage = message.usage
        work.live_model = message.model
    for kind, text in message.entries:
        run.steps.stream(run.now, node.id, message.item, _ENTRY_KINDS[kind], text, run.revision)
    run.touch(node.index, work)


def held_back(run: RunState, message: NodeHeld, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    if run.held_calls is None:
        run.held_calls = {}
    run.held_calls[node.index, message.item] = message
    run.touch(node.index, work)


def began(run: RunState, message: NodeBegan, effects: list[Effect]) -> None:
    node, work = calls.in_flight_work(run, message.node_id, message.item, message.attempt, message.epoch)
    if run.held_calls:
        run.held_calls.pop((node.index, message.item), None)
    run.touch(node.index, work)
