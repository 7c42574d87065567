"""One attempt at a node while it is under way: its reports, limits and end. Lives on the node runner's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offbook.actors.outcomes import as_stored_text
from offbook.actors.turns import Passage, ProviderTurn
from offbook.nodes.context import Cancellation
from offbook.nodes.text import as_text
from offbook.workflows.messages import RunMessage
from offbook.workflows.reuse import Reuse
from offbook.workflows.scope import Scope
from offbook.workflows.values import NO_USAGE, JsonValue, Usage

if TYPE_CHECKING:
    from offbook.actors.runner import NodeRunner

REPORT_LIMIT = 100_000
"""Characters, and entries, of reports kept between two flushes; what is older is dropped, and counted."""

ENTRIES_SENT = 1000
"""Entries of one flush at most, neighbours of a kind joined; the last ones."""


@dataclass(slots=True)
class NodeTask:
    """Execution to node runner: make this attempt and tell me how it ended. Not frozen, as a Scope is not."""

    execution_id: str
    epoch: int
    item: int | None
    attempt: int
    scope: Scope
    reply: Callable[[RunMessage], None]
    reuse: Reuse | None = None
    """Of a fork: what it may keep of its parent."""


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Execution or Supervisor to node runner: stop calls that were submitted before this."""

    carry_out: Callable[[], None]


class Call:
    """An attempt under way; the sink of its context."""

    __slots__ = (
        "_dropped",
        "_entries",
        "_fraction",
        "_lock",
        "_runner",
        "_size",
        "_text",
        "abandoned",
        "aside",
        "began",
        "cancellation",
        "ended",
        "handle",
        "has_news",
        "last_sign",
        "may_not_wait",
        "model",
        "passage",
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
        """None while it is queued."""
        self.timers: list[asyncio.TimerHandle] = []
        self.ended = False
        """Whether its end was told; what comes later is refused."""
        self.abandoned = False
        """Whether it did not end when it was to stop, and has no slot any more."""
        self.passage: Passage | None = None
        """Its way through limits, if any apply to it."""
        self.aside: asyncio.Future[None] | None = None
        """Set while it has no slot because it waits for its provider; resolved when it has one again."""
        self.may_not_wait = False
        """Whether its run stops: it may go on, but not wait for a turn with nothing done yet."""
        self.began = 0.0
        """When its time limits began to run, or went on."""
        self.stop_reason = ""
        """Why it is to stop: cancelled, timeout or idle_timeout."""
        self.tokens: Usage = NO_USAGE
        self.model = ""
        """Which model it said that it calls."""
        self.last_sign = 0.0
        self._lock = threading.Lock()
        """Held while entries come and go: plain functions report from threads of their own."""
        self._entries: deque[tuple[str, str]] = deque()
        self._size = 0
        self._dropped = 0
        """Characters of reports that are not sent, since the last flush."""
        self._text: list[str] = []
        self._fraction: float | None = None
        self.has_news = False

    @property
    def partial(self) -> str:
        """All text that the attempt has shown so far, or its output while that is checked."""
        return "".join(self._text)

    def tell(self, message: RunMessage | None) -> None:
        """Tell its execution, if there is something to tell."""
        if message is not None:
            self.task.reply(message)

    def keep(self, output: JsonValue) -> None:
        """Keep an output, JSON by now, as the text of this attempt, in case that it does not pass its checks."""
        self._text = [output if type(output) is str else as_text(output)]

    def report(self, kind: str, text: str) -> None:
        if self.ended:
            return
        text = as_stored_text(text)
        with self._lock:
            if kind == "text":
                self._text.append(text)
            self._keep(kind, text[-REPORT_LIMIT:])
            self._dropped += max(0, len(text) - REPORT_LIMIT)
        self._mark()

    def _keep(self, kind: str, text: str) -> None:
        entries = self._entries
        entries.append((kind, text))
        self._size += 1 + len(text)
        while self._size > REPORT_LIMIT and len(entries) > 1:
            dropped = len(entries.popleft()[1])
            self._size -= 1 + dropped
            self._dropped += dropped

    def fraction(self, value: float) -> None:
        if self.ended:
            return
        with self._lock:
            self._fraction = value
        self._mark()

    def usage(self, usage: Usage, model: str = "") -> None:
        if not self.ended:
            # Nobody is told of it apart: it goes along with what else is reported.
            self.tokens = usage
            self.model = model if model.isascii() else as_stored_text(model)
            if self.timers:
                self.last_sign = self._runner.monotonic()

    def _mark(self) -> None:
        runner = self._runner
        self.last_sign = runner.monotonic()
        if not self.has_news:
            self.has_news = True
            runner.mark_dirty(self)

    def take_reports(self) -> tuple[tuple[tuple[str, str], ...], float | None]:
        """Return what was reported since the last time, neighbours of a kind joined, and forget it."""
        if not self.has_news:
            return (), None
        # First: what is reported from here on marks the call again.
        self.has_news = False
        with self._lock:
            entries, self._entries, self._size = self._entries, deque(), 0
            fraction, self._fraction = self._fraction, None
            dropped, self._dropped = self._dropped, 0
        joined: list[tuple[str, list[str]]] = []
        for kind, text in entries:
            if joined and joined[-1][0] == kind != "progress":
                joined[-1][1].append(text)
            else:
                joined.append((kind, [text]))
        sent = [(kind, "".join(texts)) for kind, texts in joined[-ENTRIES_SENT:]]
        dropped += sum(len(text) for _, texts in joined[:-ENTRIES_SENT] for text in texts)
        if dropped:
            # Who reads on must not take the rest for the whole.
            sent.insert(0, ("progress", f"[{dropped} characters came faster than they can be shown]"))
        return tuple(sent), fraction

    @property
    def is_unbegun(self) -> bool:
        """Whether nothing has been done in it yet: it is queued, or waits for its first turn."""
        if self.handle is None:
            return True
        if self.aside is None or self.passage is None or self.passage.has_called:
            return False
        return self.tokens is NO_USAGE and not self._text

    def turn(self, provider: str, key: str | None, tokens: int) -> ProviderTurn:
        return ProviderTurn(self._runner, self, provider, key, tokens)

    async def call_plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a plain function on a daemon thread of its own: one that never returns keeps neither slot nor process.

        If this attempt is aborted the thread is abandoned: counted, and its result refused.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()
        runner = self._runner

        def deliver(value: Any, error: BaseException | None) -> None:
            if outcome.cancelled():
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
                # A future refuses it.
                error = RuntimeError(f"the function raised {stop!r}")
            except Exception as raised:  # noqa: BLE001 - handed to the loop that waits for it
                error = raised
            except BaseException as left:  # noqa: BLE001 - it would end the loop, or look like a cancel
                error = RuntimeError(f"the function raised {left!r}")
            runner.call_threadsafe(deliver, value, error)

        threading.Thread(target=work, name=f"offbook-node-{self.task.scope.node.id}", daemon=True).start()
        try:
            return await outcome
        except asyncio.CancelledError:
            self.cancellation.set()
            # Unless it had returned just before, and only its result is lost.
            if outcome.cancelled():
                runner.abandoned_left()
            elif outcome.done():
                outcome.exception()
            raise
