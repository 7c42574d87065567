"""A node runner without nodes: attempts take virtual time, end as the story says, and are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from offbook.actors.calls import NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask, decide, expand
from offbook.workflows.messages import (
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
    RunMessage,
)
from offbook.workflows.values import NO_USAGE, NodeError, Usage
from tests.simulation.loop import Handle, SimLoop
from tests.simulation.stores import Faults
from tests.simulation.stories import FATAL, OK, REFUSED, TYPES, Story, computed, reasons, written

Auditor = Any


class SimRunner:
    """What actors use of a NodeRunner."""

    def __init__(self, loop: SimLoop, faults: Faults, auditor: Auditor, stories: dict[str, Story]) -> None:
        self._loop = loop
        self._faults = faults
        self._auditor = auditor
        self._stories = stories
        self._calls: dict[str, list[tuple[NodeTask, Handle]]] = {}
        self._calls_made = 0
        self._held: set[int] = set()
        """Attempts that wait for a limit, by the identity of their task."""

    def submit(self, task: NodeTask | DecideTask | ExpandTask) -> None:
        self._faults.effect("start")
        delay = self._loop.chance.expovariate(2.0)
        if isinstance(task, DecideTask):
            self._loop.call_later(delay / 20, self._evaluate, task, decide)
        elif isinstance(task, ExpandTask):
            self._loop.call_later(delay / 20, self._evaluate, task, expand)
        elif self._is_kept(task):
            self._auditor.reused(task)
            node = task.scope.node
            kept = NodeReused(node.id, task.item, task.attempt, task.epoch, self._loop.now)
            self._loop.call_later(delay / 20, task.reply, kept)
        else:
            self._auditor.started(task, self._loop.now)
            if self._loop.chance.random() < 0.3:
                self._loop.call_later(delay / 2, self._progress, task)
            if self._loop.chance.random() < 0.2:
                handle = self._loop.call_later(delay / 4, self._hold, task)
            else:
                handle = self._loop.call_later(delay, self._end, task)
            self._calls.setdefault(task.execution_id, []).append((task, handle))

    def _is_kept(self, task: NodeTask) -> bool:
        info = TYPES.get(task.scope.node.body.type)
        return task.reuse is not None and info is not None and task.reuse.holds(task.scope, task.item, info)

    def abort(self, execution_id: str, *, silently: bool = False) -> None:
        self._faults.effect("abort")
        for task, handle in self._calls.pop(execution_id, []):
            handle.cancel()
            self._held.discard(id(task))
            if not silently:
                # Mostly at once; what does not heed its cancellation is given up after a while.
                slow = self._loop.chance.random() < 0.3
                self._loop.call_later(self._loop.chance.random() * (2.0 if slow else 0.1), self._aborted, task)

    def withdraw(self, execution_id: str) -> None:
        self._faults.effect("withdraw")
        for task in [each for each, _ in self._calls.get(execution_id, ()) if id(each) in self._held]:
            self._forget(task).cancel()
            self._auditor.withdrawn(task)
            error = NodeError("cancelled", "the attempt was cancelled")
            task.reply(
                NodeFailed(
                    task.scope.node.id, task.item, task.attempt, task.epoch, error, self._loop.now, begun=False
                )
            )

    def figures(self) -> dict[str, int]:
        return {"live_calls": sum(len(calls) for calls in self._calls.values()), "queued_calls": 0, "abandoned": 0}

    def _evaluate(self, task: Any, evaluate: Callable[[Any, float], RunMessage]) -> None:
        task.reply(evaluate(task, self._loop.now))

    def _progress(self, task: NodeTask) -> None:
        if any(each is task for each, _ in self._calls.get(task.execution_id, ())):
            place = (task.scope.node.id, task.item, task.attempt, task.epoch)
            said: tuple[tuple[str, str], ...] = ()
            if self._faults.talkative:
                said = (("text", f"{place} at {self._loop.now:.3f} "),)
                self._loop.call_later(0.2, self._progress, task)
            task.reply(NodeProgressed(*place, self._loop.now, fraction=0.5, entries=said))

    def _hold(self, task: NodeTask) -> None:
        """It has to wait for a limit, and tells so; then it begins after all."""
        self._forget(task)
        self._held.add(id(task))
        place = (task.scope.node.id, task.item, task.attempt, task.epoch)
        now, chance = self._loop.now, self._loop.chance
        until = now + chance.random() if chance.random() < 0.5 else None
        task.reply(NodeHeld(*place, chance.choice(("provider", "user")), "scripted", "per_minute", until, now))
        handle = self._loop.call_later(chance.expovariate(0.5), self._begin, task)
        self._calls.setdefault(task.execution_id, []).append((task, handle))

    def _begin(self, task: NodeTask) -> None:
        self._forget(task)
        now = self._loop.now
        task.reply(NodeBegan(task.scope.node.id, task.item, task.attempt, task.epoch, now))
        handle = self._loop.call_later(self._loop.chance.expovariate(2.0), self._end, task)
        self._calls.setdefault(task.execution_id, []).append((task, handle))

    def _forget(self, task: NodeTask) -> Handle:
        self._held.discard(id(task))
        calls = self._calls.get(task.execution_id, [])
        handle = next(handle for each, handle in calls if each is task)
        self._calls[task.execution_id] = [each for each in calls if each[0] is not task]
        return handle

    def _aborted(self, task: NodeTask) -> None:
        error = NodeError("cancelled", "the attempt was cancelled")
        usage = self._used(task, estimated=True)
        task.reply(
            NodeFailed(task.scope.node.id, task.item, task.attempt, task.epoch, error, self._loop.now, usage=usage)
        )

    def _used(self, task: NodeTask, *, estimated: bool = False) -> Usage:
        """What an attempt used, unlike that of any other; what only waits uses nothing."""
        if task.scope.node.type in ("wait", "approval"):
            return NO_USAGE
        self._calls_made += 1
        return Usage(self._calls_made % 7, 1, estimated)

    def _end(self, task: NodeTask) -> None:
        calls = self._calls.get(task.execution_id, [])
        self._calls[task.execution_id] = [each for each in calls if each[0] is not task]
        self._faults.effect("end")
        node, now = task.scope.node, self._loop.now
        story = self._stories[task.execution_id]
        if node.type in ("wait", "approval"):
            timer = node.type == "wait"
            until = now + float(node.body.config["seconds"]) if timer else None
            kind, name = ("timer", node.id) if timer else ("signal", node.id)
            task.reply(
                NodeParked(node.id, task.item, task.attempt, task.epoch, kind, name, until, None, None, False, now)
            )
            return
        outcome = story.outcome((node.id, task.item), task.attempt)
        if outcome == OK:
            upstream = [task.scope.outputs.get(story.plan.nodes[need].id) for need in node.needs]
            output = computed(node, task.item, upstream)
            self._auditor.finished(task)
            usage = self._used(task)
            if not self._faults.quiet and self._loop.chance.random() < 0.03:
                # As the result of a thread that had been given up, and returns after all.
                late = NodeFinished(node.id, task.item, task.attempt, task.epoch, output, usage, now)
                self._loop.call_later(self._loop.chance.random() * 5, task.reply, late)
            task.reply(NodeFinished(node.id, task.item, task.attempt, task.epoch, output, usage, now))
            return
        refused = outcome == REFUSED
        if refused:
            self._auditor.refusals += 1
        error = NodeError("check_failed" if refused else "simulated", outcome, retryable=outcome != FATAL)
        task.reply(
            NodeFailed(
                node.id,
                task.item,
                task.attempt,
                task.epoch,
                error,
                now,
                usage=self._used(task),
                jitter=self._loop.chance.random(),
                partial=written(task.attempt) if refused else "",
                reasons=reasons(task.attempt) if refused else (),
            )
        )
