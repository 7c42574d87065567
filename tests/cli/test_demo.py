"""The demo as a real process: the model is lost in chapter 2, the worker in chapter 3, and the book is finished."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from offbook.cli.demo_stage import novella
from offbook.cli.demo_writers import ScriptedWriter
from offbook.cli.local_model import LocalModelMissing, check_installed
from tests.cli.conftest import Run, Spawn, ended, line_with

DEMO = ("demo", "--provider", "scripted", "--data-dir", "data", "--output", "books")


async def test_demo_loses_model_and_worker_and_ends_with_the_book(offbook: Run, tmp_path: Path) -> None:
    run = await offbook(*DEMO)
    assert (run.code, run.err) == (0, "")
    told = iter(run.out.splitlines())
    for line in (
        "chapters: failed 1 of 3 items (1 failed) - dropped",
        "execution user   demo",
        "failed node      chapters, chapter 2",
        "completed nodes  world, characters, plot, outline",
        "chapters kept    1 (180 words)",
        "from its database: failed, for demo",
        "kept 4 nodes and 1 items, repeated 0 calls",
        "chapters: running 2 of 3 items",
        "got SIGKILL",
        "chapters kept    1 (180 words), 2 (180 words)",
        "cut off          chapter 3, after ",
        "has taken it up from the journal: ",
        "chapters: completed 3 of 3 items",
        "kept 4 nodes and 2 items, repeated 1 calls",
        "chapter 1        attempt 1            kept, word for word",
        "chapter 2        attempt 4            kept, word for word",
        "chapter 3        attempt 1, repeated  cut off after ",
        "4 database writes, 2 reads",
        str(tmp_path / "books" / "the-lamp-on-karli-road.html"),
    ):
        assert any(line in each for each in told), f"{line!r} does not come in its place:\n{run.out}"
    assert len(set(re.findall(r"^worker (\d+) (?:serves|knows|has taken)", run.out, re.MULTILINE))) == 3
    book = (tmp_path / "books" / "the-lamp-on-karli-road.md").read_text()
    assert re.findall(r"^## .*", book, re.MULTILINE) == ["## Chapter 1", "## Chapter 2", "## Chapter 3"]
    assert not (tmp_path / "data" / "server.json").exists()
    listed = json.loads((await offbook("list", "--json", "--data-dir", "data")).out)["executions"]
    assert [entry["status"] for entry in listed] == ["completed"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_demo_leaves_no_worker_behind(
    spawn: Spawn, offbook: Run, tmp_path: Path, number: signal.Signals
) -> None:
    process = await spawn(*DEMO)
    await line_with(process, "chapters: running")
    process.send_signal(number)
    run = await ended(process)
    assert run.code == 130
    assert "Traceback" not in run.err
    assert not (tmp_path / "data" / "server.json").exists()
    # Nobody owns the folder any more.
    assert (await offbook("list", "--data-dir", "data")).code == 0


async def test_killed_demo_leaves_no_worker_behind(spawn: Spawn, offbook: Run, tmp_path: Path) -> None:
    process = await spawn(*DEMO)
    await line_with(process, "chapters: running")
    worker = psutil.Process(json.loads((tmp_path / "data" / "server.json").read_text())["pid"])
    process.kill()
    await process.wait()
    await asyncio.to_thread(worker.wait, 60)
    assert not (tmp_path / "data" / "server.json").exists()
    # Nobody owns the folder any more, and what was live is checkpointed.
    listed = json.loads((await offbook("list", "--json", "--data-dir", "data")).out)["executions"]
    assert [entry["status"] for entry in listed] == ["interrupted"]


def test_missing_model_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(LocalModelMissing, match="xllamacpp") as refused:
        check_installed()
    assert "offbook[demo]" in refused.value.hint
    assert "--provider scripted" in refused.value.hint


def test_script_fails_the_chapter_at_every_attempt_before_a_resume() -> None:
    document = novella()
    directed = ScriptedWriter().direct(document, "chapters", 1)
    body = next(node for node in directed["nodes"] if node["id"] == "chapters")["config"]["do"]
    failures = body["config"]["script"]["fail"]
    assert [failure["attempt"] for failure in failures] == [*range(1, body["retry"]["attempts"] + 1)]
    assert {failure["item"] for failure in failures} == {1}
    assert document == novella()
