"""Ids of executions: UUIDs that come in the order of time and that nobody can guess."""

from __future__ import annotations

import uuid
from itertools import islice

from offbook.actors.execution_ids import AT_ONCE, execution_ids


def test_ids_are_uuids_of_version_7_with_the_time_in_front() -> None:
    for text in islice(execution_ids(lambda: 1_764_484_096_123_456_789), 3 * AT_ONCE):
        read = uuid.UUID(hex=text)
        assert text == read.hex
        assert (read.version, read.variant) == (7, uuid.RFC_4122)
        assert read.int >> 80 == 1_764_484_096_123


def test_later_ids_come_after_earlier_ones() -> None:
    now = iter(range(10**18, 2 * 10**18, 10**9))
    ids = list(islice(execution_ids(lambda: next(now)), 1000))
    assert ids == sorted(ids)


def test_every_other_digit_is_random() -> None:
    ids = [text[12:] for text in islice(execution_ids(lambda: 0), 4000)]
    assert len({text[-8:] for text in ids}) == len(ids)
    seen = [{text[place] for text in ids} for place in range(20)]
    assert [len(digits) for digits in seen] == [1, 16, 16, 16, 4, *[16] * 15]
