"""Paths into a document, `nodes[2].config.prompt`, and the lines of its text that they stand on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")
_LAST_PART = re.compile(r"(\[[^\[\]]*\]|\.?[^.\[\]]+)$")


def child_path(parent: str, key: object) -> str:
    """Return the path of an entry (a number) or a field (text) of what is at a path."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{parent}[{key}]"
    name = str(key)
    if not _PLAIN_KEY.fullmatch(name):
        return f"{parent}[{name!r}]"
    return f"{parent}.{name}" if parent else name


@dataclass(slots=True)
class SourceLines:
    """Where each path of a document stands in the text it was read from; empty if it was not read from text."""

    lines: dict[str, int] = field(default_factory=dict)
    """Path to line, from 1; a field stands where its key does."""
    blocks: dict[str, int] = field(default_factory=dict)
    """Path of a text written as a block (`|`) to the line of its first line."""

    def find(self, path: str, line_within: int = 1) -> int | None:
        """Return the line of a path, or of the nearest thing around it; None if nothing is known."""
        if path in self.blocks:
            return self.blocks[path] + line_within - 1
        while path not in self.lines:
            if not path:
                return None
            path = _LAST_PART.sub("", path, count=1) if _LAST_PART.search(path) else ""
        return self.lines[path]
