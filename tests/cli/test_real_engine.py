"""The `offbook` command over its own engine, in real processes that end, are interrupted and begin again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.cli.conftest import Run, Spawn, ended, line_with
from tests.web.novella import ALWAYS_FAILS, FAILS_ONCE, SLOW, novella

RUN = ("run", "flow.yaml", "--input", "premise=rain", "--user", "ada", "--data-dir", "data")


WriteFlow = Callable[..., None]


@pytest.fixture
def flow(tmp_path: Path) -> WriteFlow:
    """Give `flow(chapter_script=...)`, which writes flow.yaml."""

    def write(**options: object) -> None:
        text = yaml.safe_dump(novella(**options), sort_keys=False)  # type: ignore[arg-type]
        (tmp_path / "flow.yaml").write_text(text)

    return write


async def test_run_completes_with_the_result(offbook: Run, flow: WriteFlow, tmp_path: Path) -> None:
    flow()
    run = await offbook(*RUN, "--watch")
    assert (run.code, run.err) == (0, "")
    assert "chapters: completed 3 of 3 items" in run.out
    assert "2 database writes, 0 reads" in run.out
    assert run.out.endswith("a chapter / a chapter / a chapter\n")
    assert not (tmp_path / "data" / "server.json").exists()


async def test_run_keeps_to_its_own_budget(spawn: Spawn, offbook: Run, flow: WriteFlow) -> None:
    flow()
    process = await spawn(*RUN, "--watch", "--tokens", "0")
    execution_id = (await line_with(process, "execution ")).split()[1]
    await line_with(process, "waiting")
    waits = json.loads((await offbook("status", execution_id, "--json", "--data-dir", "data")).out)
    assert (waits["status"], waits["waiting"]["kind"]) == ("waiting", "budget")
    shown = (await offbook("status", execution_id, "--data-dir", "data")).out.splitlines()
    assert shown[-1] == "waiting for budget 0 tokens for this execution"
    raised = ("budget", "set", "--execution", execution_id, "--tokens", "900000", "--data-dir", "data")
    assert (await offbook(*raised)).code == 0
    run = await ended(process)
    assert (run.code, run.err) == (0, "")
    assert run.out.endswith("a chapter / a chapter / a chapter\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--tokens", "5", "--money", "1"), "give either tokens or money"),
        (("--warn",), "give either tokens or money"),
        (("--money", "much"), "must be text"),
    ],
)
async def test_budget_that_makes_no_sense_is_refused_as_budget_set_refuses_it(
    offbook: Run, flow: WriteFlow, tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    flow()
    run = await offbook(*RUN, *given)
    told = await offbook("budget", "set", "--execution", "0" * 32, *given, "--data-dir", "data")
    assert (run.code, told.code) == (1, 1)
    assert said in run.err
    assert run.err == told.err


async def test_failed_run_is_resumed_by_the_command_it_prints(offbook: Run, flow: WriteFlow) -> None:
    flow(chapter_script=FAILS_ONCE)
    run = await offbook(*RUN)
    assert run.code == 1
    assert "chapters[1]: invalid_key" in run.out
    assert "Traceback" not in run.err
    command = _printed_command(run.err)
    assert command[0] == "resume"
    resumed = await offbook(*command)
    assert resumed.code == 0
    assert "kept 1 nodes and 1 items" in resumed.out
    assert resumed.out.endswith("a chapter / a chapter / a chapter\n")
    status = await offbook("status", command[1], "--json", "--data-dir", "data")
    payload = json.loads(status.out)
    assert (payload["status"], payload["source"]) == ("completed", "database")
    again = await offbook(*command)
    assert again.code == 1
    assert "cannot be resumed" in again.err


async def test_resume_for_another_user_is_refused(offbook: Run, flow: WriteFlow) -> None:
    flow(chapter_script=ALWAYS_FAILS)
    command = _printed_command((await offbook(*RUN)).err)
    refused = await offbook(*command, "--user", "eve")
    assert refused.code == 1
    assert "Traceback" not in refused.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_run_saves_its_checkpoint_and_says_how_to_go_on(
    spawn: Spawn,
    offbook: Run,
    flow: WriteFlow,
    number: signal.Signals,
) -> None:
    flow(chapter_script=SLOW)
    process = await spawn(*RUN, "--watch")
    await line_with(process, "chapters: running 0 of 3 items")
    process.send_signal(number)
    run = await ended(process)
    assert run.code == 130
    assert "Traceback" not in run.err
    command = _printed_command(run.err)
    payload = json.loads((await offbook("status", command[1], "--json", "--data-dir", "data")).out)
    assert (payload["status"], payload["checkpoint"]["saved"]) == ("interrupted", True)
    assert payload["node_results"]["outline"]["status"] == "completed"


async def test_running_execution_is_seen_and_cancelled_from_another_terminal(
    spawn: Spawn, offbook: Run, flow: WriteFlow
) -> None:
    flow(chapter_script=SLOW)
    process = await spawn(*RUN, "--watch")
    execution_id = (await line_with(process, "execution ")).split()[1]
    await line_with(process, "chapters: running 0 of 3 items")
    seen = json.loads((await offbook("status", execution_id, "--json", "--data-dir", "data")).out)
    assert (seen["status"], seen["source"]) == ("running", "memory")
    # What ran in that process would end with it.
    second = await offbook(*RUN)
    assert second.code == 1
    assert "belongs to process" in second.err
    assert (await offbook("cancel", execution_id, "--data-dir", "data")).code == 0
    run = await ended(process)
    assert run.code == 1
    assert "execution: cancelled" in run.out


async def test_validate_names_lines(offbook: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "name: bad\nnodes:\n  - id: a\n    type: novelist\n  - id: b\n    type: output\n    needs: [nobody]\n"
    )
    bad = await offbook("validate", "bad.yaml")
    assert bad.code == 1
    assert re.search(r"^[34] +a +", bad.out, re.MULTILINE)
    assert re.search(r"^[567] +b +.*nobody", bad.out, re.MULTILINE)
    refused = await offbook("run", "bad.yaml", "--user", "ada", "--data-dir", "data")
    assert refused.code == 1
    assert re.search(r"^[34] +a +", refused.err, re.MULTILINE)


async def test_validate_accepts_what_runs(offbook: Run, flow: WriteFlow, tmp_path: Path) -> None:
    flow()
    assert (await offbook("validate", "flow.yaml")).out == "flow.yaml: valid\n"
    assert not (tmp_path / "offbook-data").exists()


async def test_bad_inputs_are_named(offbook: Run, flow: WriteFlow) -> None:
    flow()
    run = await offbook("run", "flow.yaml", "--user", "ada", "--data-dir", "data")
    assert run.code == 1
    assert "premise" in run.err


async def test_schema_is_json(offbook: Run) -> None:
    assert "properties" in json.loads((await offbook("schema")).out)


async def test_unknown_execution_is_exit_code_3(offbook: Run, flow: WriteFlow) -> None:
    flow()
    await offbook(*RUN)
    assert (await offbook("status", "e" * 32, "--data-dir", "data")).code == 3


async def test_server_takes_over_commands_and_drains_at_sigterm(
    spawn: Spawn, offbook: Run, flow: WriteFlow, tmp_path: Path
) -> None:
    flow(chapter_script=SLOW)
    server = await spawn("serve", "--port", "0", "--data-dir", "data", OFFBOOK_INTERNAL_TOKEN="sesame")
    url = (await line_with(server, "offbook serves")).split()[-1]
    told = json.loads((tmp_path / "data" / "server.json").read_text())
    assert told == {"url": url, "pid": server.pid}
    run = await offbook(*RUN, "--detach", OFFBOOK_INTERNAL_TOKEN="sesame")
    assert run.code == 0
    execution_id = run.out.split()[1]
    refused = await offbook("status", execution_id, "--data-dir", "data")
    assert refused.code == 1
    assert "OFFBOOK_INTERNAL_TOKEN" in refused.err
    async with aiohttp.ClientSession(headers={"X-Internal-Auth": "sesame"}) as session:
        poll = asyncio.create_task(session.get(f"{url}/status/{execution_id}?since={2**60}&wait=60"))
        async with session.get(f"{url}/healthz") as response:
            assert response.status == 200
        server.send_signal(signal.SIGTERM)
        stopped = await ended(server)
        await asyncio.gather(poll, return_exceptions=True)
    assert stopped.code == 0
    assert "Traceback" not in stopped.err
    assert "sesame" not in stopped.err
    assert not (tmp_path / "data" / "server.json").exists()
    payload = json.loads((await offbook("status", execution_id, "--json", "--data-dir", "data")).out)
    assert (payload["status"], payload["checkpoint"]["saved"]) == ("interrupted", True)


async def test_server_without_token_refuses_the_network(offbook: Run) -> None:
    refused = await offbook("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2
    assert "OFFBOOK_INTERNAL_TOKEN" in refused.err


async def test_data_folder_has_one_owner(spawn: Spawn, offbook: Run) -> None:
    server = await spawn("serve", "--port", "0", "--data-dir", "data")
    await line_with(server, "offbook serves")
    second = await offbook("serve", "--port", "0", "--data-dir", "data")
    assert second.code == 1
    assert "belongs to process" in second.err


async def test_port_that_is_taken_is_told(spawn: Spawn, offbook: Run) -> None:
    server = await spawn("serve", "--port", "0", "--data-dir", "data")
    url = (await line_with(server, "offbook serves")).split()[-1]
    second = await offbook("serve", "--port", url.rpartition(":")[2], "--data-dir", "other")
    assert second.code == 1
    assert "Traceback" not in second.err
    assert "--port" in second.err


async def test_database_is_upgraded_by_hand(offbook: Run, tmp_path: Path) -> None:
    assert (await offbook("db", "current", "--data-dir", "data")).code == 3
    assert os.listdir(tmp_path) == []
    upgraded = await offbook("db", "upgrade", "--data-dir", "data")
    assert upgraded.code == 0
    assert upgraded.out.startswith("schema ")
    assert (await offbook("db", "current", "--data-dir", "data")).out == upgraded.out


async def test_module_that_is_not_there_is_a_usage_error(offbook: Run, flow: WriteFlow) -> None:
    flow()
    for command in (RUN, ("validate", "flow.yaml"), ("serve", "--port", "0")):
        done = await offbook(*command, "--import", "nothing_of_the_kind")
        assert done.code == 2
        assert "--import nothing_of_the_kind" in done.err
        assert "Traceback" not in done.err


async def test_setting_that_makes_no_sense_is_a_usage_error(offbook: Run) -> None:
    done = await offbook("serve", "--port", "0", OFFBOOK_RETAIN_SECONDS="long", OFFBOOK_MAX_LIVE="many")
    assert done.code == 2
    assert "OFFBOOK_MAX_LIVE" in done.err or "OFFBOOK_RETAIN_SECONDS" in done.err
    assert "Traceback" not in done.err


def _printed_command(text: str) -> list[str]:
    """Return the words after `offbook` of the command that is to be typed."""
    line = next(line for line in text.splitlines() if line.startswith("to go on: offbook "))
    return shlex.split(line.removeprefix("to go on: offbook "))


async def test_limits_that_make_no_sense_are_a_usage_error_with_every_line(offbook: Run, tmp_path: Path) -> None:
    (tmp_path / "limits.toml").write_text("[provider.openai]\nconcurrency = 0\n\n[node_type.lm]\nper_minute = 5\n")
    done = await offbook("serve", "--port", "0", "--data-dir", "data", "--limits", "limits.toml")
    assert done.code == 2, done.err
    assert "line 2, provider.openai.concurrency: must be a whole number, 1 or more" in done.err
    assert "line 4, node_type.lm: there is no node type 'lm'" in done.err
    assert "Traceback" not in done.err
