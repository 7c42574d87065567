"""How long several things took that were side by side: each second counts once. Reads no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K")


def shares(spans: Iterable[tuple[K, float, float]]) -> dict[K, float]:
    """Give each span (key, begin, end) the seconds of it that no span before it has; their sum is the time of all."""
    found: dict[K, float] = {}
    covered = float("-inf")
    for key, begin, end in sorted(spans, key=lambda span: span[1:]):
        found[key] = max(0.0, end - max(begin, covered))
        covered = max(covered, end)
    return found
