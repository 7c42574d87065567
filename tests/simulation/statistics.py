"""What a run of seeds was like, and whether every kind of fault came about at least once."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from tests.simulation.simulate import Summary

SOMETIMES = (
    "actor crashed",
    "drained",
    "killed at start",
    "killed at end",
    "killed at abort",
    "killed at before commit",
    "killed at after commit",
    "killed at before journal",
    "killed at after journal",
    "database away before commit",
    "database away after commit",
    "database away at a read",
    "journal away before commit",
    "journal away after commit",
    "resume accepted",
    "resumed twice",
    "resumed as another user",
    "pause accepted",
    "cancel accepted",
    "signal accepted",
    "forked with a change of nothing",
    "forked with a change of inputs",
    "forked with a change of workflow",
    "forked with a change of outputs",
    "output kept by a fork",
    "account crashed",
    "budget raised",
    "budget accepted",
    "held back by a budget",
    "output refused",
    "watched to the end",
    "lost the actor",
    "gap told",
)
"""What must happen in any thousand seeds, or the simulator tests less than it says."""


class Statistics:
    """Sums and distributions over seeds."""

    def __init__(self) -> None:
        self.happenings: Counter[str] = Counter()
        self._seen: list[Summary] = []

    def add(self, summary: Summary) -> None:
        self._seen.append(summary)
        self.happenings.update(summary.happenings)

    def never_happened(self) -> list[str]:
        """Return the kinds of fault that no seed had."""
        return [kind for kind in SOMETIMES if not self.happenings[kind]]

    def summary(self) -> dict[str, Any]:
        """Return the medians that say how hard the seeds were."""
        if not self._seen:
            return {}
        return {
            "median_nodes": statistics.median(each.nodes for each in self._seen),
            "median_messages": statistics.median(each.messages for each in self._seen),
            "median_crashes": statistics.median(each.crashes for each in self._seen),
            "repeats": sum(each.repeats for each in self._seen),
        }

    def report(self) -> str:
        """Describe the distribution: quartiles of nodes, messages and crashes, then how often each thing happened."""
        lines = []
        for name in ("nodes", "messages", "crashes"):
            values = sorted(getattr(each, name) for each in self._seen)
            if values:
                quarter = len(values) // 4
                lines.append(
                    f"{name}: {values[0]} / {values[quarter]} / {values[2 * quarter]} / "
                    f"{values[min(3 * quarter, len(values) - 1)]} / {values[-1]} (least, quartiles, most)"
                )
        lines += [f"{count:8d}  {kind}" for kind, count in sorted(self.happenings.items())]
        return "\n".join(lines)
