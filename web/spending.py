"""Routes of money: what users spent, and what they and their executions may spend. Adds nothing up."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.web import parameters
from offbook.web.bodies import read_object
from offbook.web.callers import caller_of
from offbook.web.executions import json_response
from offbook.web.service import Service


class SpendingRoutes:
    """Handlers for usage and budgets."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        budgets = "/users/{user_id}/budgets"
        return (
            web.get("/users/{user_id}/usage", self.usage),
            web.get(budgets, self.budgets),
            web.put(budgets, self.put),
            web.delete(f"{budgets}/{{scope}}/{{unit}}", self.delete),
            web.put("/executions/{execution_id}/budget", self.put_of_execution),
        )

    async def usage(self, request: web.Request) -> web.Response:
        """Answer what a user used, `?from=DAY&to=DAY`, both included."""
        parameters.check_names(request.query, ("from", "to"))
        report = await self._service.spending.usage(
            request.match_info["user_id"],
            caller=caller_of(request),
            first=request.query.get("from"),
            last=request.query.get("to"),
        )
        return json_response(report)

    async def budgets(self, request: web.Request) -> web.Response:
        found = await self._service.spending.budgets(request.match_info["user_id"], caller=caller_of(request))
        return json_response(found)

    async def put(self, request: web.Request) -> web.Response:
        """Set a budget: `{"scope": "day", "tokens": 50000}`; another of the same scope and unit makes way for it."""
        caller = caller_of(request)
        body = await read_object(request)
        return json_response(
            await self._service.spending.put_budget(request.match_info["user_id"], body, caller=caller)
        )

    async def delete(self, request: web.Request) -> web.Response:
        names = request.match_info
        await self._service.spending.delete_budget(
            names["user_id"], names["scope"], names["unit"], caller=caller_of(request)
        )
        return web.Response(status=204)

    async def put_of_execution(self, request: web.Request) -> web.Response:
        """Set what an execution may spend, all in all: `{"money": "3.00"}`; `{}` for as much as its user may."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        body = await read_object(request)
        await self._service.spending.set_execution_budget(execution_id, body, caller=caller)
        return web.Response(status=204)
