"""What waits goes on: its time came, or its signal."""

from __future__ import annotations

from offbook.workflows.effects import Effect
from offbook.workflows.errors import IllegalTransition, StaleMessage
from offbook.workflows.messages import SignalReceived, TimerFired
from offbook.workflows.run_state import RunState
from offbook.workflows.transitions import calls, outcomes
from offbook.workflows.values import NodeError


def timer_fired(run: RunState, message: TimerFired, effects: list[Effect]) -> None:
    if message.epoch != run.epoch:
        raise StaleMessage(f"a timer of epoch {message.epoch} fired in epoch {run.epoch}")
    if run.status.at_rest:
        raise StaleMessage("a timer fired after the run had come to rest")
    run.next_timer = None
    if run.stopping is not None:
        return
    for node, item, work in run.waiting:
        if work.due is None or work.due > run.now:
            continue
        if work.is_held_back:
            calls.try_again(run, node, item, work, effects)
            continue
        del run.waiting_works[node.index, item]
        if work.retry_at is not None:
            work.retry_at = None
            calls.start_attempt(run, node, item, work, effects)
            continue
        park, work.park = work.park, None
        assert park is not None
        if park.kind == "timer" or park.has_default:
            outcomes.complete(run, node, item, work, park.default, effects)
        else:
            error = NodeError("timeout", f"no signal {park.name!r} came in time")
            outcomes.fail(run, node, item, work, error, effects)


def signal_received(run: RunState, message: SignalReceived, effects: list[Effect]) -> None:
    if run.status.at_rest or run.stopping is not None:
        raise IllegalTransition(run.execution_id, run.status, "a signal")
    for node, item, work in run.waiting:
        if work.park is not None and work.park.kind == "signal" and work.park.name == message.name:
            del run.waiting_works[node.index, item]
            work.park = None
            outcomes.complete(run, node, item, work, message.payload, effects)
            return
    raise IllegalTransition(run.execution_id, run.status, f"the signal {message.name!r}, which nothing waits for,")
