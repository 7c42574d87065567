"""Settings of an engine: what may be given in code and in variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook import EngineSettings


@pytest.mark.parametrize("name", ["data_dir", "prices", "master_key_file", "limits"])
def test_path_may_be_given_as_text(name: str) -> None:
    variables = {f"OFFBOOK_{name.upper()}": "some/where"}
    for settings in (EngineSettings(**{name: "some/where"}), EngineSettings.from_environment(variables)):  # type: ignore[arg-type]
        assert getattr(settings, name) == Path("some/where")
