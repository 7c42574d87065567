"""Runs user code: nodes, templates, expressions, on a loop thread of its own and on threads. Holds no run state."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson
from loguru import logger
from pydantic import BaseModel, ValidationError

from offbook.actors.calls import Call, NodeTask
from offbook.actors.decisions import DecideTask, ExpandTask, decide, expand
from offbook.nodes.context import NodeContext, NodeFailure, Park
from offbook.nodes.registry import NodeRegistry, NodeType
from offbook.workflows import templates
from offbook.workflows.errors import OffbookError
from offbook.workflows.messages import NodeFailed, NodeFinished, NodeParked, NodeProgressed
from offbook.workflows.values import JsonValue, NodeError

ABORT_GRACE = 2.0
"""Seconds that a cancelled attempt has to end before it is abandoned."""

PREPARED_KEPT = 10_000

_STRICT_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


class NodeRunner:
    """Makes attempts at nodes, a bounded number at once, and tells their executions how they ended."""

    def __init__(
        self,
        registry: NodeRegistry,
        *,
        max_calls: int = 1000,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        flush_seconds: float = 0.05,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self._registry = registry
        self._max_calls = max_calls
        self._clock = clock
        self._chance = chance
        self._flush_seconds = flush_seconds
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._inbox: deque[NodeTask | DecideTask | ExpandTask] = deque()
        self._armed = False
        self._queue: deque[Call] = deque()
        self._calls: dict[str, list[Call]] = {}
        self._active = 0
        self._dirty: list[Call] = []
        self._flush_handle: asyncio.TimerHandle | None = None
        self._prepared: dict[tuple[str, str], tuple[NodeType, BaseModel | None]] = {}
        self.abandoned = 0
        """Threads and attempts that could not be stopped and have not returned yet."""
        self.monotonic = time.monotonic

    # From any thread

    def start(self) -> None:
        """Start the loop thread; returns when it runs."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, args=(ready,), name="offbook-nodes", daemon=True)
        self._thread.start()
        ready.wait()

    def close(self, timeout: float = 5.0) -> None:
        """Cancel what runs, close the providers and end the loop thread."""
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        loop.call_soon_threadsafe(self._stop_loop)
        thread.join(timeout)
        if thread.is_alive():
            logger.warning("node runner did not end in time", seconds=timeout)

    def submit(self, task: NodeTask | DecideTask | ExpandTask) -> None:
        """Hand over an attempt, a decision or an expansion; its reply is called on the runner's thread."""
        self._inbox.append(task)
        if not self._armed:
            self._armed = True
            self.call_threadsafe(self._drain)

    def abort(self, execution_id: str, *, silently: bool = False) -> None:
        """Cancel every attempt of an execution; each tells its end unless `silently`."""
        self.call_threadsafe(self._abort, execution_id, silently)

    def call_threadsafe(self, function: Callable[..., None], *args: Any) -> None:
        """Have the loop call a function; nothing happens if the runner has been closed."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop was closed between the check and the call.
            logger.debug("node runner is closed, call dropped")

    def figures(self) -> dict[str, int]:
        """Return how many calls are live, queued and abandoned."""
        return {"live_calls": self._active, "queued_calls": len(self._queue), "abandoned": self.abandoned}

    def mark_dirty(self, call: Call) -> None:
        """A call has something to report; it goes out with the next flush."""
        if self._thread is not None and threading.get_ident() == self._thread.ident:
            self._note_dirty(call)
        else:
            self.call_threadsafe(self._note_dirty, call)

    def abandoned_left(self) -> None:
        self.abandoned += 1

    def abandoned_returned(self) -> None:
        self.abandoned -= 1
        logger.info("late result of an abandoned call refused")

    # On the runner's loop

    def _run_loop(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            self._loop = runner.get_loop()
            self._stopped = asyncio.Event()
            self._loop.call_soon(ready.set)
            runner.run(self._live())

    async def _live(self) -> None:
        await self._stopped.wait()
        handles = [call.handle for calls in self._calls.values() for call in calls if call.handle]
        for handle in handles:
            handle.cancel()
        if handles:
            await asyncio.wait(handles, timeout=ABORT_GRACE)
        await self._registry.close()

    def _stop_loop(self) -> None:
        self._stopped.set()

    def _drain(self) -> None:
        self._armed = False
        inbox = self._inbox
        while inbox:
            task = inbox.popleft()
            if isinstance(task, NodeTask):
                self._take(Call(self, task))
            elif isinstance(task, DecideTask):
                task.reply(decide(task, self._clock()))
            else:
                task.reply(expand(task, self._clock()))

    def _take(self, call: Call) -> None:
        self._calls.setdefault(call.task.execution_id, []).append(call)
        if self._active < self._max_calls:
            self._begin(call)
        else:
            self._queue.append(call)

    def _begin(self, call: Call) -> None:
        assert self._loop is not None
        self._active += 1
        call.last_sign = self.monotonic()
        call.handle = self._loop.create_task(self._attempt(call))
        timeout = call.task.scope.node.body.timeout
        if timeout.total is not None:
            call.timers.append(self._loop.call_later(timeout.total, self._expire, call, "timeout"))
        if timeout.idle is not None:
            call.timers.append(self._loop.call_later(timeout.idle, self._check_idle, call, timeout.idle))

    async def _attempt(self, call: Call) -> None:
        task = call.task
        scope = task.scope
        try:
            node_type, config = self._config(call)
            context = NodeContext(
                task.execution_id, scope.node.id, task.item, task.attempt, scope, call, call.cancellation
            )
            output = _as_json(await node_type.run(context, config))
        except NodeFailure as failure:
            self._fail(call, failure.error, failure.partial)
        except Park as park:
            self._park(call, park)
        except asyncio.CancelledError:
            self._fail(call, self._stop_error(call))
        except OffbookError as refused:
            self._fail(call, NodeError("validation", str(refused)))
        except Exception as crash:  # noqa: BLE001 - user code: its failure is data for the run
            logger.opt(exception=crash).warning("node raised", node=scope.node.id, execution_id=task.execution_id)
            self._fail(call, NodeError("crash", f"{type(crash).__name__}: {crash}"[:1000]))
        else:
            self._finish(call, output)
        finally:
            self._release(call)

    def _config(self, call: Call) -> tuple[NodeType, BaseModel]:
        """Render and check a node's config; one without templates is checked once and kept."""
        scope = call.task.scope
        node = scope.node
        key = (scope.plan.fingerprint, node.id)
        prepared = self._prepared.get(key)
        if prepared is None:
            node_type = self._registry.get(node.body.type)
            if node_type is None:
                raise NodeFailure.of("validation", f"the node type {node.body.type!r} is not registered here")
            constant = None
            if not templates.has_template(node.body.config):
                constant = _checked(node_type, node.body.config)
            if len(self._prepared) >= PREPARED_KEPT:
                self._prepared.clear()
            self._prepared[key] = prepared = (node_type, constant)
        node_type, constant = prepared
        if constant is not None:
            return node_type, constant
        return node_type, _checked(node_type, templates.render(node.body.config, scope))

    def _finish(self, call: Call, output: JsonValue) -> None:
        if self._end(call):
            task = call.task
            task.reply(
                NodeFinished(
                    task.scope.node.id, task.item, task.attempt, task.epoch, output, call.tokens, self._clock()
                )
            )

    def _fail(self, call: Call, error: NodeError, partial: str = "") -> None:
        if self._end(call):
            task = call.task
            task.reply(
                NodeFailed(
                    node_id=task.scope.node.id,
                    item=task.item,
                    attempt=task.attempt,
                    epoch=task.epoch,
                    error=error,
                    at=self._clock(),
                    usage=call.tokens,
                    partial=partial or call.partial,
                    jitter=self._chance(),
                )
            )

    def _park(self, call: Call, park: Park) -> None:
        if self._end(call):
            task = call.task
            node_id = task.scope.node.id
            task.reply(
                NodeParked(
                    node_id=node_id,
                    item=task.item,
                    attempt=task.attempt,
                    epoch=task.epoch,
                    kind=park.kind,
                    name=park.name or node_id,
                    until=park.until,
                    form=park.form,
                    default=park.default,
                    has_default=park.has_default,
                    at=self._clock(),
                )
            )

    def _end(self, call: Call) -> bool:
        """Send the last reports; return whether this is the first end of the call."""
        if call.ended:
            return False
        self._report(call)
        call.ended = True
        for timer in call.timers:
            timer.cancel()
        return True

    def _release(self, call: Call) -> None:
        """The attempt is really over: forget it and let the next one begin."""
        execution_id = call.task.execution_id
        calls = self._calls.get(execution_id)
        if calls is not None and call in calls:
            if len(calls) == 1:
                del self._calls[execution_id]
            else:
                calls.remove(call)
            if call.handle is not None:
                self._active -= 1
        elif call.handle is not None:
            self.abandoned -= 1
        while self._queue and self._active < self._max_calls:
            self._begin(self._queue.popleft())

    def _abort(self, execution_id: str, silently: bool) -> None:
        for call in list(self._calls.get(execution_id, ())):
            self._stop(call, "cancelled", silently)

    def _stop(self, call: Call, reason: str, silently: bool = False) -> None:
        assert self._loop is not None
        call.stop_reason = call.stop_reason or reason
        call.cancellation.set()
        if silently:
            call.ended = True
        if call.handle is None:
            self._queue.remove(call)
            self._fail(call, self._stop_error(call))
            self._release(call)
            return
        call.handle.cancel()
        self._loop.call_later(ABORT_GRACE, self._abandon, call)

    def _abandon(self, call: Call) -> None:
        """A call that does not end when cancelled keeps neither its execution nor a slot waiting."""
        calls = self._calls.get(call.task.execution_id, [])
        if call not in calls or call.handle is None or call.handle.done():
            return
        logger.warning("call abandoned", node=call.task.scope.node.id, execution_id=call.task.execution_id)
        calls.remove(call)
        if not calls:
            del self._calls[call.task.execution_id]
        self._active -= 1
        self.abandoned += 1
        self._fail(call, self._stop_error(call))

    def _expire(self, call: Call, reason: str) -> None:
        if not call.ended:
            self._stop(call, reason)

    def _check_idle(self, call: Call, limit: float) -> None:
        assert self._loop is not None
        if call.ended:
            return
        silent = self.monotonic() - call.last_sign
        if silent >= limit:
            self._expire(call, "idle_timeout")
        else:
            call.timers.append(self._loop.call_later(limit - silent, self._check_idle, call, limit))

    def _stop_error(self, call: Call) -> NodeError:
        timeout = call.task.scope.node.body.timeout
        if call.stop_reason == "timeout":
            return NodeError("timeout", f"the attempt took longer than {timeout.total:g} s", retryable=True)
        if call.stop_reason == "idle_timeout":
            return NodeError("idle_timeout", f"no sign of life for {timeout.idle:g} s", retryable=True)
        return NodeError("cancelled", "the attempt was cancelled")

    def _note_dirty(self, call: Call) -> None:
        assert self._loop is not None
        self._dirty.append(call)
        if self._flush_handle is None:
            self._flush_handle = self._loop.call_later(self._flush_seconds, self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        dirty, self._dirty = self._dirty, []
        for call in dirty:
            if not call.ended:
                self._report(call)

    def _report(self, call: Call) -> None:
        entries, fraction = call.take_reports()
        if entries or fraction is not None:
            task = call.task
            task.reply(
                NodeProgressed(
                    node_id=task.scope.node.id,
                    item=task.item,
                    attempt=task.attempt,
                    epoch=task.epoch,
                    at=self._clock(),
                    fraction=fraction,
                    entries=entries,
                    usage=call.tokens,
                )
            )


def _checked(node_type: NodeType, config: JsonValue) -> BaseModel:
    try:
        return node_type.config_model.model_validate(config)
    except ValidationError as refused:
        # Only where and what: the values may be prompts.
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors())
        raise NodeFailure.of("validation", f"config: {wrong}") from None


def _as_json(output: JsonValue) -> JsonValue:
    """Return the output as JSON values that no node can change any more; NodeFailure if it is not JSON."""
    try:
        encoded = orjson.dumps(output, option=_STRICT_JSON)
    except TypeError as refused:
        raise NodeFailure.of(
            "validation",
            f"the output is not JSON: {refused}",
            hint="return None, numbers, text, lists or dicts with text keys",
        ) from None
    return orjson.loads(encoded) if isinstance(output, list | dict | tuple) else output
