"""Workflows in documents are valid, programs run, and commands are commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import offbook.examples.bookbinding  # noqa: F401 - registers what documents call
from offbook.cli.main import app
from offbook.nodes.providers import provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.loading import load_workflow
from tests.docs.pages import ROOT, Block, blocks, command_lines, pages

PROVIDERS = {"local": {"base_url": "http://127.0.0.1:8080/v1"}}
STORY = "story.yaml"


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_workflow_is_valid(block: Block) -> None:
    load_workflow(block.text, types=NodeRegistry.with_builtins(provider_registry(PROVIDERS)))


def test_pages_have_the_examples_that_they_should() -> None:
    found = {str(block.page.relative_to(ROOT)) for block in blocks("yaml")}
    assert {"README.md", "docs/workflows.md"} <= found
    assert {"README.md", "docs/python.md"} <= {str(block.page.relative_to(ROOT)) for block in blocks("python")}


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_program_runs_and_prints_what_it_says(block: Block, tmp_path: Path) -> None:
    (tmp_path / STORY).write_text(_story())
    (tmp_path / "program.py").write_text(block.text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFBOOK_")}
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    promised = re.findall(r"print\(.*\)  # (.*)", block.text)
    assert promised
    assert ended.stdout.splitlines() == promised


def _story() -> str:
    """The workflow that the README has its readers write first."""
    return next(block.text for block in blocks("yaml") if block.page.name == "README.md")


def _named_commands() -> list[tuple[str, list[str]]]:
    """The words after `offbook` wherever a page has it as a command, in shell blocks and in running text."""
    found = [(str(block), line) for block in blocks("sh") for line in command_lines(block)]
    for page in pages():
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [(page.name, text) for text in re.findall(r"`(offbook [a-z][^`\n]*)`", prose)]
    split = [(where, shlex.split(line.replace("...", "").rstrip("&; "), posix=False)) for where, line in found]
    return [(where, words[words.index("offbook") + 1 :]) for where, words in split if "offbook" in words]


@pytest.mark.parametrize(("where", "words"), _named_commands())
def test_command_has_its_name_and_its_options(where: str, words: list[str]) -> None:
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        name, *words = words
        assert name in command.commands, f"{where}: there is no command {name!r}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.fullmatch("--?[a-z][a-z-]*", word)} <= known, where


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages():
        for name in re.findall(r"(?:`|^)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


def test_scripts_exist() -> None:
    for block in blocks("sh"):
        for line in command_lines(block):
            for script in re.findall(r"(?:^|\s)((?:scripts|\.ci)/[\w.]+)", line):
                assert (ROOT / script).is_file(), f"{block}: {script}"
