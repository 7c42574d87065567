"""What documents list is what there is: routes, problems, settings, dependencies, tests, links."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import fields

import pytest
import typer
from typer.core import TyperGroup

from offbook.cli.main import app
from offbook.settings import EngineSettings
from offbook.web.app import create_app
from offbook.web.errors import PROBLEMS
from tests.docs.pages import ROOT, pages, rows
from tests.web.dummy_service import DummyService

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
OPEN = "open"


def test_every_route_is_described() -> None:
    described = {
        (row[0], row[1].strip("`")) for row in rows(DOCS / "http.md") if row[0] in ("GET", "POST", "PUT", "DELETE")
    }
    served = {
        (route.method, route.resource.canonical)
        for route in create_app(DummyService()).router.routes()
        if route.resource is not None and route.method not in ("*", "HEAD")
    }
    assert described == served


def test_every_problem_is_described() -> None:
    described = {row[0].strip("`"): row[1] for row in rows(DOCS / "http.md") if row[0].startswith("`/problems/")}
    assert described == {f"/problems/{name}": str(kind.status) for name, kind in PROBLEMS.items()}


def test_every_setting_is_described() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    described = set(re.findall(r"OFFBOOK_[A-Z_]+[A-Z]", text))
    of_engines = {f"OFFBOOK_{field.name.upper()}" for field in fields(EngineSettings)}
    assert of_engines <= described
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    of_commands = {
        variable
        for each in command.commands.values()
        for parameter in each.params
        for variable in [parameter.envvar]
        if isinstance(variable, str)
    }
    assert of_commands <= described
    read = set()
    for folder in ("actors", "cli", "nodes", "persistence", "web", "workflows", "offbook", "scripts"):
        for path in (ROOT / folder).glob("*.py"):
            read |= set(re.findall(r"OFFBOOK_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
    assert described - of_engines - of_commands - {"OFFBOOK_KEY_OPENAI"} <= read | {"OFFBOOK_KEY"}
    assert read <= described


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {("", _name(each)) for each in project["dependencies"]}
    for extra, packages in project["optional-dependencies"].items():
        wanted |= {(extra, _name(each)) for each in packages if not each.startswith("offbook[")}
    explained = set()
    for row in rows(DOCS / "dependencies.md"):
        extra, names = ("", row[0]) if len(row) == 2 else (row[0].strip("`"), row[1])
        explained |= {(extra, name) for name in names.split(", ")}
    explained -= {("", "package"), ("extra", "package")}
    assert wanted == explained


def _name(requirement: str) -> str:
    found = re.match(r"[\w-]+", requirement)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("page", ["promises.md", "pains.md"])
def test_named_tests_exist(page: str) -> None:
    named = NAMED_TEST.findall((DOCS / page).read_text(encoding="utf-8"))
    assert named
    for path, name in named:
        assert (ROOT / path).is_file(), path
        if name:
            assert name in _tests_of(path), f"{path} has no {name}"


def test_pain_that_has_a_test_is_not_open() -> None:
    tested = {
        int(found[1])
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.finditer(r"def test_pain_(\d+)_", path.read_text(encoding="utf-8"))
    }
    listed = {int(row[0]): row[2] for row in rows(DOCS / "pains.md") if row[0].isdigit()}
    assert sorted(listed) == list(range(1, len(listed) + 1))
    assert [number for number in sorted(tested) if listed[number] == OPEN] == []


def _tests_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_links_lead_somewhere() -> None:
    for page in pages():
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(path.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
