"""What becomes of a node whose needs are settled: decided on, started or skipped; and its items, once known."""

from __future__ import annotations

from offbook.workflows.effects import DecideEdges, Effect
from offbook.workflows.errors import StaleMessage
from offbook.workflows.messages import EdgesDecided, ItemsExpanded
from offbook.workflows.plan import PlanNode
from offbook.workflows.run_state import RunState
from offbook.workflows.states import NodeStatus
from offbook.workflows.transitions import calls, fan_out, outcomes
from offbook.workflows.values import NO_USAGE
from offbook.workflows.work import Work


def consider(run: RunState, node: PlanNode, effects: list[Effect]) -> None:
    """All that this node needs is settled: decide, start or skip it."""
    work = run.works[node.index]
    live = not node.needs or any(_is_live(run, need) for need in node.needs)
    if not live:
        outcomes.skip(run, node, work)
    elif node.has_conditions and not work.attempt:
        work.in_flight = True
        run.in_flight += 1
        effects.append(DecideEdges(node.id))
    else:
        _start(run, node, work, effects)


def edges_decided(run: RunState, message: EdgesDecided, effects: list[Effect]) -> None:
    node, work = calls.deciding_work(run, message.node_id, message.epoch)
    calls.land(run, node, None, work, NO_USAGE)
    if message.error is not None:
        outcomes.fail(run, node, None, work, message.error, effects)
    elif run.stopping is not None:
        return  # decided again, with the same outcome, when the run goes on
    elif message.taken and (not node.needs or _any_live_edge(run, node, message.edges)):
        _start(run, node, work, effects)
    else:
        outcomes.skip(run, node, work)


def items_expanded(run: RunState, message: ItemsExpanded, effects: list[Effect]) -> None:
    node, work = calls.deciding_work(run, message.node_id, message.epoch)
    if node.foreach is None or work.items is not None:
        raise StaleMessage(f"node {node.id} was expanded before")
    calls.land(run, node, None, work, NO_USAGE)
    if message.error is not None:
        outcomes.fail(run, node, None, work, message.error, effects)
        return
    work.values = message.items
    work.items = [Work() for _ in message.items]
    for each in work.items if work.guided else ():
        each.guided = True
    run.touch(node.index, work)
    if work.items:
        fan_out.fill(run, node, work, effects)
    else:
        outcomes.complete(run, node, None, work, [], effects)


def _start(run: RunState, node: PlanNode, work: Work, effects: list[Effect]) -> None:
    if node.foreach is None:
        calls.start_attempt(run, node, None, work, effects)
    else:
        fan_out.begin(run, node, work, effects)


def _any_live_edge(run: RunState, node: PlanNode, edges: tuple[bool, ...]) -> bool:
    return any(taken and _is_live(run, need) for need, taken in zip(node.needs, edges, strict=True))


def _is_live(run: RunState, index: int) -> bool:
    """Whether a predecessor lets what follows it run; a skipped one does not."""
    return run.works[index].status is not NodeStatus.SKIPPED
