"""What the web application asks of a worker. A protocol only: it does not care who answers."""

from __future__ import annotations

import asyncio
from typing import Protocol

from offbook.workflows.caller import Caller
from offbook.workflows.errors import Problem
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.records import ExecutionFilter
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue


class StatusAnswer(Protocol):
    """A status as JSON text, and the revision it shows."""

    @property
    def body(self) -> bytes: ...

    @property
    def revision(self) -> int: ...


class Views(Protocol):
    """Answers for pages, beside the status."""

    async def picture(self, reference: str) -> JsonObject: ...

    async def picture_of_document(self, document: str | JsonObject) -> JsonObject: ...

    async def plan(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
    ) -> JsonObject: ...

    async def text(self, reference: str) -> str: ...

    async def difference(self, before: str, after: str) -> JsonObject: ...

    async def inputs(self, execution_id: str, *, caller: Caller) -> JsonObject: ...

    async def node(
        self, execution_id: str, node_id: str, *, caller: Caller, first: int = 0, limit: int = 1000
    ) -> JsonObject: ...


class Stream(Protocol):
    """Where the events of one watcher go: whole ones, as bytes, without waiting."""

    async def open(self) -> None: ...

    def send(self, frames: bytes) -> None: ...

    @property
    def cut(self) -> asyncio.Future[None]: ...


class Watching(Protocol):
    """Has streams follow executions."""

    async def watch(
        self, execution_id: str, stream: Stream, *, caller: Caller, after: tuple[int, int] | None
    ) -> bool: ...


class Forks(Protocol):
    """Starts executions that keep what they can of another one, and says before what a fork or a resume would do."""

    async def plan(
        self, execution_id: str, request: ForkRequest, *, caller: Caller, user: ExecutionUser | None = None
    ) -> JsonObject: ...

    async def plan_resume(self, execution_id: str, *, caller: Caller) -> JsonObject: ...

    async def check_workflow(self, execution_id: str, workflow: str | JsonObject, *, caller: Caller) -> None: ...

    async def start(
        self,
        execution_id: str,
        request: ForkRequest,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        idempotency_key: str | None = None,
    ) -> str: ...


class KeyService(Protocol):
    """Keeps provider keys on behalf of users; another user's raise UserNotFound."""

    async def put(self, user_id: str, provider: str, key: str, *, caller: Caller) -> None: ...

    async def delete(self, user_id: str, provider: str, *, caller: Caller) -> None: ...

    async def list_keys(self, user_id: str, *, caller: Caller) -> list[JsonObject]: ...

    async def rotate(self, *, caller: Caller) -> JsonObject: ...


class Feed(Protocol):
    """Has streams follow the list of executions."""

    async def follow(self, stream: Stream, *, caller: Caller, where: ExecutionFilter, after: str) -> None: ...


class SpendingService(Protocol):
    """Tells what users spent, and keeps budgets; another user's raise UserNotFound, setting is for operators."""

    async def usage(
        self, user_id: str, *, caller: Caller, first: str | None = None, last: str | None = None
    ) -> JsonObject: ...

    async def budgets(self, user_id: str, *, caller: Caller) -> JsonObject: ...

    async def put_budget(self, user_id: str, data: JsonObject, *, caller: Caller) -> JsonObject: ...

    async def delete_budget(self, user_id: str, scope: str, unit: str, *, caller: Caller) -> None: ...

    async def set_execution_budget(self, execution_id: str, data: JsonObject, *, caller: Caller) -> None: ...


class Service(Protocol):
    """Starts, shows and steers executions on behalf of callers. Raises classes of `offbook.workflows.errors`.

    Executions that are not the caller's raise ExecutionNotFound, like those that do not exist.
    """

    @property
    def views(self) -> Views: ...

    @property
    def watching(self) -> Watching: ...

    @property
    def feed(self) -> Feed: ...

    @property
    def forks(self) -> Forks: ...

    @property
    def keys(self) -> KeyService: ...

    @property
    def spending(self) -> SpendingService: ...

    async def start(
        self,
        workflow: str | JsonObject,
        inputs: JsonObject,
        *,
        caller: Caller,
        user: ExecutionUser | None = None,
        labels: dict[str, str] | None = None,
        durability: str | None = None,
        budget: JsonObject | None = None,
        idempotency_key: str | None = None,
    ) -> str: ...

    async def status(
        self, execution_id: str, *, caller: Caller, since: int | None = None, wait: float | None = None
    ) -> StatusAnswer: ...

    async def resume(
        self,
        execution_id: str,
        *,
        caller: Caller,
        guidance: str = "",
        user: ExecutionUser | None = None,
        as_other_user: bool = False,
    ) -> JsonObject: ...

    async def cancel(self, execution_id: str, *, caller: Caller) -> None: ...

    async def pause(self, execution_id: str, *, caller: Caller) -> None: ...

    async def signal(self, execution_id: str, name: str, payload: JsonValue, *, caller: Caller) -> None: ...

    async def delete(self, execution_id: str, *, caller: Caller) -> None: ...

    async def output(
        self, execution_id: str, node_id: str, item: int | None = None, *, caller: Caller
    ) -> JsonValue: ...

    async def checkpoint(self, execution_id: str, *, caller: Caller) -> JsonObject: ...

    async def list_executions(
        self,
        *,
        caller: Caller,
        statuses: tuple[str, ...] = (),
        workflow: str | None = None,
        user: str | None = None,
        labels: dict[str, str] | None = None,
        parent: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JsonObject: ...

    async def put_workflow(self, document: str | JsonObject) -> JsonObject: ...

    async def list_workflows(
        self, *, name: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> JsonObject: ...

    async def workflow(self, reference: str) -> JsonObject: ...

    async def validate(self, document: str | JsonObject) -> list[Problem]: ...

    async def needs(self, document: str | JsonObject) -> JsonObject: ...

    async def schema(self) -> JsonObject: ...

    async def drain(self, grace: float | None = None) -> None: ...

    async def actors(self, *, search: str = "", limit: int | None = None) -> JsonObject: ...

    async def health(self) -> JsonObject: ...

    async def ready(self) -> tuple[bool, JsonObject]: ...
