"""What the node runner tells an execution of one of its calls. Tells nothing itself."""

from __future__ import annotations

from offbook.actors.calls import Call
from offbook.actors.outcomes import as_json, as_stored_reasons, as_stored_text
from offbook.nodes.context import Park
from offbook.workflows.messages import (
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
)
from offbook.workflows.values import JsonValue, NodeError


def finished(call: Call, output: JsonValue, at: float) -> NodeFinished:
    return NodeFinished(*_place(call), output, call.tokens, at, call.model)


def failed(
    call: Call, error: NodeError, partial: str, reasons: tuple[str, ...], at: float, jitter: float, *, begun: bool
) -> NodeFailed:
    """`error` is fit to be stored; `begun`: whether anything was done in the attempt."""
    return NodeFailed(
        *_place(call),
        error=error,
        at=at,
        usage=call.tokens,
        partial=as_stored_text(partial) or call.partial,
        jitter=jitter,
        model=call.model,
        reasons=as_stored_reasons(reasons) if reasons else (),
        begun=begun,
    )


def parked(call: Call, park: Park, at: float) -> NodeParked:
    """NodeFailure if what it parks with is not JSON."""
    return NodeParked(
        *_place(call),
        kind=park.kind,
        name=park.name or call.task.scope.node.id,
        until=park.until,
        form=as_json(park.form),
        default=as_json(park.default),
        has_default=park.has_default,
        at=at,
    )


def progressed(call: Call, at: float) -> NodeProgressed | None:
    """Take what a call has reported since the last time; None if it has not."""
    entries, fraction = call.take_reports()
    if not entries and fraction is None:
        return None
    return NodeProgressed(
        *_place(call),
        at=at,
        fraction=fraction,
        entries=entries,
        usage=call.tokens,
        model=call.model,
    )


def held(call: Call, now: float, at: float) -> NodeHeld | None:
    """Say what a call waits for, if that is news; `now` by the clock of its limiters, `at` by everybody's."""
    passage = call.passage
    standing = passage.standing() if passage is not None else None
    if passage is None or standing is None or standing == passage.told:
        return None
    again = passage.told is not None
    passage.told = standing
    until = None if standing.until is None else at + max(0.0, standing.until - now)
    return NodeHeld(
        *_place(call),
        kind=standing.kind,
        name=standing.name,
        why=standing.why,
        until=until,
        at=at,
        begun=not call.is_unbegun,
        again=again,
    )


def began(call: Call, at: float) -> NodeBegan | None:
    """Say that a call waits no more, if it was told that it does."""
    passage = call.passage
    if passage is None or passage.told is None:
        return None
    passage.told = None
    return NodeBegan(*_place(call), at)


def reused(call: Call, at: float) -> NodeReused:
    return NodeReused(*_place(call), at)


def _place(call: Call) -> tuple[str, int | None, int, int]:
    """Say of what it is told: node, item, attempt and epoch."""
    task = call.task
    return task.scope.node.id, task.item, task.attempt, task.epoch
