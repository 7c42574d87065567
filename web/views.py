"""Routes for pages, this server's and others': pictures of workflows, versions compared, inputs of an execution."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from aiohttp import web

from offbook.web import parameters
from offbook.web.bodies import read_document
from offbook.web.callers import caller_of
from offbook.web.executions import json_response
from offbook.web.service import Service
from offbook.web.shrinking import json_in_short
from offbook.workflows.node_detail import MAX_ITEMS
from offbook.workflows.values import JsonObject


class ViewRoutes:
    """Handlers that show what the status does not hold."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get("/workflows/{reference}/layout", self.layout),
            web.post("/workflows/layout", self.layout_of_document),
            web.get("/workflows/{reference}/text", self.text),
            web.get("/workflows/{reference}/diff/{other}", self.difference),
            web.get("/executions/{execution_id}/inputs", self.inputs),
            web.get("/executions/{execution_id}/nodes/{node_id}", self.node),
        )

    async def layout(self, request: web.Request) -> web.Response:
        """Answer where the nodes of a workflow are drawn."""
        caller_of(request)
        return await _answer(request, await self._service.views.picture(request.match_info["reference"]))

    async def layout_of_document(self, request: web.Request) -> web.Response:
        """Answer the same for a document that is not registered."""
        caller_of(request)
        return await _answer(request, await self._service.views.picture_of_document(await read_document(request)))

    async def text(self, request: web.Request) -> web.Response:
        """Answer a workflow as YAML, to read and to edit."""
        caller_of(request)
        return web.Response(
            text=await self._service.views.text(request.match_info["reference"]), content_type="application/yaml"
        )

    async def difference(self, request: web.Request) -> web.Response:
        caller_of(request)
        match = request.match_info
        return json_response(await self._service.views.difference(match["reference"], match["other"]))

    async def inputs(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        return json_response(await self._service.views.inputs(parameters.execution_id_of(request), caller=caller))

    async def node(self, request: web.Request) -> web.Response:
        """Answer a node with its items, `limit` of them from the `first`."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        query = request.query
        parameters.check_names(query, ("first", "limit"))
        first = parameters.whole_number("first", query.get("first", "0"), most=10**9)
        limit = parameters.whole_number("limit", query.get("limit", str(MAX_ITEMS)), least=1, most=MAX_ITEMS)
        node_id = request.match_info["node_id"]
        return json_response(
            await self._service.views.node(execution_id, node_id, caller=caller, first=first, limit=limit)
        )


async def _answer(request: web.Request, value: JsonObject) -> web.Response:
    body = orjson.dumps(value)
    return await json_in_short(request, body) or json_response(value)
