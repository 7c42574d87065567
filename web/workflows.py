"""Routes of workflows: register, list, show, validate, schema."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.web import parameters
from offbook.web.bodies import read_document
from offbook.web.callers import caller_of, require_operator
from offbook.web.executions import json_response
from offbook.web.service import Service

LIST_PARAMETERS = ("name", "cursor", "limit")


class WorkflowRoutes:
    """Handlers for everything under /workflows."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.post("/workflows", self.put),
            web.get("/workflows", self.list),
            web.post("/workflows/validate", self.validate),
            web.get("/workflows/schema", self.schema),
            web.get("/workflows/{reference}", self.show),
        )

    async def put(self, request: web.Request) -> web.Response:
        """Register a document; the newest of a name answers to the name, for everybody: operators only."""
        require_operator(request)
        kept = await self._service.put_workflow(await read_document(request))
        return json_response(kept, 201, headers={"Location": f"/workflows/{kept['fingerprint']}"})

    async def list(self, request: web.Request) -> web.Response:
        """Answer a page of what is registered, newest first."""
        caller_of(request)
        query = request.query
        parameters.check_names(query, LIST_PARAMETERS)
        page = await self._service.list_workflows(
            name=parameters.text_parameter(query, "name"),
            cursor=parameters.text_parameter(query, "cursor"),
            limit=parameters.page_size(query),
        )
        return json_response(page)

    async def show(self, request: web.Request) -> web.Response:
        """Answer a workflow by fingerprint or name, with its document."""
        caller_of(request)
        return json_response(await self._service.workflow(request.match_info["reference"]))

    async def validate(self, request: web.Request) -> web.Response:
        """Answer everything that is wrong with a document, or what it needs. It is an answer, not a failure: 200."""
        caller_of(request)
        document = await read_document(request)
        problems = await self._service.validate(document)
        answer = {"valid": not problems, "errors": [problem.to_json() for problem in problems]}
        if not problems:
            answer["needs"] = await self._service.needs(document)
        return json_response(answer)

    async def schema(self, request: web.Request) -> web.Response:
        caller_of(request)
        return json_response(await self._service.schema())
