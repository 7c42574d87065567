"""`scripts/list_actors.py`, run by itself against a real server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import tests
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from offbook.workflows.values import JsonObject
from tests.web.dummy_service import DummyService

SCRIPT = Path(tests.__file__).parent.parent / "scripts" / "list_actors.py"
ACTORS: JsonObject = {
    "actors": [
        {
            "class": "Supervisor",
            "name": "supervisor",
            "execution_id": None,
            "state": "running",
            "mailbox": {"depth": 0, "high_water": 7},
            "messages_handled": 1234,
            "age_seconds": 3725.0,
            "current_nodes": [],
            "restarts": 0,
            "parent": None,
            "last_reason": "",
        },
        {
            "class": "ExecutionActor",
            "name": "novella/\n0123",
            "execution_id": "e" * 32,
            "state": "recovering",
            "mailbox": {"depth": 2, "high_water": 9},
            "messages_handled": None,
            "age_seconds": 61.0,
            "current_nodes": ["chapters", "cover"],
            "restarts": 3,
            "parent": "supervisor",
            "last_reason": "boom",
        },
    ],
    "dead_letters": {"count": 5, "reasons": {"stale": 4, "nobody": 1}, "latest": []},
    "counts": {},
}


class Listing(DummyService):
    async def actors(self) -> JsonObject:
        return ACTORS


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with serve_app(create_app(Listing(), WebSettings(internal_token="sesame"))) as url:
        yield url


async def script(*arguments: str, **variables: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(SCRIPT),
        *arguments,
        env={"OFFBOOK_INTERNAL_TOKEN": "sesame", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_table_has_a_row_for_each_actor(server: str) -> None:
    code, out, _ = await script("--server", server, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    lines = out.splitlines()
    assert code == 0
    shown = [" ".join(line.split()) for line in lines]
    assert shown[0] == "class name execution id state mailbox high handled age node restarts"
    assert shown[1] == "Supervisor supervisor - running 0 7 1234 1h02m - 0"
    assert shown[2] == f"ExecutionActor novella/?0123 {'e' * 32} recovering 2 9 - 1m01s chapters, cover 3"
    assert lines[3] == "2 actors, 5 dead letters (stale 4, nobody 1)"


async def test_json_is_what_the_server_says(server: str) -> None:
    code, out, _ = await script("--server", server, "--json")
    assert (code, json.loads(out)) == (0, ACTORS)


async def test_data_folder_leads_to_its_server(server: str, tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"url": server, "pid": 1, "token": "sesame"}))
    code, out, _ = await script("--data-dir", str(tmp_path), "--json", OFFBOOK_INTERNAL_TOKEN="")
    assert (code, json.loads(out)) == (0, ACTORS)


async def test_refusal_and_silence_have_exit_codes(server: str) -> None:
    code, out, err = await script("--server", server, OFFBOOK_INTERNAL_TOKEN="wrong")
    assert (code, out) == (1, "")
    assert "401" in err
    code, _, err = await script("--server", "http://127.0.0.1:9")
    assert code == 3
    assert "Traceback" not in err
