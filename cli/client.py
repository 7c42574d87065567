"""What commands ask of an engine, and the client that asks a server over HTTP. Prints nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol
from urllib.parse import quote

import aiohttp
import orjson

from offbook.cli.exits import ServerProblem, ServerUnreachable
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.server_events import EventParser, ServerEvent
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue

ANSWER_SECONDS = 60.0
"""How long a server may take to answer, on top of the time it was asked to wait."""
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 45.0
"""How long a stream of events may be silent; a server that is there says so every 15 seconds."""


class Client(Protocol):
    """An engine, in this process or behind HTTP. Raises OffbookError of one kind or another."""

    where: tuple[str, ...]
    """Options with which another command reaches the same engine: `--server URL`."""
    goes_on: bool
    """Whether executions go on when this command ends."""

    async def start(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        user: ExecutionUser | None,
        labels: dict[str, str],
        durability: str | None,
        idempotency_key: str | None,
        budget: JsonObject | None = None,
    ) -> str:
        """Start an execution of a workflow (name, fingerprint or document) and return its id."""
        ...

    async def status(
        self, execution_id: str, *, since: int | None = None, wait: float | None = None
    ) -> JsonObject: ...

    async def resume(
        self,
        execution_id: str,
        *,
        guidance: str,
        user: ExecutionUser | None,
        workflow: str | JsonObject | None = None,
        as_other_user: bool = False,
    ) -> JsonObject: ...

    async def plan_resume(self, execution_id: str, workflow: str | JsonObject | None = None) -> JsonObject: ...

    async def fork(
        self, execution_id: str, request: ForkRequest, *, user: ExecutionUser | None, labels: dict[str, str] | None
    ) -> str: ...

    async def plan_fork(self, execution_id: str, request: ForkRequest) -> JsonObject: ...

    async def cancel(self, execution_id: str) -> None: ...

    async def pause(self, execution_id: str) -> None: ...

    async def signal(self, execution_id: str, name: str, payload: JsonValue) -> None: ...

    async def delete(self, execution_id: str) -> None: ...

    async def output(self, execution_id: str, node_id: str, item: int | None) -> JsonValue: ...

    async def list_executions(
        self,
        *,
        statuses: tuple[str, ...],
        workflow: str | None,
        user: str | None,
        labels: dict[str, str],
        cursor: str | None,
        limit: int,
    ) -> JsonObject: ...

    def events(self, execution_id: str, after: str) -> AsyncGenerator[ServerEvent, None]:
        """Give what happens to an execution, after an event that was heard before; until its end or the stream's."""
        ...

    def list_events(self) -> AsyncGenerator[ServerEvent, None]:
        """Give which executions come, change and go, until the stream ends."""
        ...

    async def workflow(self, reference: str) -> JsonObject: ...

    async def validate(self, document: str) -> list[JsonObject]: ...

    async def schema(self) -> JsonObject: ...

    async def put_key(self, user_id: str, provider: str, key: str) -> None: ...

    async def delete_key(self, user_id: str, provider: str) -> None: ...

    async def usage(self, user_id: str, first: str | None, last: str | None) -> JsonObject: ...

    async def budgets(self, user_id: str) -> JsonObject: ...

    async def put_budget(self, user_id: str, budget: JsonObject) -> None: ...

    async def delete_budget(self, user_id: str, scope: str, unit: str) -> None: ...

    async def set_execution_budget(self, execution_id: str, budget: JsonObject) -> None: ...

    async def list_keys(self, user_id: str) -> list[JsonObject]: ...

    async def rotate_keys(self) -> JsonObject:
        """Seal every key anew: `{"resealed": 3, "unreadable": [{"user_id", "provider"}]}`."""
        ...


class HttpClient:
    """Asks a server."""

    goes_on = True

    def __init__(
        self, session: aiohttp.ClientSession, url: str, token: str | None, *, where: tuple[str, ...] = ()
    ) -> None:
        self.where = where or ("--server", url)
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"X-Internal-Auth": token} if token else {}

    async def start(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        user: ExecutionUser | None,
        labels: dict[str, str],
        durability: str | None,
        idempotency_key: str | None,
        budget: JsonObject | None = None,
    ) -> str:
        body = {
            "workflow": workflow,
            "inputs": inputs,
            "user": user.to_json() if user else None,
            "labels": labels,
            "durability": durability,
            "budget": budget,
        }
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer = await self._ask("POST", "/executions", json=body, headers=headers)
        return str(answer["execution_id"])

    async def status(self, execution_id: str, *, since: int | None = None, wait: float | None = None) -> JsonObject:
        query = {}
        if since is not None:
            query["since"] = str(since)
        if wait is not None:
            query["wait"] = str(wait)
        return await self._ask_object("GET", f"/status/{_part(execution_id)}", query=query, wait=wait or 0.0)

    async def resume(
        self,
        execution_id: str,
        *,
        guidance: str,
        user: ExecutionUser | None,
        workflow: str | JsonObject | None = None,
        as_other_user: bool = False,
    ) -> JsonObject:
        body: JsonObject = {"guidance": guidance, "user": user.to_json() if user else None, "workflow": workflow}
        if as_other_user:
            body["as_other_user"] = True
        return await self._ask_object("POST", f"/executions/{_part(execution_id)}/resume", json=body)

    async def plan_resume(self, execution_id: str, workflow: str | JsonObject | None = None) -> JsonObject:
        path = f"/executions/{_part(execution_id)}/resume"
        return await self._ask_object("POST", path, query={"plan": "true"}, json={"workflow": workflow})

    async def fork(
        self, execution_id: str, request: ForkRequest, *, user: ExecutionUser | None, labels: dict[str, str] | None
    ) -> str:
        body = {**request.to_json(), "user": user.to_json() if user else None, "labels": labels}
        answer = await self._ask_object("POST", f"/executions/{_part(execution_id)}/fork", json=body)
        return str(answer["execution_id"])

    async def plan_fork(self, execution_id: str, request: ForkRequest) -> JsonObject:
        path = f"/executions/{_part(execution_id)}/fork"
        return await self._ask_object("POST", path, query={"plan": "true"}, json=request.to_json())

    async def cancel(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{_part(execution_id)}/cancel")

    async def pause(self, execution_id: str) -> None:
        await self._ask("POST", f"/executions/{_part(execution_id)}/pause")

    async def signal(self, execution_id: str, name: str, payload: JsonValue) -> None:
        await self._ask("POST", f"/executions/{_part(execution_id)}/signals/{_part(name)}", json=payload)

    async def delete(self, execution_id: str) -> None:
        await self._ask("DELETE", f"/executions/{_part(execution_id)}")

    async def output(self, execution_id: str, node_id: str, item: int | None) -> JsonValue:
        query = {"item": str(item)} if item is not None else {}
        return await self._ask("GET", f"/executions/{_part(execution_id)}/nodes/{_part(node_id)}/output", query=query)

    async def checkpoint(self, execution_id: str) -> JsonObject:
        return await self._ask_object("GET", f"/executions/{_part(execution_id)}/checkpoint")

    async def list_executions(
        self,
        *,
        statuses: tuple[str, ...],
        workflow: str | None,
        user: str | None,
        labels: dict[str, str],
        cursor: str | None,
        limit: int,
    ) -> JsonObject:
        query = [("status", status) for status in statuses]
        query += [("label", f"{key}={value}") for key, value in labels.items()]
        named = {"workflow": workflow, "user": user, "cursor": cursor, "limit": str(limit)}
        query += [(name, value) for name, value in named.items() if value]
        return await self._ask_object("GET", "/executions", query=query)

    def events(self, execution_id: str, after: str) -> AsyncGenerator[ServerEvent, None]:
        return self._listen(f"/executions/{_part(execution_id)}/events", after)

    def list_events(self) -> AsyncGenerator[ServerEvent, None]:
        return self._listen("/events", "")

    async def _listen(self, path: str, after: str) -> AsyncGenerator[ServerEvent, None]:
        headers = {**self._headers, "Last-Event-ID": after} if after else self._headers
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        parser = EventParser()
        try:
            async with self._session.get(self._url + path, headers=headers, timeout=timeout) as response:
                if response.status >= 400:
                    raise self._problem(response.status, await response.read())
                async for chunk in response.content.iter_any():
                    for event in parser.events(chunk):
                        yield event
        except TimeoutError:
            raise ServerUnreachable(self._url, f"silent for {SILENCE_SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(self._url, str(error) or type(error).__name__) from None

    async def workflow(self, reference: str) -> JsonObject:
        return await self._ask_object("GET", f"/workflows/{_part(reference)}")

    async def validate(self, document: str) -> list[JsonObject]:
        headers = {"Content-Type": "application/yaml"}
        answer = await self._ask("POST", "/workflows/validate", data=document.encode(), headers=headers)
        errors: list[JsonObject] = answer["errors"]
        return errors

    async def schema(self) -> JsonObject:
        return await self._ask_object("GET", "/workflows/schema")

    async def put_key(self, user_id: str, provider: str, key: str) -> None:
        await self._ask("PUT", f"/users/{_part(user_id)}/keys/{_part(provider)}", json={"key": key})

    async def delete_key(self, user_id: str, provider: str) -> None:
        await self._ask("DELETE", f"/users/{_part(user_id)}/keys/{_part(provider)}")

    async def list_keys(self, user_id: str) -> list[JsonObject]:
        answer = await self._ask_object("GET", f"/users/{_part(user_id)}/keys")
        keys: list[JsonObject] = answer["keys"]
        return keys

    async def usage(self, user_id: str, first: str | None, last: str | None) -> JsonObject:
        query = {name: day for name, day in (("from", first), ("to", last)) if day is not None}
        return await self._ask_object("GET", f"/users/{_part(user_id)}/usage", query=query)

    async def budgets(self, user_id: str) -> JsonObject:
        return await self._ask_object("GET", f"/users/{_part(user_id)}/budgets")

    async def put_budget(self, user_id: str, budget: JsonObject) -> None:
        await self._ask("PUT", f"/users/{_part(user_id)}/budgets", json=budget)

    async def delete_budget(self, user_id: str, scope: str, unit: str) -> None:
        await self._ask("DELETE", f"/users/{_part(user_id)}/budgets/{_part(scope)}/{_part(unit)}")

    async def set_execution_budget(self, execution_id: str, budget: JsonObject) -> None:
        await self._ask("PUT", f"/executions/{_part(execution_id)}/budget", json=budget)

    async def rotate_keys(self) -> JsonObject:
        return await self._ask_object("POST", "/keys/rotate")

    async def answers(self, seconds: float) -> bool:
        """Say whether anything that speaks HTTP is there; what it answers does not matter."""
        try:
            await self._ask("GET", "/healthz", limit=seconds)
        except ServerProblem:
            return True
        except ServerUnreachable:
            return False
        return True

    async def _ask_object(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | list[tuple[str, str]] | None = None,
        json: JsonValue = None,
        wait: float = 0.0,
    ) -> JsonObject:
        answer = await self._ask(method, path, query=query, json=json, limit=wait + ANSWER_SECONDS)
        if not isinstance(answer, dict):
            raise ServerUnreachable(self._url, "something else answers there")
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | list[tuple[str, str]] | None = None,
        json: JsonValue = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        limit: float = ANSWER_SECONDS,
    ) -> JsonValue:
        sent = {**self._headers, **(headers or {})}
        if json is not None:
            data = orjson.dumps(json)
            sent["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=limit, sock_connect=CONNECT_SECONDS)
        try:
            async with self._session.request(
                method, self._url + path, params=query, data=data, headers=sent, timeout=timeout
            ) as response:
                body = await response.read()
        except TimeoutError:
            raise ServerUnreachable(self._url, f"no answer within {limit:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerUnreachable(self._url, str(error) or type(error).__name__) from None
        if response.status < 400:
            return self._parse(body) if body else None
        raise self._problem(response.status, body)

    def _problem(self, status: int, body: bytes) -> ServerProblem:
        problem = self._parse(body)
        if not isinstance(problem, dict) or "type" not in problem:
            return ServerProblem("unknown", f"{self._url} answered {status} without saying why", [])
        name = str(problem["type"]).rpartition("/")[2]
        return ServerProblem(name, str(problem.get("detail", problem["type"])), problem.get("errors") or [])

    def _parse(self, body: bytes) -> JsonValue:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ServerUnreachable(self._url, "what answers there is no Offbook server") from None


def _part(text: str) -> str:
    """Write a text as one segment of a path."""
    return quote(text, safe="")
