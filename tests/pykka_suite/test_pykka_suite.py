"""Pykka's own test suite, run on LoopActor. It comes from Pykka's source distribution and is never kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

import offbook

RUNTIME = "loop"
PYKKAS = "threading"
TESTS_AT_LEAST = 137
"""So many tests of Pykka 4.5 are parametrized by runtime. (`-k loop` selects one more: the name of a test about
Pykka's `receive_loop` has the word in it.)
"""
LIMIT_SECONDS = 240.0

LEFT_OUT: dict[str, str] = {}
"""Tests parametrized by runtime that LoopActor need not pass: `tests/file.py::name`, and why. None so far."""

BEFORE = """
@pytest.fixture(scope="session", params=RUNTIMES.values())
def runtime("""
"""Where Pykka's conftest.py begins to use the runtimes that it has listed."""

ENTRY = f"""
from offbook.actors.loop import LoopActor, LoopFuture

RUNTIMES["{RUNTIME}"] = pytest.param(
    Runtime(
        name="{RUNTIME}",
        actor_class=LoopActor,
        event_class=threading.Event,
        future_class=LoopFuture,
        sleep_func=time.sleep,
    ),
    id="{RUNTIME}",
)
"""

pytestmark = pytest.mark.timeout(2 * LIMIT_SECONDS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test of the suite ended."""

    test: str
    runtime: str
    problem: str | None
    """Failure, error or reason of a skip; None if it passed."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch and unpack Pykka's sources, of the version that is installed, and add LoopActor to the runtimes."""
    folder = tmp_path_factory.mktemp("pykka")
    # Only Pykka itself as source: pip asks its build backend for the name, and that may come as a wheel.
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "pykka", "--dest", str(folder)]
    code, said = _run([*pip, f"pykka=={version('pykka')}"], folder)
    assert code == 0, said
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")
    unpacked = folder / archive.name.removesuffix(".tar.gz")
    conftest = unpacked / "tests" / "conftest.py"
    text = conftest.read_text()
    assert text.count(BEFORE) == 1, "Pykka's conftest.py has changed: the runtime entry has to go elsewhere"
    conftest.write_text(text.replace(BEFORE, f"{ENTRY}\n{BEFORE}"))
    return unpacked


@pytest.fixture(scope="module")
def outcomes(suite: Path) -> list[Outcome]:
    """Run the suite; those of its tests that are parametrized by runtime."""
    report = suite / "report.xml"
    pytest_run = [sys.executable, "-m", "pytest", "tests", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    root = Path(offbook.__file__).resolve().parent.parent
    code, said = _run(pytest_run, suite, PYTHONPATH=str(root), PYTEST_ADDOPTS="")
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), said
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        name, _, parameters = case.attrib["name"].removesuffix("]").partition("[")
        for runtime in {RUNTIME, PYKKAS} & set(parameters.split("-")):
            file = case.attrib["classname"].replace(".", "/") + ".py"
            problem = next((f"{what.tag}: {what.attrib.get('message', '')}" for what in case), None)
            found.append(Outcome(f"{file}::{name}", runtime, problem))
    return found


def test_loop_actor_passes_pykkas_suite(outcomes: list[Outcome]) -> None:
    failed = {each.test: each.problem for each in outcomes if each.runtime == RUNTIME and each.problem}
    assert {test: problem for test, problem in failed.items() if test not in LEFT_OUT} == {}


def test_all_tests_are_run_that_pykka_has_for_a_runtime(outcomes: list[Outcome]) -> None:
    passed = [each.test for each in outcomes if each.runtime == RUNTIME and each.problem is None]
    assert len(passed) >= TESTS_AT_LEAST - len(LEFT_OUT)
    assert sorted([*passed, *LEFT_OUT]) == sorted(each.test for each in outcomes if each.runtime == PYKKAS)


def _run(command: list[str], folder: Path, **variables: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it said."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout
