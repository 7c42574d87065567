"""What user code hands over, made fit to be kept: outputs as JSON, errors and reports as text. Runs none of it."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence

import orjson
from loguru import logger

from offbook.nodes.context import NodeFailure
from offbook.workflows.values import JsonValue, NodeError

MOST_REASONS = 20
"""Of one output that fails its checks."""

MESSAGE_CHARS = 2000
"""Of an error, or of its hint; what is longer is cut."""

LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a provider that asks for more is asked again then."""

_STRICT_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


def as_json(output: JsonValue) -> JsonValue:
    """Return the output as JSON values that no node can change any more; NodeFailure if it is not JSON."""
    try:
        encoded = orjson.dumps(output, option=_STRICT_JSON)
    except TypeError as refused:
        raise _no_json(str(refused)) from None
    if type(output) is str:
        return output
    # It writes NaN and infinity as null, which would be another output than the node's.
    if b"null" in encoded and _holds_no_number(output):
        raise _no_json("NaN and infinity are no JSON numbers")
    return orjson.loads(encoded)


def _no_json(reason: str) -> NodeFailure:
    return NodeFailure.of(
        "validation",
        f"the output is not JSON: {reason}",
        hint="return None, finite numbers, text, lists or dicts with text keys",
    )


def _holds_no_number(value: JsonValue) -> bool:
    """Whether a float that is not a number, or infinite, is in what was written as JSON."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, float) and not math.isfinite(each):
            return True
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
    return False


def as_stored_text(text: object) -> str:
    """Return a text in characters that JSON and databases take: lone surrogates become question marks."""
    text = text if type(text) is str else str(text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def crash_error(crash: BaseException, scrub: Callable[[str], str] = str) -> NodeError:
    """Name an exception that user code raised; also one that cannot say what it is. `scrub` takes keys out."""
    name = type(crash).__name__
    try:
        said = scrub(as_stored_text(crash))
    except Exception:  # noqa: BLE001 - user code: it may fail to say why it failed
        said = "(it has no text)"
    return NodeError("crash", (f"{name}: {said}" if said else name)[:1000])


def as_stored_error(error: NodeError, scrub: Callable[[str], str] = str) -> NodeError:
    """Return a node's error with each field of its type and within bounds, whatever the node put there.

    `scrub` takes out of its texts what must not be shown, before they are cut.
    """
    return NodeError(
        type=scrub(as_stored_text(error.type))[:100] or "crash",
        message=scrub(as_stored_text(error.message))[:MESSAGE_CHARS],
        retryable=bool(error.retryable),
        retry_after=_seconds(error.retry_after),
        hint=scrub(as_stored_text(error.hint))[:MESSAGE_CHARS],
        provider=as_stored_text(error.provider)[:100],
    )


def as_stored_reasons(reasons: Sequence[str]) -> tuple[str, ...]:
    """Return the reasons of checks within bounds."""
    return tuple(as_stored_text(each)[:MESSAGE_CHARS] for each in reasons[:MOST_REASONS])


def log_crash(crash: BaseException, scrub: Callable[[str], str], level: str, message: str, **fields: object) -> None:
    """Log an exception of user code with its traceback; as text alone if a key is in it."""
    try:
        text = "".join(traceback.format_exception(crash))
    except Exception:  # noqa: BLE001 - user code: it may fail to say why it failed
        text = type(crash).__name__
    scrubbed = scrub(text)
    if scrubbed == text:
        logger.opt(exception=crash).log(level, message, **fields)
    else:
        logger.log(level, message, **fields, traceback=scrubbed)


def _seconds(retry_after: object) -> float | None:
    if not isinstance(retry_after, int | float) or math.isnan(retry_after):
        return None
    return min(max(0.0, float(retry_after)), LONGEST_RETRY_AFTER)
