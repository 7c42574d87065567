"""What a node is given to work with, and how it ends other than by returning its output."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from offbook.nodes.prices import PriceTable
from offbook.workflows.money import MOST_COST, MOST_TOKENS
from offbook.workflows.scope import Scope
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, NodeError, Usage


class NodeFailure(Exception):
    """A node's attempt failed, in a way the node can name."""

    def __init__(self, error: NodeError, *, partial: str = "", reasons: tuple[str, ...] = ()) -> None:
        self.error = error
        self.partial = partial
        self.reasons = reasons
        """Of each check that failed, where several did; they are put to the model at the next attempt."""
        super().__init__(f"{error.type}: {error.message}")

    @classmethod
    def of(
        cls,
        type: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        hint: str = "",
        partial: str = "",
        reasons: tuple[str, ...] = (),
    ) -> NodeFailure:
        return cls(NodeError(type, message, retryable, retry_after, hint), partial=partial, reasons=reasons)


LATEST_TIME = 253_402_300_799.0
"""The last second that can be written as a date."""


class Park(Exception):
    """A node has nothing to do until a time or a signal; it gives back its thread, its loop, its slot.

    `kind` is `timer`, which ends at `until` (Unix seconds), or `signal`, whose name is the node's id unless it has
    one. ValueError if it could not end so.
    """

    def __init__(
        self,
        kind: str,
        *,
        name: str = "",
        until: float | None = None,
        form: JsonObject | None = None,
        default: JsonValue = None,
        has_default: bool = False,
    ) -> None:
        if kind not in ("timer", "signal"):
            raise ValueError(f"a node parks for a timer or a signal, not for {kind!r}")
        if kind == "timer" and until is None:
            raise ValueError("a node that parks for a timer says until when")
        if until is not None:
            # Not `>`, which would let NaN pass.
            if not until <= LATEST_TIME:
                raise ValueError(f"a node parks until a time in Unix seconds, not until {until!r}")
            until = max(0.0, float(until))
        self.kind = kind
        self.name = str(name)
        self.until = until
        self.form = form
        self.default = default
        self.has_default = has_default
        super().__init__(f"waits for {kind} {name}")


class Sink(Protocol):
    """Where a context's reports go; the node runner coalesces them. Callable from any thread."""

    def report(self, kind: str, text: str) -> None: ...

    def fraction(self, value: float) -> None: ...

    def usage(self, usage: Usage, model: str = "") -> None: ...

    async def call_plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a plain function on a thread of its own; if the attempt is aborted, abandon the thread."""
        ...

    def turn(self, provider: str, key: str | None, tokens: int) -> AbstractAsyncContextManager[bool]:
        """Wait until limits let a call of this provider through; give it back at the end."""
        ...


class Cancellation:
    """Whether an attempt is to stop. Cheap until somebody waits for it."""

    __slots__ = ("_event", "_set")

    _making = threading.Lock()
    """Held while an event is made: two threads of one attempt may begin to wait at once."""

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        event = self._event
        if event is not None:
            event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block a plain function until it is to stop, or for so many seconds; return whether it is."""
        with self._making:
            event = self._event
            if event is None:
                self._event = event = threading.Event()
        if self._set:
            event.set()
        return event.wait(timeout)


class NodeContext:
    """One attempt at a node or item: what it may see, and how it tells what it does.

    All methods but `call_plain` and `turn` may be called from any thread.
    """

    __slots__ = ("attempt", "cancelled", "execution_id", "item", "node_id", "prices", "scope", "sink")

    def __init__(
        self,
        execution_id: str,
        node_id: str,
        item: int | None,
        attempt: int,
        scope: Scope,
        sink: Sink,
        cancelled: Cancellation | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self.execution_id = execution_id
        self.node_id = node_id
        self.item = item
        """Place of the item in its foreach, from 0; None outside one."""
        self.attempt = attempt
        self.scope = scope
        self.sink = sink
        self.prices = prices
        """None: what is reported is passed on without a price."""
        self.cancelled = cancelled or Cancellation()
        """Set when the attempt is to stop; a plain function in a thread looks at it."""

    @property
    def inputs(self) -> JsonObject:
        return self.scope.inputs

    @property
    def user(self) -> ExecutionUser | None:
        return self.scope.user

    @property
    def guidance(self) -> str:
        return self.scope.guidance

    @property
    def check_failures(self) -> tuple[str, ...]:
        """Why the last output of this node or item failed its checks; empty if it did not."""
        return self.scope.check_failures

    @property
    def last_output(self) -> JsonValue:
        return self.scope.last_output

    def output(self, node_id: str) -> JsonValue:
        """Return an upstream node's output; None if it was skipped or failed. KeyError if it is not upstream."""
        return self.scope.output(node_id)

    @property
    def idempotency_key(self) -> str:
        """The same for every repeat of this attempt, also after a crash: for providers that accept one."""
        item = "" if self.item is None else f"-{self.item}"
        return f"{self.execution_id}-{self.node_id}{item}-{self.attempt}"

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the node is, from 0 to 1, and perhaps what it does now."""
        self.sink.fraction(min(1.0, max(0.0, float(fraction))))
        if text:
            self.sink.report("progress", text)

    def think(self, text: str) -> None:
        """Show a thought to whoever watches."""
        self.sink.report("thinking", text)

    def text(self, delta: str) -> None:
        """Show a further piece of the output as it arrives."""
        self.sink.report("text", delta)

    def usage(self, usage: Usage, *, model: str | None = None) -> None:
        """Set the tokens this attempt has used so far (not a difference).

        `model` (`provider/name`) is looked up in the price table; without one, and without a `cost` in the usage,
        the tokens count as unpriced.
        """
        if not isinstance(usage, Usage) or not isinstance(usage.input_tokens + usage.output_tokens + usage.cost, int):
            raise TypeError("usage is given as Usage(input_tokens, output_tokens), in whole numbers")
        asked, answered, _, cost, _ = usage
        if not (0 <= asked <= MOST_TOKENS and 0 <= answered <= MOST_TOKENS and 0 <= cost <= MOST_COST):
            raise ValueError(f"usage has from 0 to {MOST_TOKENS} tokens and a cost up to {MOST_COST}, not {usage}")
        self.sink.usage(usage if self.prices is None else self.prices.price(usage, model), model or "")

    async def call_plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a plain (blocking) function on a thread of its own."""
        return await self.sink.call_plain(function, *args, **kwargs)

    def turn(self, provider: str, *, key: str | None = None, tokens: int = 0) -> AbstractAsyncContextManager[bool]:
        """Enter this around each call of a paid service: it waits until the limits of the provider let it through.

        The attempt's time limits stand still meanwhile. It gives whether it had to wait: then look up the key again.
        `key` tells whose calls wait when the service answers with a `Retry-After` (NodeFailure with `retry_after`);
        `tokens`: how many the call may take. Turns of one attempt are not put into one another.
        """
        return self.sink.turn(provider, key, tokens)
