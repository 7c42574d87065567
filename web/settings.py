"""What a web server may be told, and where it may listen. Reads no environment."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from offbook.workflows.errors import OffbookError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MEGABYTE = 1024 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Of requests that change nothing."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the web application behaves."""

    internal_token: str | None = None
    """What every request must carry; None: nothing, and the server listens on loopback only."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may send requests: `https://app.example.com`."""
    max_body_bytes: int = 4 * MEGABYTE
    max_concurrent_requests: int = 4096
    """Requests under way at once, long polls included; more are refused with over-capacity."""
    max_streams: int = 10_000
    """Streams of events open at once; they are not among the requests above."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names by which the server may be addressed besides loopback's; `*`: any."""
    version: str = ""
    """Shown by `GET /`."""


class BindRefused(OffbookError):
    """The server would listen beyond this machine without a token."""

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"refusing to listen on {host} without a token, where anybody on the network could start and read "
            "executions: set OFFBOOK_INTERNAL_TOKEN, or listen on 127.0.0.1"
        )


def check_bind(host: str, token: str | None) -> None:
    """Raise BindRefused unless there is a token or `host` is this machine's loopback."""
    if not token and not is_loopback(host):
        raise BindRefused(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: `localhost`, 127.0.0.0/8, ::1."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
