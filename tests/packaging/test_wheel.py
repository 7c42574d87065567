"""A wheel, built from the sdist, works in a clean environment, beside folders that have the names of our layers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tests

ROOT = Path(tests.__file__).parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "output", "offbook-data", "node_modules"
)
LAYERS = ("actors", "cli", "nodes", "persistence", "web", "workflows")
WORKFLOW = """
format: 1
name: packaged
inputs:
  who: {type: text, required: true}
nodes:
  - {id: draft, type: llm, config: {model: scripted/writer, prompt: "To {{ inputs.who }}", script: {words: 40}}}
  - {id: told, type: python, needs: [draft], config: {function: count_words, args: {text: "{{ last_output }}"}}}
  - {id: result, type: output, needs: [told], config: {value: "{{ nodes.told.output }}"}}
"""
FUNCTIONS = """
import offbook

@offbook.node
def count_words(ctx, text):
    return len(text.split())
"""
TOP_LEVEL = """
import importlib.metadata, json
files = importlib.metadata.files("offbook")
print(json.dumps(sorted({file.parts[0] for file in files if file.parts[0] != ".."})))
"""

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Installed:
    """A clean environment that has the wheel and what the wheel asks for, and a folder to run it from."""

    files: frozenset[str]
    """What the package had in the sources that were built."""
    sdist: Path
    wheel: Path
    bin: Path
    folder: Path

    def run(self, *command: str) -> str:
        """Run a command of the environment from the folder; return its output, fail if it failed."""
        return _run([str(self.bin / command[0]), *command[1:]], self.folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_SOURCE)
    _run([sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(source)], folder)
    files = _files(source / "offbook")
    # So that nothing can be taken from the sources afterwards.
    shutil.rmtree(source)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    _run([sys.executable, "-m", "venv", str(folder / "clean")], folder)
    scripts = folder / "clean" / "bin"
    _run([str(scripts / "python"), "-m", "pip", "install", "--quiet", "--no-compile", str(wheel)], folder)
    yield Installed(files, sdist, wheel, scripts, _folder_of_somebody_else(folder / "theirs"))
    shutil.rmtree(folder)


def _folder_of_somebody_else(folder: Path) -> Path:
    """A project with packages called like our layers, none of which survives being imported."""
    for layer in LAYERS:
        (folder / layer).mkdir(parents=True)
        (folder / layer / "__init__.py").write_text(f"raise RuntimeError('imported their own {layer}')\n")
    (folder / "packaged.yaml").write_text(WORKFLOW)
    (folder / "functions.py").write_text(FUNCTIONS)
    return folder


def _run(command: list[str], folder: Path) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OFFBOOK_", "PYTHON"))}
    ended = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def _files(root: Path) -> frozenset[str]:
    """Every file below the package, through its links to the folders of the layers."""
    found: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [each for each in folders if not each.startswith((".", "__"))]
        found |= {(Path(folder) / name).relative_to(root.parent).as_posix() for name in names}
    return frozenset(found)


def test_one_name_lands_in_site_packages(installed: Installed) -> None:
    names = json.loads(installed.run("python", "-I", "-c", TOP_LEVEL))
    (information,) = [name for name in names if name.endswith(".dist-info")]
    assert names == sorted(["offbook", information])
    assert information.startswith("offbook-")


def test_every_file_of_the_package_is_in_sdist_and_wheel(installed: Installed) -> None:
    expected = installed.files
    assert {"offbook/web/app.py", "offbook/persistence/migrations/versions/__init__.py"} <= expected
    with zipfile.ZipFile(installed.wheel) as wheel:
        assert expected - set(wheel.namelist()) == set()
    with tarfile.open(installed.sdist) as sdist:
        assert expected - {name.partition("/")[2] for name in sdist.getnames()} == set()


def test_installed_command_runs_a_workflow_and_opens_its_database(installed: Installed) -> None:
    told = installed.run(
        *("offbook", "run", "packaged.yaml", "--user", "ada", "--input", "who=Grace", "--import", "functions"),
        *("--data-dir", "data", "--json"),
    )
    payload = json.loads(told)
    assert (payload["status"], payload["result"]) == ("completed", 40)
    assert installed.run("offbook", "db", "current", "--data-dir", "data").startswith("schema ")
    stored = installed.run("offbook", "status", payload["execution_id"], "--data-dir", "data", "--json")
    assert (json.loads(stored)["source"], json.loads(stored)["result"]) == ("database", 40)


def test_installed_module_is_not_led_astray_by_the_folder_it_runs_in(installed: Installed) -> None:
    # `python -m` puts the present folder first in the search for modules.
    told = installed.run(
        "python", "-m", "offbook.cli", "list", "--data-dir", "elsewhere", "--database", "sqlite:///x.db"
    )
    assert told.splitlines()[0].split()[:2] == ["execution", "workflow"]


def test_installed_demo_finds_its_example_and_serves_it(installed: Installed) -> None:
    told = installed.run("offbook", "demo", "--provider", "scripted", "--data-dir", "demo", "--output", "book")
    assert "kept, word for word" in told
    assert list((installed.folder / "book").rglob("*.html"))
