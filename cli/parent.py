"""Whether the process that started this one is still there: it holds the other end of our standard input."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress

STDIN = 0
_PIECE = 4096


async def gone() -> None:
    """Wait until standard input ends: its other end was closed, if only because whoever held it was killed."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        # Not through sys.stdin, whose lock a thread that is never joined would keep at the end of the process.
        with suppress(OSError):
            while os.read(STDIN, _PIECE):
                pass
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, name="offbook-parent", daemon=True).start()
    await ended.wait()
