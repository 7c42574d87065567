"""`scripts/drain_worker.py`, run by itself against real workers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.values import JsonObject
from tests.cli.conftest import Spawn, line_with
from tests.scenarios.documents import approval, book, workflow
from tests.scenarios.fake_model import FakeModel, Reply
from tests.scenarios.worker import ADA, PATIENCE
from tests.scripts.running import Ended, run_script
from tests.web.dummy_service import DummyService


async def drained(*arguments: str, cwd: Path) -> Ended:
    return await run_script("drain_worker.py", *arguments, cwd=cwd)


async def serve(spawn: Spawn, **variables: str) -> tuple[asyncio.subprocess.Process, str]:
    process = await spawn("serve", "--port", "0", "--data-dir", "data", **variables)
    return process, (await line_with(process, "offbook serves")).split()[-1]


async def call(method: str, url: str, body: Any = None) -> JsonObject:
    async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
        answered: JsonObject = await response.json()
        assert response.status in (200, 202), answered
        return answered


async def until_status(url: str, execution_id: str, wanted: str) -> JsonObject:
    payload = await call("GET", f"{url}/status/{execution_id}")
    async with asyncio.timeout(PATIENCE):
        while payload["status"] != wanted:
            await call("GET", f"{url}/status/{execution_id}?since={payload['revision']}&wait=10")
            payload = await call("GET", f"{url}/status/{execution_id}")
    return payload


async def test_worker_is_gone_when_the_script_ends_and_the_next_one_goes_on(spawn: Spawn, tmp_path: Path) -> None:
    process, url = await serve(spawn)
    body = {"workflow": workflow(approval("consent")), "user": ADA}
    execution_id = (await call("POST", f"{url}/executions", body))["execution_id"]
    await until_status(url, execution_id, "waiting")
    ended = await drained("--data-dir", "data", "--grace", "5", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines[0] == f"{url} (process {process.pid}) drains, with a grace of 5.0s"
    assert ended.lines[-1].startswith("gone after ")
    # Nothing has to be waited for: the folder is free.
    assert process.returncode == 0
    _, url = await serve(spawn)
    assert (await until_status(url, execution_id, "waiting"))["source"] == "memory"


async def test_call_in_flight_is_waited_for_until_a_second_drain_hurries(
    spawn: Spawn, tmp_path: Path, model: FakeModel
) -> None:
    model.reply = lambda asked: Reply(hangs=True)
    process, url = await serve(spawn, OFFBOOK_PROVIDERS=json.dumps(model.providers))
    await call("POST", f"{url}/executions", {"workflow": book(), "user": ADA})
    await model.until(lambda: model.under_way == 1)
    ended = await drained("--server", url, "--grace", "600", "--timeout", "0.5", cwd=tmp_path)
    assert ended.code == 1
    assert "1 executions to bring to rest, 1 calls in flight" in ended.lines
    assert f"{url} is still there after" in ended.err
    assert process.returncode is None
    ended = await drained("--server", url, "--grace", "0", cwd=tmp_path)
    assert ended.code == 0
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == 0


class Restarted(DummyService):
    """A worker whose service manager starts it again at once: each question finds it younger."""

    def __init__(self) -> None:
        super().__init__()
        self.uptimes = iter((900.0, 0.2))

    async def health(self) -> JsonObject:
        return {"status": "ok", "uptime_seconds": next(self.uptimes)}


async def test_worker_that_is_started_again_at_once_is_another_one(tmp_path: Path) -> None:
    service = Restarted()
    async with serve_app(create_app(service)) as url:
        ended = await drained("--server", url, cwd=tmp_path)
    assert (ended.code, ended.lines[0]) == (0, f"{url} drains, with its own grace")
    assert service.drained == [None]


async def test_worker_at_the_address_of_one_that_has_gone_is_left_alone(tmp_path: Path, unused_pid: int) -> None:
    service = Restarted()
    async with serve_app(create_app(service)) as url:
        (tmp_path / "server.json").write_text(json.dumps({"url": url, "pid": unused_pid}))
        ended = await drained("--data-dir", ".", cwd=tmp_path)
    assert (ended.code, ended.out, service.drained) == (3, "", [])
    assert "no Offbook server owns" in ended.err


@pytest.fixture
async def unused_pid() -> int:
    """The number of a process that has ended."""
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    return process.pid


async def test_nobody_there_and_bad_seconds_have_exit_codes(tmp_path: Path) -> None:
    ended = await drained("--server", "http://127.0.0.1:9", cwd=tmp_path)
    assert (ended.code, ended.out) == (3, "")
    for grace in ("-1", "inf", "soon"):
        assert (await drained("--grace", grace, cwd=tmp_path)).code == 2
