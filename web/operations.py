"""Routes for those who operate a worker: what it is, what lives in it, whether it is well."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.web import parameters
from offbook.web.bodies import Fields, read_object
from offbook.web.callers import require_operator
from offbook.web.errors import PROBLEMS, RequestRefused
from offbook.web.executions import json_response
from offbook.web.service import Service

MAX_GRACE = 86_400.0
"""Seconds that a drain may leave to calls in flight."""

LINKS = {
    "executions": "/executions",
    "status": "/status/{execution_id}",
    "workflows": "/workflows",
    "validate": "/workflows/validate",
    "schema": "/workflows/schema",
    "actors": "/actors",
    "drain": "/drain",
    "health": "/healthz",
    "readiness": "/readyz",
}


class OperationRoutes:
    """Handlers for the worker itself."""

    def __init__(self, service: Service, version: str) -> None:
        self._service = service
        self._version = version

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get("/actors", self.actors),
            web.post("/drain", self.drain),
            web.get("/healthz", self.health),
            web.get("/readyz", self.ready),
            web.get("/problems/{name}", self.problem),
        )

    async def index(self, request: web.Request) -> web.Response:
        """Answer `GET /` where no browser asks for the page."""
        return json_response({"name": "offbook", "version": self._version, "links": LINKS})

    async def actors(self, request: web.Request) -> web.Response:
        """Answer what lives in the worker: of executions and accounts those that `search` finds, `limit` of them."""
        require_operator(request)
        query = request.query
        parameters.check_names(query, ("search", "limit"))
        limit = query.get("limit")
        found = await self._service.actors(
            search=parameters.text_parameter(query, "search") or "",
            limit=parameters.whole_number("limit", limit, most=10**9) if limit is not None else None,
        )
        return json_response(found)

    async def drain(self, request: web.Request) -> web.Response:
        """Have the worker checkpoint what is live and end: `{"grace": SECONDS}`; asked again it hurries."""
        require_operator(request)
        fields = Fields(await read_object(request))
        grace = fields.take("grace", int, float)
        if grace is not None and not 0 <= grace <= MAX_GRACE:
            fields.refuse("bad-field", "grace", f"must be seconds from 0 to {MAX_GRACE:g}")
        fields.done()
        await self._service.drain(float(grace) if grace is not None else None)
        return json_response({"status": "draining"}, 202)

    async def health(self, request: web.Request) -> web.Response:
        """Answer that the control loop runs."""
        return json_response(await self._service.health())

    async def ready(self, request: web.Request) -> web.Response:
        """Answer whether new executions are taken: 200, or 503 with the reason."""
        ready, report = await self._service.ready()
        return json_response(report, 200 if ready else 503)

    async def problem(self, request: web.Request) -> web.Response:
        """Say what a problem's type means: types are addresses."""
        name = request.match_info["name"]
        kind = PROBLEMS.get(name)
        if kind is None:
            raise RequestRefused("not-found", f"there is no problem of the type {name!r}")
        return json_response({"type": f"/problems/{name}", "title": kind.title, "status": kind.status})
