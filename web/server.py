"""Serving the application on the running loop. Handles no signals and decides nothing about who may connect."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from offbook.workflows.errors import OffbookError

SHUTDOWN_SECONDS = 1.0
"""How long requests that are under way, long polls among them, are waited for at a stop; then as long again until
their connections are cut."""
BACKLOG = 1024
ANYWHERE = frozenset({"0.0.0.0", "::", ""})


class CannotListen(OffbookError):
    """The address is taken, not this machine's, or not allowed."""

    hint = "listen elsewhere with --host and --port; --port 0 takes any free port"

    def __init__(self, host: str, port: int, error: OSError) -> None:
        self.host = host
        self.port = port
        super().__init__(f"cannot listen on {host}, port {port}: {error.strerror or error}")


@asynccontextmanager
async def serve_app(app: web.Application, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the URL under which this machine reaches it. Port 0: any free one.

    A request whose client has gone is cancelled: a long poll must not hold its place for a minute.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        except OSError as error:
            raise CannotListen(host, port, error) from None
        yield url_of(host, _bound_port(runner))
    finally:
        await runner.cleanup()


def url_of(host: str, port: int) -> str:
    """Build the URL by which this machine reaches a server that listens on `host`."""
    reachable = "127.0.0.1" if host in ANYWHERE else host
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _bound_port(runner: web.AppRunner) -> int:
    """Of all the sockets a name was bound to, prefer the IPv4 one: with port 0 each has a port of its own."""
    addresses = runner.addresses
    for address in addresses:
        try:
            socket.inet_pton(socket.AF_INET, address[0])
        except OSError:
            continue
        return int(address[1])
    return int(addresses[0][1])
