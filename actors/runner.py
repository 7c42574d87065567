"""Runs user code: nodes, templates, expressions, on a loop thread of its own and on threads. Holds no run state."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from loguru import logger

from offbook.actors import replies
from offbook.actors.call_ends import CallEnds
from offbook.actors.call_limits import CallLimits
from offbook.actors.calls import Call, NodeTask, StopOrder
from offbook.actors.configs import Configs
from offbook.actors.decisions import DecideTask, ExpandTask, decide, expand
from offbook.actors.limit_settings import Limits
from offbook.actors.node_loop import NodeLoop
from offbook.actors.outcomes import as_json, crash_error, log_crash
from offbook.actors.reports import Reports
from offbook.actors.slices import SliceTask, begin_slices
from offbook.actors.slots import Slots
from offbook.actors.time_limits import TimeLimits, disarm, stop_error
from offbook.actors.turns import Passage
from offbook.nodes.checks import Checker, check_failure
from offbook.nodes.context import NodeContext, NodeFailure, Park
from offbook.nodes.prices import PriceTable
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.errors import OffbookError
from offbook.workflows.values import JsonObject, NodeError

Order: TypeAlias = NodeTask | DecideTask | ExpandTask | SliceTask | StopOrder

ABORT_GRACE = 2.0
"""Seconds that a cancelled attempt has to end before it is abandoned."""

CLOSE_SECONDS = 2.0
"""Seconds that node types have to close what they hold open."""


class NodeRunner:
    """Makes attempts at nodes, a bounded number at once, and tells their executions how they ended."""

    def __init__(
        self,
        registry: NodeRegistry,
        *,
        limits: Limits | None = None,
        max_calls: int = 1000,
        prices: PriceTable | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        flush_seconds: float = 0.05,
        abort_grace: float = ABORT_GRACE,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self._registry = registry
        self._configs = Configs(registry)
        self._checker = Checker(registry.checks)
        self._scrub = registry.providers.keys.secrets.scrub if registry.providers is not None else str
        """Takes keys out of what is stored and logged of failures."""
        self._prices = prices
        self._clock = clock
        self._abort_grace = abort_grace
        self._calls: dict[str, list[Call]] = {}
        self._sliced: set[asyncio.Task[None]] = set()
        self._closing = False
        self.abandoned = 0
        """Threads and attempts that could not be stopped and have not returned yet."""
        self.monotonic = time.monotonic
        self._loop: NodeLoop[Order] = NodeLoop(self._carry_out, self._wind_up, loop_factory)
        self.limits = CallLimits(limits, self._loop)
        """What holds calls back; used on the loop, like everything below."""
        self._slots = Slots(max_calls, self._begin)
        self._time_limits = TimeLimits(self._stop, self.monotonic)
        self._reports = Reports(self._loop, clock, flush_seconds)
        self._ends = CallEnds(clock, chance, self._scrub)

    # From any thread

    def start(self) -> None:
        """Start the loop thread; returns when it runs. What was submitted before begins now."""
        self._loop.start()

    def close(self, timeout: float = 5.0) -> None:
        """Cancel what runs, close the providers and end the loop thread. May be called again."""
        self._loop.close(timeout)

    def submit(self, task: NodeTask | DecideTask | ExpandTask | SliceTask) -> None:
        """Hand over what is to be done or evaluated; its reply is called on the runner's thread."""
        self._loop.put(task)

    def abort(self, execution_id: str, *, silently: bool = False) -> None:
        """Cancel every attempt of an execution that was submitted before; each tells its end unless `silently`.

        Those that are submitted after it are not reached.
        """
        self._loop.put(StopOrder(partial(self._abort, execution_id, silently)))

    def withdraw(self, execution_id: str) -> None:
        """End every attempt of an execution that waits for its turn, with nothing done yet."""
        self._loop.put(StopOrder(partial(self._withdraw, execution_id)))

    def call_threadsafe(self, function: Callable[..., None], *args: Any) -> None:
        """Have the loop call a function; nothing happens if the runner has been closed."""
        self._loop.call_threadsafe(function, *args)

    def figures(self) -> dict[str, int]:
        """Return how many calls are live, queued and abandoned."""
        return {"live_calls": self._slots.taken, "queued_calls": self._slots.queued, "abandoned": self.abandoned}

    def limit_figures(self) -> list[JsonObject]:
        """Return what is in use of each limit, and who waits."""
        return self.limits.figures(self._clock())

    def mark_dirty(self, call: Call) -> None:
        """A call has something to report; it goes out with the next flush."""
        if self._loop.is_here:
            self._reports.note(call)
        else:
            self._loop.call_threadsafe(self._reports.note, call)

    def abandoned_left(self) -> None:
        self.abandoned += 1

    def abandoned_returned(self) -> None:
        self.abandoned -= 1
        logger.info("late result of an abandoned call refused")

    # On the runner's loop

    async def _wind_up(self) -> None:
        """Stop all calls, give them time to end, and close what node types hold open."""
        self._closing = True
        calls = [call for calls in self._calls.values() for call in calls]
        for call in calls:
            self._stop(call, "cancelled")
        handles = [call.handle for call in calls if call.handle is not None]
        if handles:
            await asyncio.wait(handles, timeout=self._abort_grace)
        self.limits.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._registry.close()
        except Exception as error:  # noqa: BLE001 - of plug-ins, and nothing comes after it
            logger.opt(exception=error).warning("node types did not close")

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, NodeTask):
            self._take(Call(self, order))
        elif isinstance(order, DecideTask):
            order.reply(decide(order, self._clock()))
        elif isinstance(order, ExpandTask):
            order.reply(expand(order, self._clock()))
        elif isinstance(order, StopOrder):
            order.carry_out()
        else:
            self._slice(order)

    def _slice(self, task: SliceTask) -> None:
        sliced = begin_slices(self._loop.running, task)
        self._sliced.add(sliced)
        sliced.add_done_callback(self._sliced.discard)

    def _take(self, call: Call) -> None:
        if self._closing:
            self._ends.fail(call, stop_error(call))
            return
        self._calls.setdefault(call.task.execution_id, []).append(call)
        if self.limits.any_at_start:
            scope = call.task.scope
            node_type = self._registry.get(scope.node.body.type)
            is_call = node_type is not None and node_type.is_call
            way = self.limits.at_start(scope.user, scope.node.body.type, is_call=is_call)
            if way:
                self.make_passage(call).walk([(limiter, 0) for limiter in way], partial(self._admit, call))
                return
        self._slots.ask(call)

    def _admit(self, call: Call) -> None:
        """The limits let it begin, as soon as it has a slot."""
        call.tell(replies.began(call, self._clock()))
        self._slots.ask(call)

    def _begin(self, call: Call) -> None:
        call.handle = self._loop.running.create_task(self._attempt(call))
        call.handle.add_done_callback(partial(self._over, call))
        self._time_limits.arm(self._loop.running, call)

    async def _attempt(self, call: Call) -> None:
        task = call.task
        scope = task.scope
        try:
            if task.reuse is not None and self._is_kept(task):
                self._ends.reuse(call)
                return
            node_type, config = self._configs.of(scope)
            context = NodeContext(
                task.execution_id,
                scope.node.id,
                task.item,
                task.attempt,
                scope,
                call,
                call.cancellation,
                self._prices,
            )
            output = as_json(await node_type.run(context, config))
            if scope.node.checks:
                try:
                    reasons = self._checker.examine_at_once(scope, output)
                except BaseException:
                    call.keep(output)
                    raise
                if reasons is None:
                    call.keep(output)
                    reasons = await self._checker.examine(context, output)
                if reasons:
                    call.keep(output)
                    raise check_failure(reasons)
        except NodeFailure as failure:
            self._ends.fail(call, failure.error, failure.partial, failure.reasons)
        except Park as park:
            self._ends.park(call, park)
        except asyncio.CancelledError:
            # Nobody stopped it: something that it awaited was cancelled.
            self._ends.fail(call, NodeError("crash", "the node cancelled itself"))
        except OffbookError as refused:
            self._ends.fail(call, NodeError("validation", str(refused)))
        except (Exception, SystemExit, KeyboardInterrupt) as crash:  # noqa: BLE001 - user code: data for the run
            log_crash(
                crash, self._scrub, "WARNING", "node raised", node=scope.node.id, execution_id=task.execution_id
            )
            self._ends.fail(call, crash_error(crash, self._scrub))
        else:
            self._ends.finish(call, output)

    def _is_kept(self, task: NodeTask) -> bool:
        node_type = self._registry.get(task.scope.node.body.type)
        return task.reuse is not None and node_type is not None and task.reuse.holds(task.scope, task.item, node_type)

    def _over(self, call: Call, handle: asyncio.Task[None]) -> None:
        """The attempt is really over: forget it and let the next one begin."""
        if not handle.cancelled() and (fault := handle.exception()) is not None:
            log_crash(fault, self._scrub, "ERROR", "attempt ended in a fault of ours", node=call.task.scope.node.id)
            self._ends.fail(call, crash_error(fault, self._scrub))
        if not call.ended:
            # Cancelled before its first step: nothing of it ran that could tell the end.
            self._ends.fail(call, stop_error(call), begun=False)
        if call.abandoned:
            self.abandoned_returned()
        else:
            self._give_back(call)

    def _give_back(self, call: Call) -> None:
        """Let others have what the call had: its slot, and what it had passed."""
        self._forget(call)
        self._slots.give_back(call)
        if call.passage is not None:
            call.passage.end()

    def _forget(self, call: Call) -> None:
        execution_id = call.task.execution_id
        calls = self._calls[execution_id]
        calls.remove(call)
        if not calls:
            del self._calls[execution_id]

    def _abort(self, execution_id: str, silently: bool) -> None:
        for call in list(self._calls.get(execution_id, ())):
            if silently:
                call.ended = True
            self._stop(call, "cancelled")

    def _stop(self, call: Call, reason: str) -> None:
        """Have a call end, once: a second cancel would only disturb it in doing so."""
        if call.stop_reason:
            return
        call.stop_reason = reason
        call.cancellation.set()
        disarm(call)
        if call.handle is None:
            self._slots.leave(call)
            self._forget(call)
            self._ends.fail(call, stop_error(call), begun=False)
            if call.passage is not None:
                call.passage.end()
            return
        if call.passage is not None:
            call.passage.stopped_unbegun = call.is_unbegun
        call.handle.cancel()
        self._loop.running.call_later(self._abort_grace, self._abandon, call)

    def _abandon(self, call: Call) -> None:
        """A call that does not end when cancelled keeps neither its execution nor a slot waiting."""
        if call.handle is None or call.handle.done():
            return
        logger.warning("call abandoned", node=call.task.scope.node.id, execution_id=call.task.execution_id)
        call.abandoned = True
        self.abandoned += 1
        self._ends.fail(call, stop_error(call))
        self._give_back(call)

    def _withdraw(self, execution_id: str) -> None:
        calls = list(self._calls.get(execution_id, ()))
        # Found before any is stopped: each that ends lets another one in.
        for call in [each for each in calls if each.is_unbegun]:
            self._stop(call, "cancelled")
        for call in calls:
            call.may_not_wait = True

    # Calls that wait for limits

    def make_passage(self, call: Call) -> Passage:
        """Give a call a way through limits."""
        user = call.task.scope.user
        call.passage = Passage(user.id if user is not None else "", partial(self._reports.note, call))
        return call.passage

    def step_aside(self, call: Call) -> None:
        """Give up the slot of a call that waits for its provider, and have its time stand still."""
        self._time_limits.halt(call)
        self._slots.step_aside(call)
        if call.may_not_wait and call.is_unbegun:
            self._stop(call, "cancelled")

    async def step_in(self, call: Call) -> None:
        """Wait for a slot, and go on."""
        await self._slots.step_in(call)
        call.tell(replies.began(call, self._clock()))
        self._time_limits.arm(self._loop.running, call)
