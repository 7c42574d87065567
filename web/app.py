"""The web application put together from its parts. Holds no state of its own."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import hdrs, web

from offbook.web.events import EventRoutes
from offbook.web.executions import ExecutionRoutes
from offbook.web.forks import ForkRoutes
from offbook.web.gate import build_gate, cors_signal, seen_through
from offbook.web.keys import KeyRoutes
from offbook.web.operations import OperationRoutes
from offbook.web.page import PageRoutes
from offbook.web.service import Service
from offbook.web.sessions import SessionRoutes, Sessions
from offbook.web.settings import SAFE_METHODS, WebSettings
from offbook.web.spending import SpendingRoutes
from offbook.web.views import ViewRoutes
from offbook.web.workflows import WorkflowRoutes


def create_app(service: Service, settings: WebSettings | None = None) -> web.Application:
    """Build the application that answers for a worker."""
    settings = settings or WebSettings()
    sessions = Sessions()
    gate = build_gate(settings, sessions)
    app = web.Application(client_max_size=settings.max_body_bytes)
    operations = OperationRoutes(service, settings.version)
    for routes in (
        ExecutionRoutes(service),
        ForkRoutes(service),
        KeyRoutes(service),
        SpendingRoutes(service),
        WorkflowRoutes(service),
        ViewRoutes(service),
        operations,
    ):
        for r in routes.routes():
            handler = r.handler if r.method in SAFE_METHODS else seen_through(r.handler)
            app.add_routes([web.RouteDef(r.method, r.path, gate(handler), r.kwargs)])
    # Whoever has no token yet needs the page to send it; nothing else is answered without.
    open_gate = build_gate(replace(settings, internal_token=None))
    for r in PageRoutes(gate(operations.index)).routes():
        app.add_routes([web.RouteDef(r.method, r.path, open_gate(r.handler), r.kwargs)])
    # A session is opened with the token, and ended whoever asks: its own cookie does not count here.
    by_token = build_gate(settings)
    for r in SessionRoutes(sessions).routes():
        guard = {hdrs.METH_POST: by_token, hdrs.METH_DELETE: open_gate}.get(r.method, gate)
        app.add_routes([web.RouteDef(r.method, r.path, guard(r.handler), r.kwargs)])
    events = EventRoutes(service)
    watched = build_gate(settings, sessions, limit=settings.max_streams)
    app.add_routes([web.RouteDef(r.method, r.path, watched(r.handler), r.kwargs) for r in events.routes()])
    app.on_shutdown.append(events.close)
    app.router.add_route("*", "/{path:.*}", gate(_no_such_route))
    if settings.cors_origins:
        app.on_response_prepare.append(cors_signal(settings))
    return app


async def _no_such_route(request: web.Request) -> web.Response:
    """Refuse what no route took, for the method if it is only that."""
    allowed: set[str] = set()
    resources = list(request.app.router.resources())
    for resource in resources[:-1]:
        _, methods = await resource.resolve(request)
        allowed |= methods
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound
