"""The text of a document, YAML or JSON, read into plain values with the line of each. Bounds size, depth, aliases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from offbook.workflows.document_events import Event, TextRefused, refuse
from offbook.workflows.errors import Problem
from offbook.workflows.json_text import json_events
from offbook.workflows.source_lines import SourceLines, child_path
from offbook.workflows.values import JsonValue
from offbook.workflows.yaml_text import yaml_events

MAX_TEXT_BYTES = 1_000_000
MAX_VALUES = 100_000
"""Values in a document, with each use of an anchor counted again."""
MAX_DEPTH = 60

_Frame: TypeAlias = "_List | _Mapping"


@dataclass(slots=True)
class _List:
    path: str
    values: list[JsonValue]
    anchor: str | None


@dataclass(slots=True)
class _Mapping:
    path: str
    values: dict[str, JsonValue]
    anchor: str | None
    key: str | None = None
    key_line: int = 0


def read_text(text: str, lines: SourceLines) -> tuple[JsonValue, list[Problem]]:
    """Read a document's text; return its value, and duplicate keys as problems. TextRefused if it cannot be read."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise TextRefused(
            Problem(
                "document-too-large",
                f"the document is larger than {MAX_TEXT_BYTES:,} bytes",
                hint="pass long texts as inputs",
            )
        )
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _Builder(lines).build(json_events(text))
        except TextRefused as refused:
            if refused.problem.code != "json-syntax":
                raise
            lines.lines.clear()
            json_problem = refused
        # `{name: novella}` begins like JSON and is YAML.
        try:
            return _Builder(lines).build(yaml_events(text))
        except TextRefused:
            raise json_problem from None
    return _Builder(lines).build(yaml_events(text))


class _Builder:
    """Builds the value from events, without recursion and with a bound on everything."""

    def __init__(self, lines: SourceLines) -> None:
        self._lines = lines
        self._problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[JsonValue, int]] = {}
        self._starts: list[int] = []
        self._count = 0
        self._result: JsonValue = None

    def build(self, events: Iterator[Event]) -> tuple[JsonValue, list[Problem]]:
        for event in events:
            self._take(event)
        return self._result, self._problems

    def _take(self, event: Event) -> None:
        if event.kind == "end":
            self._end()
            return
        frame = self._stack[-1] if self._stack else None
        if isinstance(frame, _Mapping) and frame.key is None:
            self._take_key(frame, event)
            return
        self._spend(1, event.line)
        path = self._path(event)
        if event.kind == "value":
            if event.block:
                self._lines.blocks[path] = event.line + 1
            if event.anchor:
                self._anchors[event.anchor] = (event.value, 1)
            self._put(event.value)
        elif event.kind == "alias":
            if isinstance(frame, _Mapping) and frame.key == "<<":
                raise refuse(
                    "bad-key", "`<<` merges nothing", event.line, "YAML 1.2 has no merge: write the fields out"
                )
            self._put(self._aliased(event))
        else:
            if len(self._stack) >= MAX_DEPTH:
                raise refuse("too-deep", f"the document is nested deeper than {MAX_DEPTH}", event.line)
            new: _Frame = _List(path, [], event.anchor) if event.kind == "list" else _Mapping(path, {}, event.anchor)
            self._stack.append(new)
            self._starts.append(self._count)

    def _take_key(self, frame: _Mapping, event: Event) -> None:
        key = self._aliased(event) if event.kind == "alias" else event.value
        if event.kind in ("list", "mapping") or isinstance(key, list | dict):
            raise refuse(
                "bad-key",
                "a list or mapping is used as a key",
                event.line,
                'put a value that begins with `{{` in quotes: "{{ ... }}"',
            )
        if event.kind == "value" and event.anchor:
            self._anchors[event.anchor] = (key, 1)
        if key is None or isinstance(key, bool):
            key = {None: "null", True: "true", False: "false"}[key]
        frame.key = str(key)
        frame.key_line = event.line
        if frame.key in frame.values:
            path = child_path(frame.path, frame.key)
            first = self._lines.lines.get(path)
            self._problems.append(
                Problem(
                    "duplicate-key",
                    f"`{frame.key}` is given twice" + (f", first in line {first}" if first else ""),
                    path=path,
                    line=event.line,
                    hint="remove one of them",
                )
            )

    def _path(self, event: Event) -> str:
        if not self._stack:
            path, line = "", event.line
        else:
            frame = self._stack[-1]
            if isinstance(frame, _List):
                path, line = child_path(frame.path, len(frame.values)), event.line
            else:
                path, line = child_path(frame.path, frame.key), frame.key_line
        self._lines.lines.setdefault(path, line)
        return path

    def _put(self, value: JsonValue) -> None:
        if not self._stack:
            self._result = value
            return
        frame = self._stack[-1]
        if isinstance(frame, _List):
            frame.values.append(value)
        else:
            assert frame.key is not None
            frame.values[frame.key] = value
            frame.key = None

    def _end(self) -> None:
        frame = self._stack.pop()
        size = self._count - self._starts.pop() + 1
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.values, size)
        self._put(frame.values)

    def _aliased(self, event: Event) -> JsonValue:
        known = self._anchors.get(event.value)
        if known is None:
            raise refuse("unknown-anchor", f"`*{event.value}` refers to no anchor before it", event.line)
        value, size = known
        self._spend(size, event.line)
        return value

    def _spend(self, values: int, line: int) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            raise refuse("document-too-large", f"the document has more than {MAX_VALUES:,} values", line)
