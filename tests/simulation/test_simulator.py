"""A thousand seeds in which every promise holds, every kind of fault came about, and every broken engine is found."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from loguru import logger

from tests.simulation.auditor import PromiseBroken
from tests.simulation.mutations import MUTATIONS, mutated
from tests.simulation.simulate import simulate
from tests.simulation.statistics import Statistics

SEEDS = 1000
SEARCHED = 4000
"""Seeds in which a broken engine must be found."""
FOUND_BEFORE = (
    20, 36, 49, 77, 102, 137, 167, 210, 233, 252, 287, 583, 1817, 1883, 2420, 3028, 3502, 4332,
    102282, 102708, 103227, 104792, 105833, 116555, 902728, 901822,
    1003113, 1026077, 1052303, 1055938, 1059729, 2038121, 3018645, 3060617, 12820, 500652, 501489, 802557, 823238,
)  # fmt: skip
"""Seeds that failed once, each for a fault of its own that has been mended."""
RARE: dict[str, tuple[int, ...]] = {
    "forget an accepted stop": (48,),
    "let async run ahead": (2027, 4094, 3093),
    "refuse nothing stale": (694,),
    "show an epoch before it is on disk": (191,),
    "tell an epoch before it is on disk": (120,),
}
"""Seeds that find what few of them do: played first, so that the others are only where it is not found any more."""


pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Crashes are what this is about; nobody need read of each."""
    logger.remove()
    pykka = logging.getLogger("pykka")
    level = pykka.level
    pykka.setLevel(logging.CRITICAL)
    yield
    pykka.setLevel(level)


def test_every_promise_holds_in_a_thousand_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    statistics = Statistics()
    for seed in range(SEEDS):
        statistics.add(simulate(seed))
    with capsys.disabled():
        print(f"\n{SEEDS} seeds\n{statistics.report()}")
    assert statistics.never_happened() == []


@pytest.mark.parametrize("seed", FOUND_BEFORE)
def test_seed_that_failed_once_passes(seed: int) -> None:
    simulate(seed)


def test_seed_is_played_the_same_again() -> None:
    first: list[str] = []
    second: list[str] = []
    simulate(7, first.append)
    simulate(7, second.append)
    assert first == second
    assert first


@pytest.mark.parametrize("name", MUTATIONS)
def test_broken_engine_is_found(name: str) -> None:
    with mutated(name), pytest.raises(PromiseBroken):
        _search(name)


def _search(name: str) -> None:
    for seed in (*RARE.get(name, ()), *range(SEARCHED)):
        simulate(seed)
