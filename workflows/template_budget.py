"""What one template or expression may use: steps, processor time, bytes. Knows nothing of Jinja's syntax."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import SecurityError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one template or expression may use."""

    max_output_bytes: int = 8_000_000
    """Of its result, and of any value on the way, as UTF-8."""
    max_total_bytes: int = 64_000_000
    """Of all values on the way together."""
    max_seconds: float = 2.0
    """Of the processor: what else a busy machine does is not the template's fault."""
    max_steps: int = 200_000
    """Rounds of loops, calls of macros, filters and methods."""
    max_source_chars: int = 200_000
    max_source_parts: int = 10_000
    """Nodes of the syntax tree."""
    max_source_depth: int = 60


LIMITS = Limits()

MAX_NUMBER_BITS = 10_000


class Budget:
    """How much of the limits the present evaluation has used."""

    __slots__ = ("_bytes", "_deadline", "_limits", "_steps")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = time.thread_time() + limits.max_seconds
        self._steps = 0
        self._bytes = 0

    def step(self, size: int = 0) -> None:
        """Count one step that writes so many bytes; SecurityError past a limit."""
        self._steps += 1
        if self._steps > self._limits.max_steps:
            raise SecurityError(f"takes more than {self._limits.max_steps:,} steps")
        if time.thread_time() > self._deadline:
            raise SecurityError(f"takes more than {self._limits.max_seconds:g} s of the processor")
        if size:
            self._add(size)

    def check(self, size: int) -> None:
        """SecurityError if a value of this size may not be made."""
        if size > self._limits.max_output_bytes:
            raise SecurityError(f"makes a value of more than {self._limits.max_output_bytes:,} bytes")

    def charge(self, value: Any) -> Any:
        """Count a value that was made, and return it; SecurityError past a limit."""
        if isinstance(value, str):
            size = text_size(value)
            self.check(size)
            self._add(size)
        elif isinstance(value, list | tuple | dict):
            self._add(self._measure(value))
        elif isinstance(value, int) and value.bit_length() > MAX_NUMBER_BITS:
            raise SecurityError(f"makes a number of more than {MAX_NUMBER_BITS:,} bits")
        return value

    def _add(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.max_total_bytes:
            raise SecurityError(f"makes values of more than {self._limits.max_total_bytes:,} bytes in all")

    def _measure(self, value: Any) -> int:
        """Size of a container with all in it; what is in it twice counts twice, as in its text."""
        total = 0
        stack = [value]
        while stack:
            each = stack.pop()
            if isinstance(each, str):
                total += text_size(each)
            elif isinstance(each, list | tuple):
                total += 8 * len(each) + 8
                self.check(total)
                stack.extend(each)
            elif isinstance(each, dict):
                total += 16 * len(each) + 8
                self.check(total)
                stack.extend(each)
                stack.extend(each.values())
        self.check(total)
        return total


def text_size(text: str) -> int:
    """Bytes of a text as UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


_budget: ContextVar[Budget] = ContextVar("offbook_template_budget")


def budget() -> Budget:
    """Return the budget of the present evaluation."""
    return _budget.get()


@contextmanager
def budgeted(limits: Limits = LIMITS) -> Iterator[Budget]:
    """Give what is evaluated inside a budget of its own."""
    fresh = Budget(limits)
    token = _budget.set(fresh)
    try:
        yield fresh
    finally:
        _budget.reset(token)
