"""What every request goes through: host, origin, token, load, and errors as problems. Knows no route.

It is put around each handler once, when the application is built: an aiohttp middleware, put around it at each
request, costs a tenth of a status answer.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from loguru import logger
from multidict import istr

from offbook.web.errors import RequestRefused, internal_error, problem_of, problem_of_http, problem_response
from offbook.web.sessions import SessionOver, Sessions, forget_session
from offbook.web.settings import LOOPBACK_NAMES, SAFE_METHODS, WebSettings
from offbook.workflows.errors import OffbookError

INTERNAL_AUTH = istr("X-Internal-Auth")
UNAUTHORIZED = "send the server's OFFBOOK_INTERNAL_TOKEN as X-Internal-Auth or as bearer token"
CORS_METHODS = "GET, POST, PUT, DELETE"
CORS_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Internal-Auth, "
    "X-Offbook-User, X-Offbook-Role, X-Offbook-Tier"
)
CORS_EXPOSED = "ETag, Location, Retry-After"
CORS_MAX_AGE = "600"


def build_gate(
    settings: WebSettings, sessions: Sessions | None = None, limit: int | None = None
) -> Callable[[Handler], Handler]:
    """Build what is to be put around every handler; all that went through the same gate share its limit.

    `sessions`: whose cookie is as good as the token. `limit`: of requests under way at once, where it is not that of
    the settings.
    """
    host_allowed = _host_check(settings)
    authorized = _token_check(settings.internal_token)
    origins = frozenset(settings.cors_origins)
    limit = settings.max_concurrent_requests if limit is None else limit
    max_body_bytes = settings.max_body_bytes
    under_way = 0

    def guard(handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            nonlocal under_way
            if under_way >= limit:
                detail = f"{limit} requests are under way, which is this server's limit: try again"
                return problem_response("over-capacity", detail, request, headers={"Retry-After": "1"})
            under_way += 1
            try:
                headers = request.headers
                if not host_allowed(headers.get(hdrs.HOST)):
                    raise RequestRefused("misdirected-host", _misdirected(headers.get(hdrs.HOST)))
                origin = headers.get(hdrs.ORIGIN)
                if origin is not None and _check_origin(request, origin, origins):
                    return web.Response(status=204)
                cookies = headers.get(hdrs.COOKIE)
                if authorized is None or not authorized(headers):
                    spoken = sessions.speak(request, cookies) if sessions is not None and cookies else None
                    if spoken is None and authorized is not None:
                        raise RequestRefused("unauthorized", UNAUTHORIZED)
                    request = spoken or request
                return await handler(request)
            except SessionOver as over:
                response = problem_of(over, request)
                forget_session(response)
                return response
            except OffbookError as error:
                return problem_of(error, request)
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return problem_of_http(error, request, max_body_bytes)
            except Exception as error:  # noqa: BLE001 - told as a problem, logged whole
                return internal_error(error, request)
            finally:
                under_way -= 1

        return guarded

    return guard


def seen_through(handler: Handler) -> Handler:
    """Have what a handler began go on when its client goes away: only questions end with those who ask."""

    async def last(request: web.Request) -> web.StreamResponse:
        work = asyncio.ensure_future(handler(request))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_note_unheard)
            raise

    return last


def _note_unheard(work: asyncio.Future[web.StreamResponse]) -> None:
    error = None if work.cancelled() else work.exception()
    if error is not None:
        logger.info("request failed when its client had gone", why=f"{type(error).__name__}: {error}")


def cors_signal(settings: WebSettings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Build the signal that lets pages of allowed origins read every answer, problems and streams too."""
    origins = frozenset(settings.cors_origins)

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin not in origins:
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = CORS_EXPOSED
        if request.method == hdrs.METH_OPTIONS:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = CORS_METHODS
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = CORS_HEADERS
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = CORS_MAX_AGE

    return add_headers


def _host_check(settings: WebSettings) -> Callable[[str | None], bool]:
    """A page that resolves its own name to this server's address cannot choose the Host header it sends."""
    names = LOOPBACK_NAMES | {name.lower() for name in settings.allowed_hosts}
    anything = "*" in names

    @lru_cache(maxsize=256)
    def allowed(host: str | None) -> bool:
        return host is not None and (anything or _host_name(host) in names)

    return allowed


def _host_name(host: str) -> str:
    """Take the port, and an IPv6 address's brackets, off a Host header."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _misdirected(host: str | None) -> str:
    return (
        f"the Host header is {host!r}, which this server does not answer to: use 127.0.0.1 or localhost, or add "
        "the name to OFFBOOK_ALLOWED_HOSTS"
    )


def _check_origin(request: web.Request, origin: str, origins: frozenset[str]) -> bool:
    """Return whether this is a preflight to grant; refuse what a page of a foreign origin would change.

    A browser sends a POST without a body to any server without asking it first.
    """
    known = origin in origins or origin.partition("://")[2] == request.headers.get(hdrs.HOST)
    preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    if not known and (preflight or request.method not in SAFE_METHODS):
        raise RequestRefused("forbidden", f"pages of {origin} may not use this server: see OFFBOOK_CORS_ORIGINS")
    return preflight


def _token_check(token: str | None) -> Callable[[Mapping[str, str]], bool] | None:
    if not token:
        return None
    expected = token.encode()
    compare = hmac.compare_digest

    def authorized(headers: Mapping[str, str]) -> bool:
        given = headers.get(INTERNAL_AUTH)
        if given is None:
            scheme, _, given = headers.get(hdrs.AUTHORIZATION, "").partition(" ")
            if scheme.lower() != "bearer":
                return False
        return compare(given.strip().encode("utf-8", "surrogateescape"), expected)

    return authorized
