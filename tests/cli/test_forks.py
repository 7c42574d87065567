"""The commands that plan and fork: over HTTP against a dummy service, and against a real engine."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.web.dummy_service import DummyService

FLOW = """
format: 1
name: story
inputs: {tone: {type: text, default: calm}, n: {type: integer, default: 2}}
nodes:
  - {id: outline, type: llm, config: {model: scripted/writer, prompt: An outline, script: {text: the outline}}}
  - id: chapters
    type: foreach
    needs: [outline]
    config:
      count: inputs.n
      do: {type: llm, config: {model: scripted/writer, prompt: "{{ inputs.tone }} {{ index }}", script: {words: 5}}}
  - {id: end, type: output, needs: [chapters], config: {value: "{{ nodes.chapters.output | join(' / ') }}"}}
"""


async def test_plan_of_a_resume_is_told_in_lines(offbook: Run, server: str, service: DummyService) -> None:
    execution = service.add(status="failed")
    shown = await offbook("resume", execution.execution_id, "--plan", "--server", server)
    assert (shown.code, execution.status) == (0, "failed")
    assert shown.out.splitlines() == [
        "keeps 1 nodes and 6 items: 6300 tokens, 0.0125 USD, 40.0 s",
        "runs chapters[6]: it failed: rate_limit: too many (900 tokens, 0.0125 USD)",
        "estimated: 1 calls, 900 tokens, 0.0125 USD",
    ]
    as_json = await offbook("resume", execution.execution_id, "--plan", "--json", "--server", server)
    assert json.loads(as_json.out)["keeps"]["items"] == 6


async def test_resume_with_another_workflow_says_what_differs(
    offbook: Run, server: str, service: DummyService, tmp_path: Path
) -> None:
    execution = service.add(status="failed")
    (tmp_path / "story.yaml").write_text(FLOW)
    refused = await offbook("resume", execution.execution_id, "--workflow", "story.yaml", "--server", server)
    assert (refused.code, execution.status) == (1, "failed")
    assert "chapters changed (config.prompt)" in refused.err
    assert "or fork it" in refused.err
    planned = await offbook(
        "resume", execution.execution_id, "--plan", "--workflow", "story.yaml", "--server", server
    )
    assert (planned.code, planned.out) == (1, "")
    assert "chapters changed (config.prompt)" in planned.err


async def test_fork_sends_what_is_edited(offbook: Run, server: str, service: DummyService, tmp_path: Path) -> None:
    execution = service.add(status="completed")
    (tmp_path / "story.yaml").write_text(FLOW)
    (tmp_path / "outline.md").write_text("mine\n")
    (tmp_path / "two.json").write_text('["of", "two"]')
    edits = ["--output", "outline=outline.md", "-o", "chapters[1]=two.json", "-i", "n=3", "--guidance", "brief"]
    given = ["fork", execution.execution_id, "--workflow", "story.yaml", *edits, "--server", server]
    planned = await offbook(*given, "--plan")
    assert planned.code == 0
    assert len(service.executions) == 1
    forked = await offbook(*given, "--detach")
    assert forked.code == 0
    assert len(service.executions) == 2
    first, second = service.forks.asked
    assert first == second
    assert (first.inputs, first.guidance) == ({"n": 3}, "brief")
    assert first.outputs == {"outline": "mine\n", "chapters[1]": ["of", "two"]}
    assert isinstance(first.workflow, dict)
    assert first.workflow["name"] == "story"
    for wrong in ("outline", "outline=", "outline=nothing.md"):
        assert (await offbook("fork", execution.execution_id, "--output", wrong, "--server", server)).code == 2


async def test_real_fork_keeps_what_the_edit_does_not_touch(offbook: Run, tmp_path: Path) -> None:
    (tmp_path / "story.yaml").write_text(FLOW)
    ran = await offbook("run", "story.yaml", "--user", "ada", "--json")
    assert ran.code == 0, ran.err
    execution_id = json.loads(ran.out)["execution_id"]
    planned = await offbook("fork", execution_id, "-i", "tone=dark", "--plan")
    assert planned.code == 0, planned.err
    assert "runs chapters[0]: prompt is evaluated differently" in planned.out
    assert planned.out.startswith("keeps 1 nodes and 0 items")
    forked = await offbook("fork", execution_id, "-i", "tone=dark", "--json")
    assert forked.code == 0, forked.err
    payload = json.loads(forked.out)
    assert (payload["parent"], payload["receipt"]["kept_nodes"]) == (execution_id, 1)
    assert payload["receipt"]["repeated_calls"] == 2
