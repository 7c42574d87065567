"""Real engines with servers in front, and real `offbook serve` processes, for scripts to ask."""

from __future__ import annotations

from tests.cli.conftest import spawn
from tests.scenarios.conftest import functions, model, nothing_left, opened, worker, workers

__all__ = ["functions", "model", "nothing_left", "opened", "spawn", "worker", "workers"]
