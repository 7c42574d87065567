"""The client that is its own engine: an engine over the data folder, in this process, while the command lasts."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import orjson

from offbook.actors.event_ring import read_event_id
from offbook.cli.local_events import read_events
from offbook.cli.server_file import ServerFile, remove_server_file
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from offbook.workflows.caller import OPERATOR
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.records import ExecutionFilter
from offbook.workflows.server_events import ServerEvent
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue


class LocalClient:
    """Asks an engine in this process."""

    goes_on = False

    def __init__(self, engine: Engine, *, where: tuple[str, ...]) -> None:
        self.where = where
        self._service = engine.service

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
        return await self._service.start(
            workflow,
            inputs,
            caller=OPERATOR,
            user=user,
            labels=labels,
            durability=durability,
            budget=budget,
            idempotency_key=idempotency_key,
        )

    async def status(self, execution_id: str, *, since: int | None = None, wait: float | None = None) -> JsonObject:
        answer = await self._service.status(execution_id, caller=OPERATOR, since=since, wait=wait)
        payload: JsonObject = orjson.loads(answer.body)
        return payload

    async def resume(
        self,
        execution_id: str,
        *,
        guidance: str,
        user: ExecutionUser | None,
        workflow: str | JsonObject | None = None,
        as_other_user: bool = False,
    ) -> JsonObject:
        if workflow is not None:
            await self._service.forks.check_workflow(execution_id, workflow, caller=OPERATOR)
        return await self._service.resume(
            execution_id, caller=OPERATOR, guidance=guidance, user=user, as_other_user=as_other_user
        )

    async def plan_resume(self, execution_id: str, workflow: str | JsonObject | None = None) -> JsonObject:
        if workflow is not None:
            await self._service.forks.check_workflow(execution_id, workflow, caller=OPERATOR)
        return await self._service.forks.plan_resume(execution_id, caller=OPERATOR)

    async def fork(
        self, execution_id: str, request: ForkRequest, *, user: ExecutionUser | None, labels: dict[str, str] | None
    ) -> str:
        return await self._service.forks.start(execution_id, request, caller=OPERATOR, user=user, labels=labels)

    async def plan_fork(self, execution_id: str, request: ForkRequest) -> JsonObject:
        return await self._service.forks.plan(execution_id, request, caller=OPERATOR)

    async def cancel(self, execution_id: str) -> None:
        await self._service.cancel(execution_id, caller=OPERATOR)

    async def pause(self, execution_id: str) -> None:
        await self._service.pause(execution_id, caller=OPERATOR)

    async def signal(self, execution_id: str, name: str, payload: JsonValue) -> None:
        await self._service.signal(execution_id, name, payload, caller=OPERATOR)

    async def delete(self, execution_id: str) -> None:
        await self._service.delete(execution_id, caller=OPERATOR)

    async def output(self, execution_id: str, node_id: str, item: int | None) -> JsonValue:
        return await self._service.output(execution_id, node_id, item, caller=OPERATOR)

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
        return await self._service.list_executions(
            caller=OPERATOR,
            statuses=statuses,
            workflow=workflow,
            user=user,
            labels=labels,
            cursor=cursor,
            limit=limit,
        )

    def events(self, execution_id: str, after: str) -> AsyncGenerator[ServerEvent, None]:
        position = read_event_id(after) if after else None
        watch = self._service.watching.watch
        return read_events(lambda stream: watch(execution_id, stream, caller=OPERATOR, after=position))

    def list_events(self) -> AsyncGenerator[ServerEvent, None]:
        follow = self._service.feed.follow
        where = ExecutionFilter()
        return read_events(lambda stream: follow(stream, caller=OPERATOR, where=where, after=""))

    async def workflow(self, reference: str) -> JsonObject:
        return await self._service.workflow(reference)

    async def validate(self, document: str) -> list[JsonObject]:
        return [problem.to_json() for problem in await self._service.validate(document)]

    async def schema(self) -> JsonObject:
        return await self._service.schema()

    async def put_key(self, user_id: str, provider: str, key: str) -> None:
        await self._service.keys.put(user_id, provider, key, caller=OPERATOR)

    async def delete_key(self, user_id: str, provider: str) -> None:
        await self._service.keys.delete(user_id, provider, caller=OPERATOR)

    async def list_keys(self, user_id: str) -> list[JsonObject]:
        return await self._service.keys.list_keys(user_id, caller=OPERATOR)

    async def usage(self, user_id: str, first: str | None, last: str | None) -> JsonObject:
        return await self._service.spending.usage(user_id, caller=OPERATOR, first=first, last=last)

    async def budgets(self, user_id: str) -> JsonObject:
        return await self._service.spending.budgets(user_id, caller=OPERATOR)

    async def put_budget(self, user_id: str, budget: JsonObject) -> None:
        await self._service.spending.put_budget(user_id, budget, caller=OPERATOR)

    async def delete_budget(self, user_id: str, scope: str, unit: str) -> None:
        await self._service.spending.delete_budget(user_id, scope, unit, caller=OPERATOR)

    async def set_execution_budget(self, execution_id: str, budget: JsonObject) -> None:
        await self._service.spending.set_execution_budget(execution_id, budget, caller=OPERATOR)

    async def rotate_keys(self) -> JsonObject:
        return await self._service.keys.rotate(caller=OPERATOR)


@asynccontextmanager
async def open_local(
    settings: EngineSettings, *, where: tuple[str, ...], reachable: bool
) -> AsyncIterator[LocalClient]:
    """Run an engine while the context lasts; leaving it checkpoints what is live.

    What another process left unfinished waits for a resume: a command takes up only what it was told to. The
    engine owns the data folder, so other commands could not look at its executions: `reachable` opens a
    loopback port for them, under a token that only the owner of the folder can read.
    """
    async with Engine(settings, goes_on=False) as engine:
        client = LocalClient(engine, where=where)
        if not reachable:
            yield client
            return
        token = secrets.token_urlsafe(32)
        async with serve_app(create_app(engine.service, WebSettings(internal_token=token))) as url:
            ServerFile(url, os.getpid(), token).write(settings.data_dir)
            try:
                yield client
            finally:
                remove_server_file(settings.data_dir)
