"""Sessions of browsers, whose EventSource sends no headers: a cookie that no script can read, bound to one caller.

They are kept in memory for twelve hours, and are over when the server is started again. A session is opened with the
token alone: it cannot prolong itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import hdrs, web
from multidict import CIMultiDict

from offbook.web.bodies import Fields, read_object
from offbook.web.callers import ROLE, TIER, USER, caller_of
from offbook.web.errors import RequestRefused
from offbook.web.executions import json_response
from offbook.web.settings import SAFE_METHODS
from offbook.workflows.caller import Caller
from offbook.workflows.values import JsonObject, format_time

COOKIE = "offbook_session"
PATH = "/session"
SECONDS = 12 * 3600
MOST = 10_000
"""Sessions kept; past that the oldest is over."""


class SessionOver(RequestRefused):
    """A request came with a session that there is not, or not any more."""

    def __init__(self) -> None:
        super().__init__(
            "unauthorized",
            "the session is over: it lasts twelve hours, and until the server is started again; sign in anew",
        )


@dataclass(frozen=True, slots=True)
class Session:
    """Who a browser speaks for, and until when."""

    caller: Caller
    until: float

    def to_json(self) -> JsonObject:
        return {"caller": _caller_json(self.caller), "expires_at": format_time(self.until)}


class Sessions:
    """The sessions of one server, by the secret that the cookie has."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def open(self, caller: Caller) -> tuple[str, Session]:
        """Begin a session; return its secret."""
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]
        secret = secrets.token_urlsafe(32)
        session = self._sessions[secret] = Session(caller, self._clock() + SECONDS)
        return secret, session

    def find(self, secret: str) -> Session | None:
        session = self._sessions.get(secret)
        if session is not None and session.until <= self._clock():
            del self._sessions[secret]
            return None
        return session

    def close(self, secret: str) -> None:
        self._sessions.pop(secret, None)

    def speak(self, request: web.Request, cookies: str) -> web.Request | None:
        """Return the request as the caller of its session would have sent it; None if it has no session.

        SessionOver if it names one that is over; forbidden if it is to speak for somebody else than its session.
        What changes something must name its origin, as browsers do: that the gate has checked.
        """
        secret = secret_in(cookies)
        if secret is None:
            return None
        session = self.find(secret)
        if session is None:
            raise SessionOver
        if request.method not in SAFE_METHODS and hdrs.ORIGIN not in request.headers:
            raise RequestRefused("forbidden", "with a session, a request that changes something must have an Origin")
        caller = session.caller
        if caller.user_id is None:
            return request
        named = request.headers.get(USER)
        if named is not None and named != caller.user_id:
            raise RequestRefused("forbidden", "the session is another user's than the one that X-Offbook-User names")
        headers = CIMultiDict(request.headers)
        headers.update({USER: caller.user_id, ROLE: caller.role, TIER: caller.tier})
        return request.clone(headers=headers)


class SessionRoutes:
    """Signing in and out."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.post(PATH, self.sign_in),
            web.get(PATH, self.who),
            web.delete(PATH, self.sign_out),
        )

    async def sign_in(self, request: web.Request) -> web.Response:
        """Open a session for the caller; an operator may open one for a user: `{"user": {"id": ...}}`."""
        caller = caller_of(request)
        fields = Fields(await read_object(request))
        user = fields.user("user")
        fields.done()
        if user is not None:
            if not caller.is_operator and user.id != caller.user_id:
                raise RequestRefused("forbidden", "only an operator opens a session for another user")
            caller = Caller(user.id, user.role, user.tier)
        secret, session = self._sessions.open(caller)
        response = json_response(session.to_json(), 201)
        response.set_cookie(
            COOKIE, secret, max_age=SECONDS, httponly=True, samesite="Strict", path="/", secure=_is_https(request)
        )
        return response

    async def who(self, request: web.Request) -> web.Response:
        """Answer for whom this browser speaks, and until when."""
        secret = secret_in(request.headers.get(hdrs.COOKIE, ""))
        session = self._sessions.find(secret) if secret is not None else None
        if session is not None:
            return json_response(session.to_json())
        return json_response({"caller": _caller_json(caller_of(request)), "expires_at": None})

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session, if there is one, and have the browser forget it."""
        secret = secret_in(request.headers.get(hdrs.COOKIE, ""))
        if secret is not None:
            self._sessions.close(secret)
        response = web.Response(status=204)
        forget_session(response)
        return response


def forget_session(response: web.StreamResponse) -> None:
    """Have the browser drop the cookie."""
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")


def secret_in(cookies: str) -> str | None:
    """Find the secret of our session among the cookies of a request."""
    for cookie in cookies.split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE:
            return value.strip('"')
    return None


def _caller_json(caller: Caller) -> JsonObject:
    return {"user_id": caller.user_id, "role": caller.role, "tier": caller.tier}


def _is_https(request: web.Request) -> bool:
    return "https" in (request.scheme, request.headers.get("X-Forwarded-Proto"))
