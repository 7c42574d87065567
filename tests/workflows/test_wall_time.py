"""Seconds of things side by side: each counts once, in the receipt too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from offbook.workflows.messages import ItemsExpanded, NodeFinished, Recovered, ResumeRequested
from offbook.workflows.values import Usage
from offbook.workflows.wall_time import shares
from tests.workflows.driver import Drive, workflow

SPAN = some.tuples(some.integers(0, 50), some.integers(0, 20)).map(lambda span: (span[0], span[0] + span[1]))


@given(spans=some.lists(SPAN, max_size=12))
def test_shares_add_up_to_the_seconds_in_which_anything_was_under_way(spans: list[tuple[int, int]]) -> None:
    found = shares((number, begin, end) for number, (begin, end) in enumerate(spans))
    assert sum(found.values()) == len({second for begin, end in spans for second in range(begin, end)})
    assert set(found) == set(range(len(spans)))
    assert all(0 <= share <= end - begin for share, (begin, end) in zip(_in_order(found), spans, strict=True))


def _in_order(found: dict[int, float]) -> list[float]:
    return [found[number] for number in sorted(found)]


def test_receipt_says_what_went_by_and_not_what_nodes_side_by_side_took_together() -> None:
    config = {"count": 4, "concurrency": 4, "do": {"type": "text"}}
    drive = Drive(workflow({"id": "all", "type": "foreach", "config": config}, {"id": "last", "needs": ["all"]}))
    drive.apply(ItemsExpanded("all", 1, (0, 1, 2, 3), drive.now))
    began = drive.now
    for item in range(4):
        drive.apply(NodeFinished("all", item, 1, 1, "text", Usage(1, 1), began + 10))
    drive.now = began + 10
    drive.fail("last")
    drive.apply(ResumeRequested(2, drive.now))
    drive.apply(Recovered(2, drive.now))
    receipt = drive.run.receipt
    assert receipt is not None
    assert (receipt.kept_items, receipt.saved_tokens) == (4, 8)
    assert receipt.saved_seconds == pytest.approx(10)
