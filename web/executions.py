"""Routes of executions: start, look, steer, delete. Reads requests and writes answers; the service does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson
from aiohttp import hdrs, web
from multidict import MultiDict

from offbook.web import parameters
from offbook.web.bodies import JSON_TYPE, Fields, read_json, read_object
from offbook.web.callers import caller_of
from offbook.web.markdown import as_markdown, render
from offbook.web.ready import PRIVATE, ReadyResponse
from offbook.web.service import Service, StatusAnswer
from offbook.web.shrinking import json_in_short
from offbook.workflows.caller import Caller
from offbook.workflows.values import JsonValue

LIST_PARAMETERS = ("status", "workflow", "user", "label", "parent", "cursor", "limit")


class ExecutionRoutes:
    """Handlers for everything under /executions and /status."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> Iterable[web.RouteDef]:
        one = "/executions/{execution_id}"
        return (
            web.get("/status/{execution_id}", self.status),
            web.post("/executions", self.start),
            web.get("/executions", self.list),
            web.get(one, self.status),
            web.delete(one, self.delete),
            web.post(f"{one}/resume", self.resume),
            web.post(f"{one}/cancel", self.cancel),
            web.post(f"{one}/pause", self.pause),
            web.post(f"{one}/signals/{{name}}", self.signal),
            web.get(f"{one}/nodes/{{node_id}}/output", self.output),
            web.get(f"{one}/checkpoint", self.checkpoint),
        )

    async def start(self, request: web.Request) -> web.Response:
        """Accept an execution: 202 once it is stored; with `?plan=true` only say what it would run."""
        caller = caller_of(request)
        parameters.check_names(request.query, ("plan",))
        key = parameters.idempotency_key(request)
        fields = Fields(await read_object(request))
        workflow = fields.take("workflow", str, dict, required=True)
        inputs = fields.object("inputs")
        labels = fields.labels("labels")
        user = fields.user("user")
        durability = fields.text("durability")
        budget = fields.take("budget", dict)
        fields.done()
        if parameters.switch(request.query, "plan"):
            found = await self._service.views.plan(
                workflow, inputs, caller=caller, user=user, durability=durability, budget=budget
            )
            return json_response(found)
        execution_id = await self._service.start(
            workflow,
            inputs,
            caller=caller,
            user=user,
            labels=labels,
            durability=durability,
            budget=budget,
            idempotency_key=key,
        )
        url = status_url(execution_id)
        return json_response({"execution_id": execution_id, "status_url": url}, 202, headers={"Location": url})

    async def status(self, request: web.Request) -> web.Response:
        """Answer the status. This is the hot path: no object is built that is not needed."""
        execution_id = parameters.execution_id_of(request)
        caller = caller_of(request)
        known = request.headers.get(hdrs.IF_NONE_MATCH)
        asks_more = request.rel_url.raw_query_string
        if asks_more:
            answer = await self._answer_in_time(request, execution_id, caller, known)
        else:
            answer = await self._service.status(execution_id, caller=caller)
        etag = f'"{answer.revision}"'
        if known is not None and known.removeprefix("W/") == etag:
            return web.Response(status=304, headers={hdrs.ETAG: etag, hdrs.CACHE_CONTROL: PRIVATE})
        if asks_more:
            short = await json_in_short(request, answer.body, {hdrs.ETAG: etag})
            if short is not None:
                return short
        return ReadyResponse(answer.body, etag)

    async def _answer_in_time(
        self, request: web.Request, execution_id: str, caller: Caller, known: str | None
    ) -> StatusAnswer:
        """Answer `?since=` and `?wait=`; a wait without `since` is for news after the ETag the client has."""
        parameters.check_names(request.query, ("since", "wait"))
        since, wait = parameters.since_and_wait(request.query)
        revision = _revision_of(known)
        if since is None and wait and revision is not None:
            await self._service.status(execution_id, caller=caller, since=revision, wait=wait)
            return await self._service.status(execution_id, caller=caller)
        return await self._service.status(execution_id, caller=caller, since=since, wait=wait)

    async def list(self, request: web.Request) -> web.Response:
        """Answer a page of executions, newest first."""
        caller = caller_of(request)
        query = request.query
        parameters.check_names(query, LIST_PARAMETERS)
        page = await self._service.list_executions(
            caller=caller,
            statuses=parameters.statuses(query),
            workflow=parameters.text_parameter(query, "workflow"),
            user=parameters.text_parameter(query, "user"),
            labels=parameters.labels(query),
            parent=parameters.text_parameter(query, "parent"),
            cursor=parameters.text_parameter(query, "cursor"),
            limit=parameters.page_size(query),
        )
        return json_response(page)

    async def resume(self, request: web.Request) -> web.Response:
        """Have it go on: 202; with `?plan=true` only say what that would keep and repeat."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        parameters.check_names(request.query, ("plan",))
        fields = Fields(await read_object(request))
        guidance = fields.text("guidance")
        workflow = fields.take("workflow", str, dict)
        user = fields.user("user")
        as_other_user = bool(fields.take("as_other_user", bool))
        if as_other_user and user is None:
            fields.refuse("missing-field", "user", "is missing: say as whom it is to go on")
        fields.done()
        if workflow is not None:
            await self._service.forks.check_workflow(execution_id, workflow, caller=caller)
        if parameters.switch(request.query, "plan"):
            return json_response(await self._service.forks.plan_resume(execution_id, caller=caller))
        answer = await self._service.resume(
            execution_id, caller=caller, guidance=guidance or "", user=user, as_other_user=as_other_user
        )
        return json_response({"status_url": status_url(execution_id), **answer}, 202)

    async def cancel(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        Fields(await read_object(request)).done()
        await self._service.cancel(execution_id, caller=caller)
        return _accepted(execution_id)

    async def pause(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        Fields(await read_object(request)).done()
        await self._service.pause(execution_id, caller=caller)
        return _accepted(execution_id)

    async def signal(self, request: web.Request) -> web.Response:
        """Take the whole body as the signal's payload; an empty object if there is none."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        payload = await read_json(request, default={})
        await self._service.signal(execution_id, request.match_info["name"], payload, caller=caller)
        return _accepted(execution_id)

    async def output(self, request: web.Request) -> web.Response:
        """Answer the whole output of a node or item as JSON, or with `?as=markdown` a part of it as a tree."""
        caller = caller_of(request)
        execution_id = parameters.execution_id_of(request)
        query = request.query
        parameters.check_names(query, ("item", "as", "start"))
        item = parameters.whole_number("item", query["item"], most=10**9) if "item" in query else None
        form = parameters.one_of("as", query.get("as", "json"), ("json", "markdown"))
        start = parameters.whole_number("start", query.get("start", "0"), most=10**12)
        value = await self._service.output(execution_id, request.match_info["node_id"], item, caller=caller)
        if form == "markdown":
            value = await asyncio.get_running_loop().run_in_executor(None, render, as_markdown(value), start)
        return json_response(value)

    async def checkpoint(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        return json_response(await self._service.checkpoint(parameters.execution_id_of(request), caller=caller))

    async def delete(self, request: web.Request) -> web.Response:
        caller = caller_of(request)
        await self._service.delete(parameters.execution_id_of(request), caller=caller)
        return web.Response(status=204)


def status_url(execution_id: str) -> str:
    return f"/status/{execution_id}"


def json_response(value: JsonValue, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer a value as JSON."""
    sent = MultiDict({hdrs.CACHE_CONTROL: PRIVATE, **(headers or {})})
    return web.Response(body=orjson.dumps(value), status=status, headers=sent, content_type=JSON_TYPE)


def _accepted(execution_id: str) -> web.Response:
    return json_response({"execution_id": execution_id, "status_url": status_url(execution_id)}, 202)


def _revision_of(etag: str | None) -> int | None:
    digits = (etag or "").removeprefix("W/").strip('"')
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None
