"""Query parameters and path segments, checked; a problem names the parameter. Asks nobody."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from aiohttp import web
from multidict import MultiMapping

from offbook.workflows.errors import ExecutionNotFound, Problem, ValidationFailed
from offbook.workflows.states import ExecutionStatus

MAX_WAIT = 60.0
"""Seconds that one request may wait for news."""
MAX_PAGE = 500
DEFAULT_PAGE = 50
MAX_KEY_LENGTH = 255
STATUSES = tuple(status.value for status in ExecutionStatus)

_is_execution_id = re.compile("[0-9a-f]{32}").fullmatch


def execution_id_of(request: web.Request) -> str:
    """Return the execution id of the path; ExecutionNotFound at once for what cannot be one."""
    execution_id = request.match_info["execution_id"]
    if _is_execution_id(execution_id) is None:
        raise ExecutionNotFound(execution_id[:64])
    return execution_id


def since_and_wait(query: Mapping[str, str]) -> tuple[int | None, float | None]:
    """Return `since` (a revision) and `wait` (seconds, at most 60), None where they are not given."""
    since = query.get("since")
    wait = query.get("wait")
    return (
        whole_number("since", since, most=2**63 - 1) if since is not None else None,
        _seconds("wait", wait) if wait is not None else None,
    )


def whole_number(name: str, text: str, *, least: int = 0, most: int) -> int:
    """Read a parameter as an integer within bounds."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise bad_parameter(name, text, f"a whole number from {least} to {most}")
    return int(text)


def page_size(query: Mapping[str, str]) -> int:
    """Return how many rows of a list are asked for by `limit`."""
    return whole_number("limit", query.get("limit", str(DEFAULT_PAGE)), least=1, most=MAX_PAGE)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT:
        raise bad_parameter(name, text, f"seconds from 0 to {MAX_WAIT:g}")
    return seconds


def statuses(query: MultiMapping[str]) -> tuple[str, ...]:
    """Return what `status` asks for: repeated, or several with commas between."""
    asked = [word for text in query.getall("status", ()) for word in text.split(",") if word]
    for word in asked:
        if word not in STATUSES:
            raise bad_parameter("status", word, f"one of {', '.join(STATUSES)}")
    return tuple(asked)


def labels(query: MultiMapping[str]) -> dict[str, str]:
    """Return what `label` asks for: `label=key=value`, perhaps several times."""
    found = {}
    for text in query.getall("label", ()):
        key, separator, value = _plain("label", text).partition("=")
        if not key or not separator:
            raise bad_parameter("label", text, "key=value")
        found[key] = value
    return found


def text_parameter(query: Mapping[str, str], name: str) -> str | None:
    """Return a text, None if it is not given or empty."""
    return _plain(name, query.get(name, "")) or None


def one_of(name: str, text: str, words: tuple[str, ...]) -> str:
    """Return a parameter that is one of these words."""
    if text not in words:
        raise bad_parameter(name, text, f"one of {', '.join(words)}")
    return text


def switch(query: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter is `true`; `false`, or not given, is not."""
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise bad_parameter(name, value, "true or false")
    return value == "true"


def check_names(query: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Refuse parameters that nobody reads: a misspelt filter would show everything."""
    for name in query:
        if name not in known:
            message = f"{name} is not a parameter here"
            raise ValidationFailed(
                [Problem("unknown-parameter", message, name, hint=f"known: {', '.join(known) or 'none'}")]
            )


def idempotency_key(request: web.Request) -> str | None:
    """Return the Idempotency-Key header; refused if it is empty or too long."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise bad_parameter("Idempotency-Key", key[:64], f"1 to {MAX_KEY_LENGTH} printable characters")
    return key


def bad_parameter(name: str, value: str, expected: str) -> ValidationFailed:
    """Build the refusal of a parameter."""
    return ValidationFailed([Problem("bad-parameter", f"{name}={value!r}: expected {expected}", name)])


def _plain(name: str, text: str) -> str:
    if "\0" in text or not text.isprintable():
        raise bad_parameter(name, text, "printable characters")
    return text
