"""A key that is planted, failures of every kind that could show it, and everywhere it is looked for afterwards."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from loguru import logger

import tests
from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import FunctionRegistry
from offbook.persistence.journal import SqlJournal
from offbook.persistence.sql_store import SqlStore
from offbook.workflows.values import ExecutionUser, JsonObject
from tests.nodes.providers.model_server import Answer, ModelServer, drop, event, said, stream, whole
from tests.scenarios.documents import llm, output, python, workflow
from tests.scenarios.worker import Worker

KEY = "sk-planted-7f3a9c51e08d4b62"
PART = 12
"""So many characters of it are as bad as all of it."""
ROOT = Path(tests.__file__).parent.parent


def answers() -> dict[str, Answer]:
    """What a provider may answer that has the key, or hears it, in as many ways as it may repeat it."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"<html>{request.headers['Authorization']}</html>", content_type="text/html")

    async def plain(request: web.Request) -> web.Response:
        return web.Response(text=f"who is {KEY}?", status=401, headers={"Retry-After": KEY})

    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"/elsewhere?key={KEY}"}, text=KEY)

    error = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    return {
        "unauthorized": whole(error, 401),
        "forbidden": whole({"detail": [{"input": {"headers": {"authorization": f"Bearer {KEY}"}}}]}, 403),
        "unreadable": plain,
        "rate limit": whole(error, 429),
        "broken": whole({"error": f"Traceback: key={KEY}"}, 500),
        "bad request": whole({"error": {"message": f"header Authorization: Bearer {KEY[:16]} {KEY[16:]}"}}, 400),
        "redirect": elsewhere,
        "web page": page,
        "no answer": whole({KEY: KEY}),
        "garbage": stream(f"data: {KEY}\n\n".encode()),
        "dropped": stream(said("once"), then=drop),
        "broken off": stream(said("once"), event(error)),
    }


def register(functions: FunctionRegistry) -> list[str]:
    """Register functions that raise with the key in every way in which they can get at it; return their names."""

    @functions.node
    def raise_it(ctx: NodeContext) -> None:
        raise ValueError(f"cannot log in with {KEY}")

    @functions.node
    async def raise_it_from_below(ctx: NodeContext) -> None:
        try:
            dict[str, str]()[KEY]
        except KeyError as error:
            raise RuntimeError("no login") from error

    @functions.node
    def raise_it_late_in_a_long_text(ctx: NodeContext) -> None:
        raise ValueError("x" * 970 + KEY)

    @functions.node
    def name_it(ctx: NodeContext) -> None:
        raise NodeFailure.of("login", f"refused: https://x/?key={KEY}", hint=f"is {KEY} the right one?")

    @functions.node
    def call_the_failure_so(ctx: NodeContext) -> None:
        raise NodeFailure.of(KEY, "refused")

    return ["raise_it", "raise_it_from_below", "raise_it_late_in_a_long_text", "name_it", "call_the_failure_so"]


class Application:
    """A resolver of the application that embeds the engine."""

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        return KEY


class Search:
    """Gathers everything that a key could be found in, by where it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found_in: dict[str, list[str]] = {}
        self._lines: list[str] = []
        commit = SqlJournal.commit

        def recording(journal: SqlJournal, records: Any, forget: Any) -> None:
            for record in records:
                self.add("journal", record.data.decode())
            commit(journal, records, forget)

        monkeypatch.setattr(SqlJournal, "commit", recording)

    def __enter__(self) -> Search:
        self._sink = logger.add(self._lines.append, level="TRACE", diagnose=False, backtrace=True)
        self._handler = logging.StreamHandler(self)
        self._level = logging.root.level
        logging.root.addHandler(self._handler)
        logging.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self._level)
        logging.root.removeHandler(self._handler)
        logger.remove(self._sink)
        assert any("node raised" in line for line in self._lines)
        self.add("log", "".join(self._lines))

    def write(self, text: str) -> None:
        """Take a line of the standard library's logging."""
        self._lines.append(text)

    def flush(self) -> None:
        """Keep nothing back."""

    def add(self, where: str, shown: object) -> None:
        self.found_in.setdefault(where, []).append(str(shown))

    def add_files(self, folder: Path) -> None:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert len(files) >= 3
        for path in files:
            self.add(f"file {path.name}", path.read_bytes().decode("latin-1"))

    def add_database(self, folder: Path, execution_ids: list[str]) -> None:
        """Take what is in the database's compressed columns too."""
        store = SqlStore.open(f"sqlite:///{folder / 'offbook.db'}")
        for stored in store.reader.load_many(execution_ids):
            self.add("database", stored)
        store.close()

    def places(self) -> list[str]:
        """Return where the key, or enough of it, was found."""
        parts = [KEY[start : start + PART] for start in range(len(KEY) - PART + 1)]
        return sorted(
            where for where, texts in self.found_in.items() if any(part in text for text in texts for part in parts)
        )


async def play(worker: Worker, server: ModelServer, functions: list[str], search: Search) -> list[str]:
    """Have everything fail, twice, and look at it from every side; return the executions."""
    execution_ids = []
    for name, answer in answers().items():
        server.answer = answer
        retry = {"attempts": 2, "delay": 0.01, "max_delay": 0.02}
        document = workflow(llm("a", f"a prompt for {name}", model="fake/writer", retry=retry), name=name[:8])
        execution_ids.append(await _fail(worker, document))
    nodes = [python(f"p{place}", name, continue_on_error=True) for place, name in enumerate(functions)]
    ends = output("end", "done", needs=[node["id"] for node in nodes])
    execution_ids.append(await worker.start(workflow(*nodes, ends), durability="sync"))
    execution_ids += [await _fail(worker, workflow(python("p", name))) for name in functions]
    for execution_id in execution_ids:
        search.add("status", await worker.rest(execution_id))
        for path in ("checkpoint", "resume", "events", "inputs", "nodes/a", "nodes/p", "nodes/a/output"):
            search.add("answer", await _look(worker, f"/executions/{execution_id}/{path}"))
    for path in ("/executions", "/actors", "/readyz", "/workflows", "/users/ada/keys", "/users/ada/usage"):
        search.add("answer", await _look(worker, path))
    for execution_id in execution_ids[:3]:
        search.add("command line", await _command(worker, "status", execution_id))
    server.answer = answers()["unauthorized"]
    search.add("command line", await _command(worker, "resume", execution_ids[0], "--guidance", "again"))
    return execution_ids


async def _fail(worker: Worker, document: JsonObject) -> str:
    execution_id = await worker.start(document, durability="sync")
    payload = await worker.rest(execution_id)
    assert payload["status"] == "failed", payload
    await worker.resume(execution_id)
    payload = await worker.rest(execution_id)
    assert payload["status"] == "failed", payload
    return execution_id


async def _look(worker: Worker, path: str) -> str:
    async with worker._session.get(worker.url + path) as response:
        return f"{response.headers} {await response.text()}"


async def _command(worker: Worker, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OFFBOOK_LOG_LEVEL": "TRACE"}
    environment.pop("OFFBOOK_KEY_FAKE", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "offbook.cli",
        *arguments,
        "--server",
        worker.url,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert "invalid_key" in out.decode()
    return out.decode()


def names(search: Search) -> Iterator[str]:
    """Yield what was looked through."""
    yield from sorted({where.split()[0] for where in search.found_in})
