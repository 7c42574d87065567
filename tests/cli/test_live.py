"""`offbook watch`: executions as they change, for those on a terminal far away."""

from __future__ import annotations

import asyncio
import io
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rich.console import Console

from offbook.cli.exits import ExitCode
from offbook.cli.live import ExecutionList
from offbook.cli.local_events import MOST_BYTES, QueuedStream, read_events
from offbook.cli.tree import Shape, render_tree
from offbook.cli.watched import Watched
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.workflows.caller import OPERATOR
from offbook.workflows.values import format_time
from tests.cli.conftest import Run, Spawn, ended, line_with
from tests.cli.test_watched import first, node, payload, step

STORY = {
    "name": "story",
    "nodes": [
        {"id": "outline", "type": "template", "config": {"text": "Three chapters."}},
        {"id": "yes", "type": "approval", "needs": ["outline"]},
        {"id": "book", "type": "output", "needs": ["yes", "outline"], "config": {"value": "done"}},
    ],
}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(EngineSettings(data_dir=tmp_path / "engine")) as engine:
        yield engine


async def test_one_is_watched_to_its_end_though_the_server_goes_away(spawn: Spawn, engine: Engine) -> None:
    async with serve_app(create_app(engine.service)) as url:
        execution_id = await engine.start(STORY, user="ada")
        process = await spawn("watch", execution_id, "--server", url)
        assert await line_with(process, "waiting") == "execution: waiting for signal yes"
    await line_with(process, "the server is away")
    async with serve_app(create_app(engine.service), "127.0.0.1", urlsplit(url).port or 0):
        await engine.service.signal(execution_id, "yes", {}, caller=OPERATOR)
        end = await ended(process)
    assert (end.code, end.err) == (0, "")
    assert "book: completed" in end.out
    assert end.out.endswith("done\n")


async def test_ctrl_c_leaves_the_execution_alone(spawn: Spawn, engine: Engine) -> None:
    async with serve_app(create_app(engine.service)) as url:
        execution_id = await engine.start(STORY, user="ada")
        process = await spawn("watch", execution_id, "--server", url)
        await line_with(process, "waiting for signal")
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).code == ExitCode.INTERRUPTED
        assert (await engine.status(execution_id))["status"] == "waiting"


async def test_list_says_what_comes_and_changes(spawn: Spawn, engine: Engine) -> None:
    async with serve_app(create_app(engine.service)) as url:
        old = await engine.start(STORY, user="ada")
        process = await spawn("watch", "--server", url)
        assert await line_with(process, old)
        new = await engine.start(STORY, user="ada")
        assert await line_with(process, f"{new} waiting")
        await engine.service.cancel(new, caller=OPERATOR)
        assert await line_with(process, f"{new} cancelled")
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).code == ExitCode.INTERRUPTED


async def test_who_is_not_there_is_not_found(offbook: Run, engine: Engine) -> None:
    async with serve_app(create_app(engine.service)) as url:
        assert (await offbook("watch", "e" * 32, "--server", url)).code == ExitCode.NOT_FOUND
    assert (await offbook("watch", "--server", url)).code == ExitCode.FAILED


def drawn(watched: Watched, shape: Shape) -> list[str]:
    out = Console(file=io.StringIO(), width=100, force_terminal=False)
    out.print(render_tree(watched, shape))
    text = out.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def test_nodes_stand_below_what_they_need() -> None:
    watched = Watched()
    nodes = {"book": node("pending"), "picture": node("skipped"), "outline": node("completed")}
    watched.apply(payload(10, partial=False, node_results=nodes))
    needs = [{"id": "book", "needs": ["outline", {"node": "picture"}]}, {"id": "picture", "needs": ["outline"]}]
    lines = drawn(watched, Shape({"nodes": [*needs, {"id": "outline"}]}))
    tree = [line for line in lines if any(mark in line for mark in "✔-·") and "──" in line]
    assert [line.split()[-2:] for line in tree] == [
        ["outline", "completed"],
        ["picture", "skipped"],
        ["after", "outline"],
    ]
    assert [line.index("──") for line in tree] == [1, 5, 9]


def test_items_steps_thoughts_and_text_are_drawn_while_it_runs() -> None:
    watched = Watched()
    watched.apply(first())
    text = "\n".join(drawn(watched, Shape(None)))
    for shown in ("▶ chapters", "1/3 items", "[1] It rained", "started", "who is she?", "120 in, ~3400 out"):
        assert shown in text


def test_large_workflow_leaves_the_screen_room_for_what_it_says() -> None:
    watched = Watched()
    nodes = {f"n{number}": node("completed") for number in range(40)}
    nodes |= {"writes": node("running"), "asks": node("waiting")} | {
        f"p{number}": node("pending") for number in range(9)
    }
    watched.apply(
        payload(10, partial=False, node_results=nodes, processing_steps=[step(1, "text", "It rained. " * 60)])
    )
    out = Console(file=io.StringIO(), width=60, height=24, force_terminal=True, color_system=None)
    out.print(render_tree(watched, Shape(None)))
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) < 24
    text = "\n".join(lines)
    for shown in ("▶ writes", "… asks", "✔ n39", "It rained.", "completed, 9 pending"):
        assert shown in text
    assert "n0 " not in text


def test_executions_of_the_same_moment_are_listed_as_the_server_lists_them() -> None:
    listed = ExecutionList()
    for number in (1, 3, 2):
        row = {"execution_id": f"{number:032x}", "status": "running", "percent": 0.0, "created_at": format_time(1.0)}
        listed.hear("execution", row)
    assert [int(each, 16) for each in listed.rows] == [3, 2, 1]


@pytest.mark.parametrize("width", [80, 140])
def test_list_has_ids_to_copy_on_every_terminal(width: int) -> None:
    listed = ExecutionList()
    row = {
        "execution_id": "0123456789abcdef" * 2,
        "workflow": {"name": "a workflow with a name that is far too long for a column"},
        "status": "interrupted",
        "percent": 100.0,
        "user_id": "somebody@somewhere.example.org",
        "usage": {"input_tokens": 1000, "output_tokens": 97_000},
        "cost": {"amount": "0.0390025", "currency": "USD"},
        "created_at": format_time(time.time() - 7300),
    }
    listed.load([row])
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    out.print(listed.draw())
    head, line = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line) <= width
    for shown in ("0123456789abcdef0123456789abcdef", "interrupted", "100", "2 h", "a work", "some"):
        assert shown in line
    assert ("0.0390 USD" in line, "98000" in line, "cost" in head) == (width > 100,) * 3


async def test_reader_in_this_process_that_is_too_slow_is_cut_off() -> None:
    stream = QueuedStream()
    stream.send(b"x" * MOST_BYTES)
    assert not stream.cut.done()
    stream.send(b"x")
    assert stream.cut.done()


async def test_what_goes_wrong_in_this_process_is_raised_to_the_reader() -> None:
    async def follow(stream: QueuedStream) -> None:
        stream.send(b"id: 1\nevent: snapshot\ndata: {}\n\n")
        await asyncio.sleep(0)
        raise ValueError("broken")

    events = read_events(follow)
    assert (await anext(events)).name == "snapshot"
    with pytest.raises(ValueError, match="broken"):
        await anext(events)
