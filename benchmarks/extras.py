"""What checks and the ledger cost: executions a second with them over those without, in one engine, in turns.

Both sides run the same steps on the same text of 1 KB; only the documents differ. With the ledger each step reports
tokens of a model that has a price, so that an execution has ten rows in the books.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.report import Result, spread
from benchmarks.rounds import Round, StartOne, measure
from benchmarks.sitting import note
from benchmarks.workloads import STEPS, calls, line, registry
from offbook.engine import Engine
from offbook.settings import EngineSettings
from offbook.workflows.values import JsonObject

TARGET = 0.85
TURNS = 12
"""In a round: the shorter they are, the more alike is the machine for both sides of one."""
CHECKS: dict[str, list[str | JsonObject]] = {
    "none": [],
    "one": [{"min_words": 100}],
    "few": ["empty", "refusal", {"min_words": 100}],
    "many": ["empty", "refusal", {"min_words": 100}, "repetition", {"min_sentences": 5}],
}
"""What `--checks` makes of each output."""

_PRICES = '[models."bench/model"]\ninput = "2.50"\noutput = "10.00"\n'


@asynccontextmanager
async def _both(
    folder: Path, durability: str, database: str | None, checks: str, ledger: bool
) -> AsyncIterator[tuple[StartOne, StartOne]]:
    """Start an engine; gives what runs one execution with what is measured, and one without."""
    prices = folder / "prices.toml"
    prices.write_text(_PRICES)
    settings = EngineSettings(data_dir=folder / "data", database=database, prices=prices)
    async with Engine(settings, registry=registry()) as engine:

        async def prepare(name: str, function: str, made: list[str | JsonObject]) -> StartOne:
            step = {**calls(function), **({"checks": made} if made else {})}
            document = line(name, *(step for _ in range(STEPS)))
            fingerprint = (await engine.service.put_workflow(document))["fingerprint"]

            async def start_one() -> None:
                execution_id = await engine.start(fingerprint, user="bench", durability=durability)
                await engine.service.rest(execution_id)

            return start_one

        charged = "charged_prose" if ledger else "prose"
        yield await prepare("with", charged, CHECKS[checks]), await prepare("without", "prose", [])


def _per_second(turns: list[Round]) -> float:
    return len(turns) / sum(1 / turn.per_second for turn in turns)


async def compare_extras(
    durability: str,
    database: str | None,
    *,
    checks: str,
    ledger: bool,
    rounds: int,
    executions: int,
) -> Result:
    """Measure with and without in turns, a dozen of each in a round; the value is the median of the turns' ratios."""
    ours: list[Round] = []
    bare: list[Round] = []
    with tempfile.TemporaryDirectory() as folder:
        async with _both(Path(folder), durability, database, checks, ledger) as (with_them, without):
            for side in (with_them, without):
                await measure(side, executions // 4)
            for number in range(1, rounds + 1):
                for turn in range(TURNS):
                    # Who comes first changes, too: a machine that is shared is quick for a second, and then slow.
                    for side, taken in ((with_them, ours), (without, bare))[:: 1 if turn % 2 else -1]:
                        taken.append(await measure(side, executions // TURNS))
                mine, other = _per_second(ours[-TURNS:]), _per_second(bare[-TURNS:])
                note(f"round {number}: {mine:,.0f} of {other:,.0f} executions/s")
    ratios = [mine.per_second / other.per_second for mine, other in zip(ours, bare, strict=True)]
    by_processor = [
        other.seconds_per_1000_steps / mine.seconds_per_1000_steps for mine, other in zip(ours, bare, strict=True)
    ]
    return Result(
        name="throughput",
        value=round(statistics.median(ratios), 3),
        unit="of the executions/s without",
        target=TARGET,
        baseline={"without": spread([each.per_second for each in bare])},
        details={
            "durability": durability,
            "database": "sqlite" if database is None else "postgresql",
            "checks": checks,
            "ledger": ledger,
            "executions_per_second": spread([each.per_second for each in ours]),
            "ratios": spread(ratios),
            "ratios_by_processor_time": spread(by_processor),
        },
    )
