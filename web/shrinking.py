"""Answers that are long enough to be worth it, compressed for those who can read that. Not for the plain status."""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import hdrs, web

from offbook.web.bodies import JSON_TYPE
from offbook.web.ready import PRIVATE

LEAST_BYTES = 4096
LEVEL = 1
"""The quickest: what is sent once is not worth more."""


async def json_in_short(
    request: web.Request, body: bytes, headers: dict[str, str] | None = None
) -> web.Response | None:
    """Return a response with this JSON, compressed away from the loop; None if it is better sent as it is."""
    if len(body) < LEAST_BYTES or "gzip" not in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        return None
    short = await asyncio.get_running_loop().run_in_executor(None, gzip.compress, body, LEVEL)
    sent: dict[str, str] = {
        hdrs.CACHE_CONTROL: PRIVATE,
        hdrs.CONTENT_ENCODING: "gzip",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        **(headers or {}),
    }
    return web.Response(body=short, headers=sent, content_type=JSON_TYPE)
