"""Whether a value is JSON that can be stored and sent. Says where it is not."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from offbook.workflows.source_lines import child_path

MAX_DEPTH = 100
MAX_PROBLEMS = 20
_INTEGERS = range(-(2**63), 2**64)


_Trail: TypeAlias = "tuple[_Trail, object] | None"
"""The steps to a value, last first: a path is only written for what is wrong."""


def json_problems(value: object, path: str = "") -> list[tuple[str, str, str]]:
    """Return (code, path, message) for each part of a value that is no JSON; the first 20."""
    found: list[tuple[str, str, str]] = []
    stack: list[tuple[Any, _Trail, int]] = [(value, None, 0)]
    while stack and len(found) < MAX_PROBLEMS:
        each, trail, depth = stack.pop()
        code, message = _judge(each, depth)
        if message:
            found.append((code, _written(trail, path), message))
        elif isinstance(each, dict):
            stack.extend((inner, (trail, key), depth + 1) for key, inner in each.items())
        elif isinstance(each, list | tuple):
            stack.extend((inner, (trail, index), depth + 1) for index, inner in enumerate(each))
    return found


def _judge(value: Any, depth: int) -> tuple[str, str]:
    """Return code and message of what is wrong with a value itself; empty if nothing is."""
    if value is None or isinstance(value, bool):
        return "", ""
    if isinstance(value, str):
        return ("not-json", "holds what UTF-8 cannot write") if _has_surrogate(value) else ("", "")
    if isinstance(value, int):
        return ("", "") if value in _INTEGERS else ("not-json", "a whole number must fit into 64 bits")
    if isinstance(value, float):
        return ("", "") if math.isfinite(value) else ("not-json", f"{value} is no JSON number")
    if not isinstance(value, dict | list | tuple):
        return "not-json", f"a {type(value).__name__} is no JSON value"
    if depth >= MAX_DEPTH:
        return "too-deep", f"is nested deeper than {MAX_DEPTH}"
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or _has_surrogate(key):
                return "not-json", f"the key {key!r} is no text"
    return "", ""


def _written(trail: _Trail, path: str) -> str:
    steps = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    for step in reversed(steps):
        path = child_path(path, step)
    return path


def _has_surrogate(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
