"""What the killed worker imports: a function that tells an outside process of each of its calls."""

from __future__ import annotations

import asyncio
import os
import socket
import zlib

from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import node
from tests.chaos.book import Call, fails, text_of

COUNTER_VARIABLE = "CHAOS_COUNTER"


class _Counter:
    """The connection to the outside process; what was written to it is delivered even if this process is killed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def tell(self, line: str) -> None:
        if self._socket is None:
            host, port = os.environ[COUNTER_VARIABLE].rsplit(":", 1)
            self._socket = socket.create_connection((host, int(port)))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(line.encode() + b"\n")


_counter = _Counter()


@node("chaos_work")
async def work(ctx: NodeContext, what: str) -> str:
    """Take a while, and fail where the book says so."""
    number = ctx.inputs["number"]
    _counter.tell(f"begin {number} {ctx.idempotency_key}")
    await asyncio.sleep(duration_of(ctx.idempotency_key))
    _counter.tell(f"end {number} {ctx.idempotency_key}")
    if fails(Call(ctx.node_id, ctx.item, ctx.attempt)):
        raise NodeFailure.of("rate_limit", "this attempt fails on cue", retryable=True)
    return text_of(number, what)


def duration_of(key: str) -> float:
    """Return how long a call takes: 10 to 50 ms, the same whenever it is repeated."""
    return 0.010 + 0.040 * (zlib.crc32(key.encode()) / 2**32)
