"""Who sends a request, from its headers. Trusts them: whoever may set them has the token."""

from __future__ import annotations

from aiohttp import web
from multidict import istr

from offbook.web.bodies import MAX_USER_LENGTH
from offbook.web.errors import RequestRefused
from offbook.workflows.caller import OPERATOR, Caller

USER = istr("X-Offbook-User")
ROLE = istr("X-Offbook-Role")
TIER = istr("X-Offbook-Tier")


def caller_of(request: web.Request) -> Caller:
    """Return the caller that X-Offbook-User names; an operator if there is no such header.

    An empty or repeated header is refused: a proxy that could not tell who it was must not make an operator.
    """
    headers = request.headers
    user_id = headers.get(USER)
    if user_id is None:
        return OPERATOR
    if not user_id or len(user_id) > MAX_USER_LENGTH or not user_id.isprintable() or len(headers.getall(USER)) > 1:
        raise RequestRefused(
            "unauthorized",
            f"X-Offbook-User must come once, with 1 to {MAX_USER_LENGTH} printable characters; "
            "without it the caller is an operator",
        )
    return Caller(user_id, headers.get(ROLE) or "user", headers.get(TIER) or "")


def require_operator(request: web.Request) -> None:
    """Refuse a caller who is a user: what is asked shows or changes more than their own."""
    if not caller_of(request).is_operator:
        raise RequestRefused("forbidden", f"{request.path} is for operators: it is about everybody's executions")
