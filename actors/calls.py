"""One attempt at a node while it is under way: its reports, limits and end. Lives on the node runner's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offbook.nodes.context import Cancellation
from offbook.workflows.messages import RunMessage
from offbook.workflows.scope import Scope
from offbook.workflows.values import NO_USAGE, Usage

if TYPE_CHECKING:
    from offbook.actors.runner import NodeRunner

REPORT_LIMIT = 100_000
"""Characters of reports kept between two flushes; what is older is dropped, as the step ring would drop it."""


@dataclass(frozen=True, slots=True)
class NodeTask:
    """Execution to node runner: make this attempt and tell me how it ended."""

    execution_id: str
    epoch: int
    item: int | None
    attempt: int
    scope: Scope
    reply: Callable[[RunMessage], None]


class Call:
    """An attempt under way; the sink of its context."""

    __slots__ = (
        "_dirty",
        "_entries",
        "_fraction",
        "_runner",
        "_text",
        "cancellation",
        "ended",
        "handle",
        "last_sign",
        "stop_reason",
        "task",
        "timers",
        "tokens",
    )

    def __init__(self, runner: NodeRunner, task: NodeTask) -> None:
        self._runner = runner
        self.task = task
        self.cancellation = Cancellation()
        self.handle: asyncio.Task[None] | None = None
        self.timers: list[asyncio.TimerHandle] = []
        self.ended = False
        """Whether its end was told; what comes later is refused."""
        self.stop_reason = ""
        """Why it was cancelled: cancelled, timeout or idle_timeout."""
        self.tokens: Usage = NO_USAGE
        self.last_sign = 0.0
        self._entries: list[tuple[str, str]] = []
        self._text: list[str] = []
        self._fraction: float | None = None
        self._dirty = False

    @property
    def partial(self) -> str:
        """All text that the attempt has shown so far."""
        return "".join(self._text)

    def report(self, kind: str, text: str) -> None:
        if self.ended:
            return
        if kind == "text":
            self._text.append(text)
        self._entries.append((kind, text))
        self._mark()

    def fraction(self, value: float) -> None:
        self._fraction = value
        self._mark()

    def usage(self, usage: Usage) -> None:
        self.tokens = usage
        self._mark()

    def _mark(self) -> None:
        runner = self._runner
        self.last_sign = runner.monotonic()
        if not self._dirty:
            self._dirty = True
            runner.mark_dirty(self)

    def take_reports(self) -> tuple[tuple[tuple[str, str], ...], float | None]:
        """Return what was reported since the last time, neighbours of a kind joined, and forget it."""
        self._dirty = False
        entries, self._entries = self._entries, []
        fraction, self._fraction = self._fraction, None
        joined: list[tuple[str, str]] = []
        run: list[str] = []
        for position, (kind, text) in enumerate(entries):
            run.append(text)
            last = position + 1 == len(entries)
            if last or entries[position + 1][0] != kind or kind == "progress":
                joined.append((kind, "".join(run)[-REPORT_LIMIT:]))
                run = []
        return tuple(joined[-1000:]), fraction

    async def call_plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a plain function on a daemon thread of its own: one that never returns keeps neither slot nor process.

        If this attempt is aborted the thread is abandoned: counted, and its result refused.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()
        runner = self._runner

        def deliver(value: Any, error: BaseException | None) -> None:
            if outcome.done():
                runner.abandoned_returned()
            elif error is not None:
                outcome.set_exception(error)
            else:
                outcome.set_result(value)

        def work() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(function, *args, **kwargs)
            except StopIteration as stop:
                # A future refuses StopIteration; say what happened instead.
                error = RuntimeError(f"the function raised StopIteration({stop.value!r})")
            except BaseException as raised:  # noqa: BLE001 - handed to the loop that waits for it
                error = raised
            runner.call_threadsafe(deliver, value, error)

        threading.Thread(target=work, name=f"offbook-node-{self.task.scope.node.id}", daemon=True).start()
        try:
            return await outcome
        except asyncio.CancelledError:
            outcome.cancel()
            self.cancellation.set()
            runner.abandoned_left()
            raise
