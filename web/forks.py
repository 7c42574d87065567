"""Routes of forks, and of plans: what a fork or a resume would keep and run. Reads requests and writes answers."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.web import parameters
from offbook.web.bodies import Fields, read_object
from offbook.web.callers import caller_of
from offbook.web.executions import json_response, status_url
from offbook.web.service import Service
from offbook.workflows.fork_request import ForkRequest


class ForkRoutes:
    """Handlers for forks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.post("/executions/{execution_id}/fork", self.fork),
            web.get("/executions/{execution_id}/resume", self.plan_resume),
        )

    async def plan_resume(self, request: web.Request) -> web.Response:
        """Answer what a resume would keep and repeat; nothing happens."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        parameters.check_names(request.query, ())
        return json_response(await self._service.forks.plan_resume(execution_id, caller=caller))

    async def fork(self, request: web.Request) -> web.Response:
        """Accept a fork: 202 once it is stored; with `?plan=true` only say what it would do."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        key = parameters.idempotency_key(request)
        parameters.check_names(request.query, ("plan",))
        body = await read_object(request)
        fields = Fields(body)
        asked = _request(fields)
        labels = fields.labels("labels")
        user = fields.user("user")
        durability = fields.text("durability")
        fields.done()
        if parameters.switch(request.query, "plan"):
            return json_response(await self._service.forks.plan(execution_id, asked, caller=caller, user=user))
        started = await self._service.forks.start(
            execution_id,
            asked,
            caller=caller,
            user=user,
            labels=labels if body.get("labels") is not None else None,
            durability=durability,
            idempotency_key=key,
        )
        url = status_url(started)
        return json_response({"execution_id": started, "status_url": url}, 202, headers={"Location": url})


def _request(fields: Fields) -> ForkRequest:
    return ForkRequest(
        inputs=fields.object("inputs"),
        workflow=fields.take("workflow", str, dict),
        outputs=fields.object("outputs"),
        guidance=fields.text("guidance") or "",
    )
