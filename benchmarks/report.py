"""What every benchmark shares: its result, how that is printed, its arguments, its medians. Measures nothing."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import orjson

from offbook.workflows.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Result:
    """The figure of one benchmark."""

    name: str
    """Of the module, and of its row in docs/performance.md."""
    value: float
    unit: str
    target: float
    """At least that; at most, if `lower_is_better`."""
    baseline: JsonValue
    """What it was compared with, measured in the same run; None if with nothing."""
    details: JsonObject = field(default_factory=dict)
    """What the value was made of."""
    lower_is_better: bool = False
    also_met: bool = True
    """Whether what else the row asks for, told in `details`, is reached too."""

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        reached = self.value <= self.target if self.lower_is_better else self.value >= self.target
        return reached and self.also_met


def arguments(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Build the parser that all have; a benchmark adds its own arguments."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with the result as one line of JSON")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each side is measured, in turns")
    return parser


def spread(samples: Sequence[float]) -> JsonObject:
    """Return median, least and most of what was measured."""
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples)}


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result for people, or as the JSON object that the last line has to be."""
    if as_json:
        print(orjson.dumps({**asdict(result), "met": result.met}).decode())
        return
    bound = "at most" if result.lower_is_better else "at least"
    verdict = "met" if result.met else "missed"
    print(f"{result.name}: {result.value:.4g} {result.unit} (target {bound} {result.target:g}: {verdict})")
    for title, value in (("baseline", result.baseline), *result.details.items()):
        print(f"  {title}: {orjson.dumps(value).decode()}")
