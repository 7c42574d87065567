"""What `import offbook` offers, and what it costs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import offbook
from offbook.workflows import errors

LIGHT = "import offbook, sys; print(*sorted(name for name in sys.modules if name.startswith('offbook')))"
HEAVY = "from offbook import Engine, MemoryStore; print(Engine.__module__, MemoryStore.__module__)"


@pytest.mark.parametrize("name", offbook.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(offbook, name) is not None
    assert name in dir(offbook)


def test_type_checkers_are_told_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(offbook))
    block = next(each for each in tree.body if isinstance(each, ast.If))
    told = {
        (alias.name, (each.module or "").removeprefix("offbook."))
        for each in block.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    assert told == set(offbook._MODULES.items())
    assert sorted(name for name, _ in told) == sorted(offbook.__all__)


def test_every_error_is_public() -> None:
    raised = {name for name, each in vars(errors).items() if getattr(each, "__module__", "") == errors.__name__}
    assert "ExecutionNotFound" in raised
    assert raised <= set(offbook.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Ingen"):
        _ = offbook.Ingen  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "printed"), [(LIGHT, "offbook"), (HEAVY, "offbook.engine offbook.persistence.memory_store")]
)
def test_import_alone_loads_nothing(code: str, printed: str) -> None:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == printed
