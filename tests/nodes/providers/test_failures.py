"""What HTTP statuses and headers of providers mean, and what their error bodies say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from offbook.nodes.providers.failures import error_text, retry_after_seconds, status_failure


@pytest.mark.parametrize(
    ("status", "type", "retryable"),
    [
        (400, "validation", False),
        (401, "invalid_key", False),
        (403, "invalid_key", False),
        (404, "validation", False),
        (408, "timeout", True),
        (413, "validation", False),
        (422, "validation", False),
        (429, "rate_limit", True),
        (500, "server_error", True),
        (502, "server_error", True),
        (503, "server_error", True),
        (504, "server_error", True),
        (529, "server_error", True),
        (302, "validation", False),
    ],
)
def test_status_says_whether_to_try_again(status: int, type: str, retryable: bool) -> None:
    error = status_failure("fake", status, "because", 3.0).error
    assert (error.type, error.retryable, error.message) == (type, retryable, f"fake answered {status}: because")
    assert error.retry_after == (3.0 if retryable else None)
    assert error.hint if not retryable else True


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30.0),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0.0),
        ("Wed, 25 Nov 2026 12:00:30", 30.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, datetime(2026, 11, 25, 12, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "no such model", "type": "x"}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"message": "no such model"}', "no such model"),
        (b'{"detail": [{"loc": ["body", 1], "msg": "too long"}]}', "body; too long"),
        (b'[{"error": "a"}, "b"]', "a; b"),
        (b"upstream is away", "upstream is away"),
        (b"\xff", "\ufffd"),
        (b"", ""),
        (b"null", ""),
        (b"[" * 1000 + b'"deep"' + b"]" * 1000, "deep"),
    ],
)
def test_error_text_is_found_in_whatever_form(body: bytes, text: str) -> None:
    assert error_text(body) == text
