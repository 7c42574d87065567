"""Stores as fixtures: `store` runs a test on all three, `database` on those that speak SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offbook.persistence.sql_store import SqlStore
from offbook.workflows.records import ExecutionStore
from tests.persistence.stores import DATABASES, STORES


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExecutionStore]:
    """An empty store of each kind."""
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """An empty store of each kind that is in a database."""
    opened = DATABASES[request.param](tmp_path)
    yield opened
    opened.close()
