"""Where the tables and keys of a TOML text stand: its lines, for errors. Judges nothing of what they say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import TypeAlias

from offbook.workflows.values import JsonValue

KeyPath: TypeAlias = tuple[str, ...]

_TABLE = re.compile(r"\s*\[{1,2}(?P<name>[^\[\]]+)\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"\s*(?P<name>[^=#\[\]]+?)\s*=")


class TomlLines:
    """The lines of a text, from 1, by the path of what stands there."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for number, line in enumerate(text.splitlines(), 1):
            if found := _TABLE.fullmatch(line):
                table = _path_of(f"[{found['name']}]")
                for length in range(1, len(table) + 1):
                    self._lines.setdefault(table[:length], number)
            elif found := _KEY.match(line):
                self._lines.setdefault((*table, *_path_of(f"{found['name']} = 0")), number)

    def find(self, path: KeyPath) -> int | None:
        """Return the line of a table or key, or of the nearest thing around it; None if nothing is known."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None


def _path_of(source: str) -> KeyPath:
    """Read a name, dotted and quoted as it may be; an empty path if it is none: it was part of a longer text."""
    try:
        return tuple(_names(tomllib.loads(source)))
    except tomllib.TOMLDecodeError:
        return ()


def _names(value: JsonValue) -> Iterator[str]:
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        yield name
