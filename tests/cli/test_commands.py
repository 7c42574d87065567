"""Commands as processes that ask a server: what is sent, what is printed, the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from offbook.cli.exits import ExitCode
from offbook.web.app import create_app
from offbook.web.server import serve_app
from offbook.web.settings import WebSettings
from tests.cli.conftest import Run, Spawn, ended, environment, line_with
from tests.web.dummy_service import DummyExecution, DummyService

WORKFLOW = "name: dummy\ninputs:\n  chapters: {type: integer}\nnodes:\n  - {id: a, type: output}\n"
UNKNOWN = "e" * 32
ERROR = {"type": "rate_limit", "message": "slow down", "node_id": "chapters", "item": 1, "hint": "wait a while"}


LOADED = "import offbook.cli.main, sys; print(*sys.modules)"
HEAVY = {"offbook.engine", "offbook.nodes", "jinja2", "pydantic", "sqlalchemy"}


def test_command_that_only_asks_a_server_waits_for_no_engine_to_be_loaded() -> None:
    ended = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert HEAVY & set(ended.stdout.split()) == set()


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    (tmp_path / "flow.yaml").write_text(WORKFLOW)
    return "flow.yaml"


@pytest.fixture
def completing(service: DummyService) -> DummyService:
    """Executions complete as soon as they are started."""
    service.on_start = lambda execution: execution.change(status="completed", result="a book")
    return service


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        (("--tokens", "500"), {"tokens": 500, "mode": "hard"}),
        (("--tokens", "0"), {"tokens": 0, "mode": "hard"}),
        (("--money", "0.50", "--warn"), {"money": "0.50", "mode": "warn"}),
        ((), None),
    ],
)
async def test_run_sends_a_budget(
    offbook: Run, server: str, completing: DummyService, workflow: str, given: tuple[str, ...], budget: object
) -> None:
    run = await offbook("run", workflow, "--user", "ada", *given, "--server", server)
    assert (run.code, run.err) == (0, "")
    (execution,) = completing.executions.values()
    assert execution.budget == budget


async def test_run_prints_the_result(offbook: Run, server: str, completing: DummyService, workflow: str) -> None:
    run = await offbook(
        "run", workflow, "--input", "chapters=3", "--user", "ada", "--label", "team=x", "--server", server
    )
    assert (run.code, run.err) == (0, "")
    assert "completed" in run.out
    assert "a book" in run.out
    execution = next(iter(completing.executions.values()))
    assert execution.execution_id in run.out
    assert (execution.user.id, execution.inputs, execution.labels) == ("ada", {"chapters": 3}, {"team": "x"})


async def test_run_as_json_prints_nothing_but_the_status(
    offbook: Run, server: str, completing: DummyService, workflow: str
) -> None:
    run = await offbook("run", workflow, "--json", "--watch", "--server", server, OFFBOOK_USER="ada")
    assert run.code == 0
    assert json.loads(run.out)["result"] == "a book"
    assert "execution: completed" in run.err


async def test_failed_run_tells_why_and_how_to_go_on(
    offbook: Run, server: str, service: DummyService, workflow: str
) -> None:
    service.on_start = lambda execution: execution.change(status="failed", error=ERROR)
    run = await offbook("run", workflow, "--user", "ada", "--server", server)
    execution_id = next(iter(service.executions))
    assert run.code == 1
    assert "chapters[1]: rate_limit: slow down" in run.out
    assert "wait a while" in run.out
    assert f"offbook resume {execution_id} --server {server}" in run.err


async def test_run_without_a_user_is_a_usage_error(offbook: Run, server: str, workflow: str) -> None:
    run = await offbook("run", workflow, "--server", server)
    assert run.code == 2
    assert "--user" in run.err
    assert "Traceback" not in run.err


async def test_run_of_a_bad_document_names_every_problem_and_starts_nothing(
    offbook: Run, server: str, service: DummyService, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("description: nothing\n")
    run = await offbook("run", "bad.yaml", "--user", "ada", "--server", server)
    assert run.code == 1
    assert "2 problems" in run.err
    assert re.search(r"^1 .*missing-nodes .*there are no nodes .*add one$", run.err, re.MULTILINE)
    assert service.executions == {}


async def test_run_of_a_registered_name(offbook: Run, server: str, completing: DummyService) -> None:
    document = {"inputs": {"chapters": {"type": "integer"}}, "nodes": []}
    completing.workflows["f" * 64] = completing.workflows["dummy"] = {"fingerprint": "f" * 64, "document": document}
    run = await offbook("run", "dummy", "--input", "chapters=3", "--user", "ada", "--server", server)
    assert run.code == 0
    execution = next(iter(completing.executions.values()))
    assert (execution.workflow, execution.inputs) == ("f" * 64, {"chapters": 3})
    assert (await offbook("run", "other", "--user", "ada", "--server", server)).code == 3
    assert (await offbook("run", "other.yaml", "--user", "ada", "--server", server)).code == 2


async def test_detached_run_ends_once_it_is_accepted(
    offbook: Run, server: str, service: DummyService, workflow: str
) -> None:
    run = await offbook("run", workflow, "--user", "ada", "--detach", "--server", server)
    assert run.code == 0
    assert run.out == f"execution {next(iter(service.executions))}\n"


async def test_watch_in_a_pipe_prints_a_line_for_each_change(
    spawn: Spawn, server: str, service: DummyService
) -> None:
    execution = service.add(nodes={"outline": _node("running"), "book": _node("pending")})
    process = await spawn("status", execution.execution_id, "--watch", "--server", server)
    assert await line_with(process, "outline") == "outline: running"
    execution.change(nodes={"outline": _node("completed"), "book": _node("running")})
    assert await line_with(process, "outline") == "outline: completed"
    execution.change(status="completed", nodes={"outline": _node("completed"), "book": _node("completed")})
    rest = await ended(process)
    assert rest.code == 0
    assert "book: completed" in rest.out


async def test_watch_on_a_terminal_draws(
    server: str, completing: DummyService, workflow: str, tmp_path: Path
) -> None:
    def play(execution: DummyExecution) -> None:
        execution.change(nodes={"chapters": {**_node("running"), "items": {"completed": 1, "failed": 0, "total": 3}}})

    completing.on_start = play
    ours, theirs = pty.openpty()
    arguments = ["run", workflow, "--user", "ada", "--watch", "--server", server]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "offbook.cli",
        *arguments,
        cwd=tmp_path,
        env=environment(TERM="xterm", COLUMNS="100"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    screen = ""
    async with asyncio.timeout(60):
        async for text in _read(ours):
            screen += text
            if "1/3 items" in screen:
                next(iter(completing.executions.values())).change(status="completed", result="a book")
        assert await process.wait() == 0
    assert "\x1b[" in screen
    assert "a book" in screen


async def test_ctrl_c_pauses_then_cancels_what_a_server_runs(
    spawn: Spawn, server: str, service: DummyService, workflow: str
) -> None:
    process = await spawn("run", workflow, "--user", "ada", "--watch", "--server", server)
    await line_with(process, "execution: running")
    execution = next(iter(service.executions.values()))
    process.send_signal(signal.SIGINT)
    await line_with(process, "execution: paused")
    assert execution.status == "paused"
    process.send_signal(signal.SIGINT)
    await line_with(process, "execution: cancelled")
    process.send_signal(signal.SIGINT)
    run = await ended(process)
    assert run.code == 130
    assert f"offbook resume {execution.execution_id} --server {server}" in run.err
    assert "Traceback" not in run.err


async def test_ctrl_c_on_status_only_ends_the_watching(spawn: Spawn, server: str, service: DummyService) -> None:
    execution = service.add()
    process = await spawn("status", execution.execution_id, "--watch", "--server", server)
    await line_with(process, "execution: running")
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 130
    assert execution.status == "running"
    # The server still waits for news on behalf of who has gone.
    execution.change(status="completed")


async def test_resume_passes_guidance_on(offbook: Run, server: str, service: DummyService) -> None:
    execution = service.add(status="failed")
    done = await offbook(
        "resume", execution.execution_id, "--guidance", "shorter", "--detach", "--server", server, OFFBOOK_USER="eve"
    )
    assert (done.code, execution.guidance, execution.epoch) == (0, "shorter", 2)
    other = await offbook("resume", execution.execution_id, "--user", "eve", "--server", server)
    assert other.code == 1
    assert "another user" in other.err


async def test_steering_commands(offbook: Run, server: str, service: DummyService) -> None:
    execution = service.add()
    for command, status in (("pause", "paused"), ("cancel", "cancelled")):
        assert (await offbook(command, execution.execution_id, "--server", server)).code == 0
        assert execution.status == status
    sent = await offbook("signal", execution.execution_id, "approve", "--payload", '{"ok": 1}', "--server", server)
    assert (sent.code, execution.signals) == (0, [("approve", {"ok": 1})])
    assert (await offbook("delete", execution.execution_id, "--server", server)).code == 0
    assert service.executions == {}


async def test_status_and_outputs(offbook: Run, server: str, service: DummyService) -> None:
    execution = service.add(nodes={"outline": _node("completed")}, status="failed", error=ERROR)
    shown = await offbook("status", execution.execution_id, "--server", server)
    assert shown.code == 0
    assert "outline: completed" in shown.out
    assert "rate_limit" in shown.out
    as_json = await offbook("status", execution.execution_id, "--json", OFFBOOK_SERVER=server)
    assert json.loads(as_json.out) == execution.payload(None)
    one = await offbook("output", execution.execution_id, "chapters", "--item", "1", "--server", server)
    assert one.out == "two\n"
    every = await offbook("output", execution.execution_id, "chapters", "--server", server)
    assert json.loads(every.out) == ["one", "two"]


@pytest.mark.parametrize("command", ["status", "resume", "cancel", "pause", "delete"])
async def test_unknown_execution_is_exit_code_3(offbook: Run, server: str, command: str) -> None:
    done = await offbook(command, UNKNOWN, "--server", server)
    assert done.code == ExitCode.NOT_FOUND
    assert done.err.startswith(f"error: no execution {UNKNOWN}")
    assert "hint: " in done.err


async def test_list_filters_and_pages(offbook: Run, server: str, service: DummyService) -> None:
    ids = [service.add(status=status).execution_id for status in ("failed", "running", "failed")]
    listed = await offbook("list", "--status", "failed", "--limit", "1", "--server", server)
    assert listed.code == 0
    assert ids[0] in listed.out
    assert ids[1] not in listed.out
    assert "more: --cursor more" in listed.out
    page = json.loads((await offbook("list", "--json", "--server", server)).out)
    assert [row["execution_id"] for row in page["executions"]] == ids
    assert (await offbook("list", "--status", "done", "--server", server)).code == 1


async def test_validate_on_a_server(offbook: Run, server: str, workflow: str, tmp_path: Path) -> None:
    assert (await offbook("validate", workflow, "--server", server)).code == 0
    (tmp_path / "bad.yaml").write_text("description: nothing\n")
    bad = await offbook("validate", "bad.yaml", "--json", "--server", server)
    assert bad.code == 1
    assert [error["line"] for error in json.loads(bad.out)["errors"]] == [1, 1]


async def test_token_comes_from_the_environment(offbook: Run, service: DummyService) -> None:
    async with serve_app(create_app(service, WebSettings(internal_token="sesame"))) as url:
        refused = await offbook("list", "--server", url)
        assert refused.code == 1
        assert "OFFBOOK_INTERNAL_TOKEN" in refused.err
        assert (await offbook("list", "--server", url, OFFBOOK_INTERNAL_TOKEN="sesame")).code == 0


async def test_data_folder_leads_to_its_server(
    offbook: Run, server: str, service: DummyService, tmp_path: Path
) -> None:
    execution = service.add(status="failed")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "server.json").write_text(json.dumps({"url": server, "pid": os.getpid()}))
    shown = await offbook("status", execution.execution_id, "--data-dir", "data")
    assert (shown.code, "failed" in shown.out) == (0, True)


async def test_missing_data_folder_is_not_created(offbook: Run, tmp_path: Path) -> None:
    done = await offbook("list", "--data-dir", "nothing")
    assert done.code == 2
    assert "--data-dir" in done.err
    assert os.listdir(tmp_path) == []


async def test_server_that_is_not_there_is_told(offbook: Run) -> None:
    done = await offbook("list", "--server", "http://127.0.0.1:9")
    assert done.code == 1
    assert "no Offbook server answers at http://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments", [["status"], ["nothing"], ["signal", UNKNOWN, "go", "--payload", "{"], ["run", "no.yaml"]]
)
async def test_wrong_usage_is_exit_code_2(offbook: Run, server: str, arguments: list[str]) -> None:
    done = await offbook(*arguments, OFFBOOK_SERVER=server)
    assert done.code == 2
    assert "Traceback" not in done.err


def _node(status: str) -> dict[str, object]:
    usage = {"input_tokens": 0, "output_tokens": 0, "estimated": False}
    return {"status": status, "attempt": 1, "usage": usage, "error": None}


async def _read(descriptor: int) -> AsyncIterator[str]:
    """Read what a terminal shows until its process has gone."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            piece = await loop.run_in_executor(None, os.read, descriptor, 65536)
        except OSError:
            break
        if not piece:
            break
        yield piece.decode(errors="replace")
    os.close(descriptor)
