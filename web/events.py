"""Routes of Server-Sent Events: one execution, and the list of them, live. The service tells; here it is streamed."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from offbook.actors.event_ring import Position, read_event_id
from offbook.web import parameters
from offbook.web.callers import caller_of
from offbook.web.event_stream import EventStream, EventStreams
from offbook.web.service import Service
from offbook.workflows.errors import OffbookError
from offbook.workflows.records import ExecutionFilter

LAST_EVENT_ID = "Last-Event-ID"


class EventRoutes:
    """Handlers that end when the browser has heard all, or has gone."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams = EventStreams()

    def routes(self) -> Iterable[web.RouteDef]:
        return (
            web.get("/executions/{execution_id}/events", self.execution, allow_head=False),
            web.get("/events", self.list, allow_head=False),
        )

    async def close(self, app: web.Application) -> None:
        """End every stream when the server stops."""
        self._streams.close()

    async def execution(self, request: web.Request) -> web.StreamResponse:
        """Tell how an execution stands, then what happens to it, until its end."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        after = _position(request)
        stream = EventStream(request, self._streams)
        try:
            if not await self._service.watching.watch(execution_id, stream, caller=caller, after=after):
                # By this a browser knows that it need not come back.
                return web.Response(status=204)
        except OffbookError:
            if not stream.response.prepared:
                raise
        finally:
            stream.finish()
        return stream.response

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Tell which executions come, change and go, of those that the caller may see."""
        caller = caller_of(request)
        query = request.query
        parameters.check_names(query, ("workflow", "user", "label", "after"))
        where = ExecutionFilter(
            workflow=parameters.text_parameter(query, "workflow"),
            user_id=parameters.text_parameter(query, "user"),
            labels=parameters.labels(query),
        )
        stream = EventStream(request, self._streams)
        try:
            await self._service.feed.follow(stream, caller=caller, where=where, after=_after(request)[1])
        finally:
            stream.finish()
        return stream.response


def _after(request: web.Request) -> tuple[str, str]:
    """Return the event after which to go on, of the header that browsers send or of `?after=`, and which it was."""
    given = request.headers.get(LAST_EVENT_ID, "")
    return (LAST_EVENT_ID, given) if given else ("after", request.query.get("after", ""))


def _position(request: web.Request) -> Position | None:
    """Return the event of an execution after which to go on; None to begin with a snapshot."""
    parameters.check_names(request.query, ("after",))
    name, text = _after(request)
    if not text:
        return None
    position = read_event_id(text)
    if position is None:
        raise parameters.bad_parameter(name, text[:64], "the id of an event")
    return position
