"""What can be seen of executions: from memory while they are there, else by one read. Changes none."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import orjson
from loguru import logger
from pykka import ActorDeadError, ActorRef

from offbook.actors.directory import Entry
from offbook.actors.execution_messages import GetChange, GetOutput, GetRest, GetStatus, StatusAnswer
from offbook.actors.loop import LoopFuture, LoopRef
from offbook.actors.pages import MAX_PAGE, decode_cursor, encode_cursor, row_json
from offbook.actors.service_base import ASK_TIMEOUT, STORE_TIMEOUT
from offbook.actors.service_workflows import ServiceWorkflows
from offbook.actors.supervisor_messages import ListLive
from offbook.workflows.caller import Caller
from offbook.workflows.checkpoint_document import checkpoint_document, unsaved_document
from offbook.workflows.errors import (
    CheckpointNotFound,
    ExecutionNotFound,
    NodeNotFound,
    StatusUnavailable,
    StorageUnavailable,
)
from offbook.workflows.records import ExecutionFilter, ExecutionRow
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.status import NO_JOURNAL, StatusContext, status_payload
from offbook.workflows.values import JsonObject, JsonValue

SAVE_PATIENCE = 1.0
"""Seconds that a checkpoint may take to be stored before it is shown as it will be."""

RESTART_POLL = 0.02
"""Seconds between two looks at whether a crashed actor has been restarted."""

GET_STATUS = GetStatus(None)


class ServiceStatus(ServiceWorkflows):
    """Shows executions."""

    async def status(
        self, execution_id: str, *, caller: Caller, since: int | None = None, wait: float | None = None
    ) -> StatusAnswer:
        """Answer the status payload, from the actor's memory, or from the database once it has gone.

        With `since`, only what changed after that revision; with `wait`, up to so many seconds later, as soon
        as there is something newer than `since`.
        """
        entry = self._directory.find(execution_id) or await self._entry(execution_id)
        if entry is None:
            return await self._stored_status(execution_id, caller, since)
        if not (caller.is_operator or caller.may_see(entry.user_id)):
            raise ExecutionNotFound(execution_id)
        ref = entry.ref
        if ref is None:
            if wait and since is not None and since >= entry.run.revision:
                left = await self._until_restarted(entry, None, wait)
                return await self.status(execution_id, caller=caller, since=since, wait=left)
            return _snapshot(entry, since, self._around.currency)
        until = time.monotonic() + wait if wait else 0.0
        try:
            if wait and since is not None:
                await self._wait_for_change(ref, since, wait)
            asked = cast("LoopRef", ref).ask_at_once(GET_STATUS if since is None else GetStatus(since))
            if not asked.done():
                # Mostly it is answered within this turn of the loop, and a timer would cost as much as the answer.
                await asyncio.sleep(0)
            answer: object = asked.get() if asked.done() else asked
            if isinstance(answer, LoopFuture):
                async with asyncio.timeout(ASK_TIMEOUT):
                    while isinstance(answer, LoopFuture):
                        answer = await answer
        except ActorDeadError:
            # It crashed or was evicted between the look-up and the answer.
            entry = self._directory.find(execution_id)
            if entry is None:
                return await self._stored_status(execution_id, caller, since)
            if wait and since is not None and since >= entry.run.revision:
                left = await self._until_restarted(entry, ref, until - time.monotonic())
                return await self.status(execution_id, caller=caller, since=since, wait=left)
            if entry.ref is not ref:
                return await self.status(execution_id, caller=caller, since=since)
            return _snapshot(entry, since, self._around.currency)
        except TimeoutError:
            raise StatusUnavailable(execution_id, ASK_TIMEOUT) from None
        assert isinstance(answer, StatusAnswer)
        return answer

    async def _wait_for_change(self, ref: ActorRef[Any], since: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                change = await ref.ask(GetChange(since, seconds), block=False)
                await change
        except TimeoutError:
            return

    async def _until_restarted(self, entry: Entry, dead: ActorRef[Any] | None, seconds: float) -> float:
        """Wait for the actor after a dead one; return how many of so many seconds are left."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if entry.ref not in (None, dead) or self._directory.find(entry.execution_id) is not entry:
                return left
            await asyncio.sleep(min(RESTART_POLL, left))
        return 0.0

    async def rest(self, execution_id: str) -> None:
        """Wait until an execution is at rest and stored; one that is not in memory is."""
        while (entry := await self._entry(execution_id)) is not None:
            if entry.ref is not None:
                try:
                    at_rest = await entry.ref.ask(GetRest(), block=False)
                    await at_rest
                    return
                except ActorDeadError:
                    logger.debug("waited for an actor that is gone", execution_id=execution_id)
            await asyncio.sleep(RESTART_POLL)

    async def _rest_soon(self, execution_id: str) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT):
                await self.rest(execution_id)
        except TimeoutError:
            raise StorageUnavailable(f"not stored within {STORE_TIMEOUT:g} s") from None

    async def output(self, execution_id: str, node_id: str, item: int | None = None, *, caller: Caller) -> JsonValue:
        """Return the whole output of a node or item."""
        await self._check_caller(execution_id, caller)
        entry = await self._entry(execution_id)
        if entry is not None and entry.ref is not None:
            return await entry.ref.ask(GetOutput(node_id, item), block=False)
        run = await self._stored_run(execution_id)
        try:
            return run.output(node_id, item)
        except KeyError:
            raise NodeNotFound(execution_id, node_id, "no such node or item, or it has no output") from None

    async def checkpoint(self, execution_id: str, *, caller: Caller) -> JsonObject:
        """Return the checkpoint, whole: as it is stored, or as it will be once the database takes it."""
        await self._check_caller(execution_id, caller)
        entry = self._directory.find(execution_id)
        if entry is not None and entry.status.at_rest and not entry.saved:
            # What has just come to rest is about to be stored, or its checkpoint to be deleted.
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_PATIENCE):
                    await self.rest(execution_id)
            entry = self._directory.find(execution_id)
            if entry is not None and entry.run.status.at_rest and not entry.saved:
                if entry.run.status is ExecutionStatus.COMPLETED:
                    raise CheckpointNotFound(execution_id)
                return unsaved_document(entry.run)
        stored = await self._read(self._reader.load, execution_id)
        if stored is None:
            raise ExecutionNotFound(execution_id)
        if stored.checkpoint is None:
            raise CheckpointNotFound(execution_id)
        return checkpoint_document(stored)

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
    ) -> JsonObject:
        """Return a page, newest first: what is in memory from memory, the rest by one read."""
        limit = max(1, min(limit, MAX_PAGE))
        if user is not None and not caller.may_see(user):
            return {"executions": [], "next_cursor": None}
        owner = user if caller.is_operator else caller.user_id
        where = ExecutionFilter(
            statuses=statuses, workflow=workflow, user_id=owner, labels=labels or {}, parent_id=parent
        )
        before = decode_cursor(cursor)
        live = await self._ask_supervisor(ListLive(where), ASK_TIMEOUT)
        rows = {
            row.execution_id: row for row in live if before is None or (row.created_at, row.execution_id) < before
        }
        stored = await self._read_page(where, before, limit + 1)
        for row in stored:
            # A row of ours that claims to be live but is not in memory lost its process.
            if row.execution_id in self._directory.recovering:
                rows[row.execution_id] = replace(row, status=ExecutionStatus.RECOVERING.value)
            elif row.execution_id not in self._directory:
                rows.setdefault(row.execution_id, row)
        page = sorted(rows.values(), key=lambda row: (row.created_at, row.execution_id), reverse=True)
        more = len(page) > limit
        page = page[:limit]
        return {
            "executions": [self._row_json(row) for row in page],
            "next_cursor": encode_cursor(page[-1].created_at, page[-1].execution_id) if more else None,
        }

    def _row_json(self, row: ExecutionRow) -> JsonObject:
        entry = self._directory.find(row.execution_id)
        usage = row.usage if entry is None else entry.run.usage
        return row_json(row, usage, self._around.currency, live=entry is not None)

    async def _check_caller(self, execution_id: str, caller: Caller) -> None:
        """Raise ExecutionNotFound unless the execution exists and is the caller's."""
        entry = await self._entry(execution_id)
        if entry is not None:
            owner = entry.user_id
        elif caller.is_operator:
            return
        else:
            row = await self._read(self._reader.load_row, execution_id)
            if row is None:
                raise ExecutionNotFound(execution_id)
            owner = row.user_id
        if not caller.may_see(owner):
            raise ExecutionNotFound(execution_id)

    async def _read_page(self, where: ExecutionFilter, before: tuple[float, str] | None, limit: int) -> Any:
        def question() -> Any:
            return self._reader.list_executions(where, before=before, limit=limit)

        return await self._read(question)

    async def _stored_run(self, execution_id: str) -> Run:
        found = await self._read(self._recovery.read, execution_id)
        if found is None:
            raise ExecutionNotFound(execution_id)
        return found[1]

    async def _stored_status(self, execution_id: str, caller: Caller, since: int | None) -> StatusAnswer:
        found = await self._read(self._recovery.read, execution_id)
        if found is None or not caller.may_see(found[0].user.id if found[0].user else None):
            raise ExecutionNotFound(execution_id)
        stored, run = found
        journal = {**NO_JOURNAL, "state": self._journal_state()}
        saved = stored.checkpoint is not None
        context = StatusContext("database", saved, journal, self._around.currency)
        return StatusAnswer(orjson.dumps(status_payload(run, context, since)), run.revision)


def _snapshot(entry: Entry, since: int | None, currency: str) -> StatusAnswer:
    """Answer from the state that a crashed actor handed over, while it is restarted; what is at rest is so still."""
    run = entry.run
    # An actor that is restarted at rest has no news: nobody would hear that it recovers no more.
    status = None if run.status.at_rest else ExecutionStatus.RECOVERING
    saved = entry.saved and run.status.at_rest and run.status is not ExecutionStatus.COMPLETED
    context = StatusContext(status=status, checkpoint_saved=saved, currency=currency)
    return StatusAnswer(orjson.dumps(status_payload(run, context, since)), run.revision)
