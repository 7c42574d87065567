"""Routes of users' provider keys: put, delete, list, seal anew. No answer has a part of a key in it."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.web.bodies import Fields, read_object
from offbook.web.callers import caller_of
from offbook.web.executions import json_response
from offbook.web.service import Service
from offbook.workflows.errors import Problem, ValidationFailed


class KeyRoutes:
    """Handlers for keys under /users, and for all of them at once."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        one = "/users/{user_id}/keys/{provider}"
        return (
            web.get("/users/{user_id}/keys", self.list),
            web.put(one, self.put),
            web.delete(one, self.delete),
            web.post("/keys/rotate", self.rotate),
        )

    async def list(self, request: web.Request) -> web.Response:
        """Answer for which providers a user has keys, and since when."""
        keys = await self._service.keys.list_keys(request.match_info["user_id"], caller=caller_of(request))
        return json_response({"keys": keys})

    async def put(self, request: web.Request) -> web.Response:
        """Store the key in the body, `{"key": "..."}`, in place of the one before."""
        caller = caller_of(request)
        body = await read_object(request)
        if set(body) - {"key"}:
            # Not named, as elsewhere: somebody may have put the key itself there.
            raise ValidationFailed([Problem("unknown-field", 'the body is {"key": "..."} and nothing else')])
        fields = Fields(body)
        key = fields.text("key", required=True)
        fields.done()
        names = request.match_info
        await self._service.keys.put(names["user_id"], names["provider"], key or "", caller=caller)
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        names = request.match_info
        await self._service.keys.delete(names["user_id"], names["provider"], caller=caller_of(request))
        return web.Response(status=204)

    async def rotate(self, request: web.Request) -> web.Response:
        """Seal every key under the first master key; answer how many, and which could not be opened."""
        return json_response(await self._service.keys.rotate(caller=caller_of(request)))
