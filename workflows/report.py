"""Problems as they are found: each with its path, node and line, in the order of the document. Judges nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from offbook.workflows.errors import Problem
from offbook.workflows.source_lines import SourceLines
from offbook.workflows.values import JsonValue

_NODE_INDEX = re.compile(r"nodes\[(\d+)\]")


class Report:
    """Collects problems."""

    def __init__(self, lines: SourceLines | None = None) -> None:
        self._lines = lines or SourceLines()
        self._problems: list[Problem] = []

    def add(
        self,
        code: str,
        message: str,
        path: str = "",
        *,
        node_id: str | None = None,
        hint: str = "",
        line_within: int = 1,
    ) -> None:
        """Add one; `line_within` is the line in the text at the path, where that has several."""
        self._problems.append(Problem(code, message, path, node_id, self._lines.find(path, line_within), hint))

    def extend(self, problems: Iterable[Problem]) -> None:
        self._problems.extend(problems)

    def problems(self) -> list[Problem]:
        """Return them all, once each, in the order of the document."""
        return sorted(dict.fromkeys(self._problems), key=_place)


def _place(problem: Problem) -> tuple[int, int]:
    found = _NODE_INDEX.match(problem.path)
    return problem.line or 0, int(found[1]) + 1 if found else 0


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a hint with the nearest of some words; empty if none is near."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""


def brief(value: JsonValue) -> str:
    """Show a value in a message, cut after 40 characters."""
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
