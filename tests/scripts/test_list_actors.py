"""`scripts/list_actors.py`, run by itself against real servers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from offbook.workflows.messages import NodeFinished
from offbook.workflows.values import NO_USAGE, JsonObject
from tests.scenarios.documents import approval, workflow
from tests.scenarios.worker import Worker
from tests.scripts.running import Ended, run_script
from tests.web.dummy_service import DummyService


def line(kind: str, name: str, parent: str | None, **fields: Any) -> JsonObject:
    """An actor as a worker lists it."""
    return {
        "class": kind,
        "name": name,
        "execution_id": None,
        "state": "running",
        "mailbox": {"depth": 0, "high_water": 7},
        "messages_handled": 1234,
        "age_seconds": 3725.0,
        "current_nodes": [],
        "restarts": 0,
        "parent": parent,
        "last_reason": "",
        **fields,
    }


ACTORS: JsonObject = {
    "actors": [
        # Not in the order of the tree.
        line(
            "ExecutionActor",
            "novella/\n0123",
            "supervisor",
            execution_id="e" * 32,
            state="failed",
            mailbox={"depth": 2, "high_water": 9},
            messages_handled=None,
            age_seconds=61.0,
            current_nodes=["chapters", "cover"],
            restarts=3,
            last_reason="boom\nboom",
            poisoned=True,
        ),
        line("Writer", "writer", "persistence", age_seconds=12.25),
        line("Supervisor", "supervisor", None),
        line("PersistenceActor", "persistence", "supervisor", age_seconds=200_000.0),
        line("Stray", "stray", "nobody that is listed"),
    ],
    "dead_letters": {
        "count": 5,
        "reasons": {"stale": 4, "nobody": 1},
        "latest": [
            {
                "at": "2026-11-23T16:32:05.123Z",
                "reason": "stale",
                "execution_id": "e" * 32,
                "detail": "NodeFinished of epoch 1",
            },
            {"at": "2026-11-23T16:31:00.000Z", "reason": "nobody", "execution_id": None, "detail": "a\nsignal"},
        ],
    },
    "counts": {},
}
NO_PROXY = "http://127.0.0.1:9"
"""Where no proxy is: what is asked past it is asked in vain."""


class Listing(DummyService):
    async def actors(self, *, search: str = "", limit: int | None = None) -> JsonObject:
        return ACTORS


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with serve_app(create_app(Listing(), WebSettings(internal_token="sesame"))) as url:
        yield url


async def listed(*arguments: str, token: str = "sesame") -> Ended:
    return await run_script("list_actors.py", *arguments, OFFBOOK_INTERNAL_TOKEN=token, http_proxy=NO_PROXY)


async def test_table_has_each_actor_below_its_supervisor(server: str) -> None:
    ended = await listed("--server", server)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines == [
        "actor class execution id state mailbox high handled age node restarts last reason",
        "supervisor Supervisor - running 0 7 1234 1h02m - 0 -",
        f"├ novella/?0123 ExecutionActor {'e' * 32} failed (poison) 2 9 - 1m01s chapters, cover 3 boom?boom",
        "└ persistence PersistenceActor - running 0 7 1234 2d07h - 0 -",
        "└ writer Writer - running 0 7 1234 12.2s - 0 -",
        "stray Stray - running 0 7 1234 1h02m - 0 -",
        "5 actors, 5 dead letters (stale 4, nobody 1)",
    ]
    assert ended.out.splitlines()[4].startswith("  └ writer")


async def test_dead_letters_are_listed_newest_first(server: str) -> None:
    ended = await listed("--server", server, "--dead-letters")
    assert ended.lines == [
        "at reason execution id detail",
        f"2026-11-23T16:32:05.123Z stale {'e' * 32} NodeFinished of epoch 1",
        "2026-11-23T16:31:00.000Z nobody - a?signal",
        "2 shown of 5 dead letters (stale 4, nobody 1)",
    ]


async def test_json_is_what_the_server_says(server: str) -> None:
    ended = await listed("--server", server, "--json")
    assert (ended.code, json.loads(ended.out)) == (0, ACTORS)
    ended = await listed("--server", server, "--json", "--dead-letters")
    assert (ended.code, json.loads(ended.out)) == (0, ACTORS["dead_letters"])


async def test_data_folder_leads_to_its_server(server: str, tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text(json.dumps({"url": server, "pid": 1, "token": "sesame"}))
    ended = await listed("--data-dir", str(tmp_path), "--json", token="")
    assert (ended.code, json.loads(ended.out)) == (0, ACTORS)


async def test_refusal_and_silence_have_exit_codes(server: str) -> None:
    ended = await listed("--server", server, token="wrong")
    assert (ended.code, ended.out) == (1, "")
    assert "401" in ended.err
    ended = await listed("--server", "http://127.0.0.1:9")
    assert ended.code == 3
    assert "Traceback" not in ended.err


async def test_engine_shows_its_supervisor_and_what_that_supervises(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("consent"), name="asking"))
    await worker.until_status(execution_id, "waiting")
    ended = await listed("--server", worker.url)
    rows = [line.split() for line in ended.out.splitlines()[1:-1]]
    assert [row[0] for row in rows] == ["supervisor", "├", "├", "└"]
    assert [row[2] for row in rows[1:]] == ["PersistenceActor", "JournalActor", "ExecutionActor"]
    assert rows[-1][1:5] == [f"asking/{execution_id[-8:]}", "ExecutionActor", execution_id, "waiting"]
    assert ended.lines[-1] == "4 actors, 0 dead letters"


async def test_engine_tells_why_an_actor_was_restarted(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("consent"), restart={"max_restarts": 0, "within": 60}))
    await worker.until_status(execution_id, "waiting")
    worker.crash(execution_id)
    await worker.until_status(execution_id, "failed")
    row = (await listed("--server", worker.url)).lines[-2]
    assert f"{execution_id} failed (poison)" in row
    assert " 1 AssertionError: " in row


async def test_engine_tells_what_was_refused(worker: Worker) -> None:
    execution_id = await worker.start(workflow(approval("consent")))
    await worker.until_status(execution_id, "waiting")
    for _ in range(2):
        worker.actor(execution_id).tell(NodeFinished("consent", None, 7, 1, "a forgery", NO_USAGE, 2e9))
    ended = await listed("--server", worker.url, "--dead-letters")
    assert [row.split()[1:3] for row in ended.lines[1:-1]] == [["stale", execution_id]] * 2
    assert ended.lines[-1] == "2 shown of 2 dead letters (stale 2)"
