"""How the answers and accidents of an HTTP provider are named as failures of a node, and which may be tried again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import orjson

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers.keys import key_variable
from offbook.workflows.values import JsonValue


def status_failure(provider: str, status: int, detail: str, retry_after: float | None = None) -> NodeFailure:
    """Name an HTTP status; `detail` is the provider's own text, scrubbed."""
    message = f"{provider} answered {status}" + (f": {detail}" if detail else "")
    if status == 429:
        return NodeFailure.of("rate_limit", message, retryable=True, retry_after=retry_after)
    if status >= 500:
        return NodeFailure.of("server_error", message, retryable=True, retry_after=retry_after)
    if status in (401, 403):
        hint = f"check the key of the provider {provider} ({key_variable(provider)})"
        return NodeFailure.of("invalid_key", message, hint=hint)
    if status == 408:
        return NodeFailure.of("timeout", message, retryable=True, retry_after=retry_after)
    hint = f"check model, options and base_url of the provider {provider}"
    return NodeFailure.of("validation", message, hint=hint)


def connection_failure(provider: str, error: aiohttp.ClientError | OSError) -> NodeFailure:
    """Name what happened to a connection, without the error's own text: it may hold the request's headers."""
    kind = type(error).__name__
    match error:
        case TimeoutError():
            return NodeFailure.of("timeout", f"{provider} could not be reached in time", retryable=True)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            hint = "check the certificate of the server and the scheme of base_url"
            return NodeFailure.of("dropped", f"no secure connection to {provider} ({kind})", hint=hint)
        case aiohttp.ClientConnectorError():
            hint = f"check that the server of the provider {provider} runs and that base_url is right"
            return NodeFailure.of("dropped", f"{provider} cannot be reached ({kind})", retryable=True, hint=hint)
        case aiohttp.InvalidURL():
            return NodeFailure.of("validation", f"the base_url of {provider} is no URL")
        case _:
            return NodeFailure.of("dropped", f"the connection to {provider} was lost ({kind})", retryable=True)


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as seconds from now; None if there is none."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def error_text(body: bytes) -> str:
    """Find what an error answer says, in the forms that providers use; all its text if it is in none of them."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
    found = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(found, dict) and isinstance(found.get("message"), str):
        return str(found["message"])
    return "; ".join(_texts(found))


def _texts(value: JsonValue) -> Iterator[str]:
    """Yield all texts in a value, in order. Without recursion: a server may nest as it likes."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list):
            waiting.extend(reversed(each.values() if isinstance(each, dict) else each))
