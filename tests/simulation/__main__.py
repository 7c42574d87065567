"""`python -m tests.simulation --seeds COUNT --start N`, or one seed alone with `--seed N --trace`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time

from loguru import logger

from tests.simulation.auditor import PromiseBroken
from tests.simulation.simulate import simulate
from tests.simulation.statistics import Statistics

TRACED = 80
"""Lines of a failing seed's trace that are printed."""


def main() -> int:
    """Play seeds; print what they were like, each failing seed with the end of its trace, and a JSON summary."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    given = parser.parse_args()
    logger.remove()
    logging.getLogger("pykka").setLevel(logging.CRITICAL)
    first, count = (given.seed, 1) if given.seed is not None else (given.start, given.seeds)
    statistics = Statistics()
    failing: list[int] = []
    began = time.perf_counter()
    for seed in range(first, first + count):
        lines: list[str] = []
        try:
            statistics.add(simulate(seed, print if given.trace else lines.append))
        except PromiseBroken as broken:
            failing.append(seed)
            print(f"FAILED {broken}\n  again: python -m tests.simulation --seed {seed} --trace")
            print("\n".join(f"  {line}" for line in lines[-TRACED:]))
    seconds = time.perf_counter() - began
    print(statistics.report())
    missing = statistics.never_happened() if count >= 1000 else []
    if missing:
        print(f"never happened: {', '.join(missing)}")
    summary = {
        "name": "simulation",
        "seeds": count,
        "start": first,
        "failed": failing,
        "never_happened": missing,
        "seconds": round(seconds, 2),
        "seeds_per_second": round(count / seconds, 1),
        **statistics.summary(),
    }
    print(json.dumps(summary))
    return 1 if failing or missing else 0


if __name__ == "__main__":
    sys.exit(main())
