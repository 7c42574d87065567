"""The commands about money, against a worker of their own and against a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    """A data folder that some worker has left."""
    (tmp_path / "data").mkdir()


async def test_budget_is_set_listed_and_deleted(offbook: Run) -> None:
    here = ("--data-dir", "data")
    assert (await offbook("budget", "set", "--user", "ada", "--scope", "day", "--money", "2.50", *here)).code == 0
    listed = await offbook("budget", "list", "ada", "--json", *here)
    budgets = json.loads(listed.out)["budgets"]
    assert [(each["scope"], each["money"], each["spent"], each["mode"]) for each in budgets] == [
        ("day", "2.50", "0.00", "hard")
    ]
    refused = await offbook("budget", "set", "--user", "ada", "--scope", "week", "--tokens", "5", *here)
    assert (refused.code != 0, "day" in refused.err) == (True, True)
    gone = ("budget", "delete", "--user", "ada", "--scope", "day", "--unit", "money", *here)
    assert [(await offbook(*gone)).code, (again := await offbook(*gone)).code] == [0, 3]
    assert "hint" not in again.err


async def test_usage_of_a_user_is_shown(offbook: Run) -> None:
    shown = await offbook("usage", "ada", "--data-dir", "data")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "ada: 0 tokens, 0 executions")
    report = json.loads((await offbook("usage", "ada", "--json", "--data-dir", "data")).out)
    assert (report["user_id"], report["by_day"]) == ("ada", [])


async def test_whose_budget_it_is_must_be_clear(offbook: Run) -> None:
    for whose in ((), ("--user", "ada", "--execution", "0" * 32)):
        refused = await offbook("budget", "set", "--tokens", "5", *whose, "--data-dir", "data")
        assert (refused.code != 0, "whose budget is not clear" in refused.err) == (True, True)
