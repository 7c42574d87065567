"""What the readers of YAML and JSON tell the builder of a document: its pieces in order, each with its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from offbook.workflows.errors import Problem
from offbook.workflows.values import JsonValue


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of a document: a value, or the begin or end of a list or mapping."""

    kind: Literal["value", "list", "mapping", "end", "alias"]
    line: int
    value: JsonValue = None
    anchor: str | None = None
    block: bool = False
    """Whether the value is text that was written as a block."""


class TextRefused(Exception):
    """The text cannot be read any further."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def refuse(code: str, message: str, line: int | None, hint: str = "") -> TextRefused:
    """Build the error for one problem with the text."""
    return TextRefused(Problem(code, message, line=line, hint=hint))


def whole_number(text: str, line: int) -> int:
    """Read a whole number; TextRefused if it has more digits than Python reads."""
    try:
        return int(text)
    except ValueError:
        raise refuse("bad-value", "a number has too many digits", line) from None
