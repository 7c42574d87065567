"""Run messages as records and back: each comes back as it was, whatever is in it; what is none is refused."""

from __future__ import annotations

import math
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from offbook.workflows.budgets import Budget, BudgetScope, BudgetUnit
from offbook.workflows.message_codec import RecordUnreadable, decode, encode
from offbook.workflows.messages import (
    BudgetFreed,
    BudgetSet,
    BudgetWarned,
    CancelRequested,
    CrashedForGood,
    CutOff,
    EdgesDecided,
    InterruptRequested,
    ItemsExpanded,
    NodeBegan,
    NodeFailed,
    NodeFinished,
    NodeHeld,
    NodeParked,
    NodeProgressed,
    NodeReused,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
    TimerFired,
)
from offbook.workflows.values import ExecutionUser, NodeError, Usage

TEXT = some.text(some.characters(exclude_categories=["Cs"]), max_size=30)
NUMBER = some.integers(0, 2**53)
TIME = some.floats(0, 1e12)
JSON: some.SearchStrategy[Any] = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**53), 2**53)
    | some.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECT = some.dictionaries(TEXT, JSON, max_size=4)
USAGE = some.builds(Usage, NUMBER, NUMBER, some.booleans(), NUMBER, some.booleans())
ERROR = some.builds(NodeError, TEXT, TEXT, some.booleans(), some.none() | TIME, TEXT, TEXT)
BUDGET = some.builds(Budget, *(some.sampled_from(kind) for kind in (BudgetScope, BudgetUnit)), NUMBER)
USER = some.builds(ExecutionUser, TEXT, TEXT, TEXT)
ITEM = some.none() | NUMBER
ATTEMPT = (TEXT, ITEM, NUMBER, NUMBER)

MESSAGES: dict[type[Any], some.SearchStrategy[Any]] = {
    Recovered: some.builds(Recovered, NUMBER, TIME, TEXT),
    TakenUp: some.builds(TakenUp, NUMBER, TIME, NUMBER, NUMBER),
    CutOff: some.builds(CutOff, TIME),
    NodeFinished: some.builds(NodeFinished, *ATTEMPT, JSON, USAGE, TIME),
    NodeFailed: some.builds(
        NodeFailed,
        *(*ATTEMPT, ERROR, TIME, USAGE, TEXT, some.floats(0, 1), TEXT),
        some.lists(TEXT, max_size=3).map(tuple),
        some.booleans(),
    ),
    NodeReused: some.builds(NodeReused, *ATTEMPT, TIME),
    NodeHeld: some.builds(
        NodeHeld, *ATTEMPT, TEXT, TEXT, TEXT, some.none() | TIME, TIME, some.booleans(), some.booleans()
    ),
    NodeBegan: some.builds(NodeBegan, *ATTEMPT, TIME),
    NodeParked: some.builds(
        NodeParked,
        *ATTEMPT,
        some.sampled_from(["timer", "signal"]),
        TEXT,
        some.none() | TIME,
        some.none() | OBJECT,
        JSON,
        some.booleans(),
        TIME,
    ),
    EdgesDecided: some.builds(
        EdgesDecided,
        TEXT,
        NUMBER,
        some.lists(some.booleans(), max_size=5).map(tuple),
        some.booleans(),
        TIME,
        some.none() | ERROR,
    ),
    ItemsExpanded: some.builds(
        ItemsExpanded, TEXT, NUMBER, some.lists(JSON, max_size=5).map(tuple), TIME, some.none() | ERROR
    ),
    TimerFired: some.builds(TimerFired, NUMBER, TIME),
    SignalReceived: some.builds(SignalReceived, TEXT, JSON, TIME),
    CancelRequested: some.builds(CancelRequested, TIME),
    PauseRequested: some.builds(PauseRequested, TIME),
    InterruptRequested: some.builds(InterruptRequested, TIME, some.booleans()),
    ResumeRequested: some.builds(ResumeRequested, NUMBER, TIME, TEXT, some.none() | USER, NUMBER, NUMBER),
    BudgetSet: some.builds(BudgetSet, some.none() | BUDGET, TIME),
    BudgetFreed: some.builds(BudgetFreed, TIME),
    BudgetWarned: some.builds(BudgetWarned, TEXT, TIME),
    CrashedForGood: some.builds(CrashedForGood, NUMBER, ERROR, TIME),
}


def test_every_message_that_is_recorded_is_tried_here() -> None:
    assert set(MESSAGES) == set(get_args(RunMessage)) - {NodeProgressed}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_message_comes_back_as_it_was(kind: type[Any], data: some.DataObject) -> None:
    message = data.draw(MESSAGES[kind])
    again = decode(encode(message))
    assert type(again) is kind
    assert again == message
    assert encode(again) == encode(message)


@settings(max_examples=300, deadline=None)
@given(record=some.binary(max_size=60) | JSON.map(orjson.dumps))
def test_what_is_no_record_is_refused_as_one(record: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        decode(record)


@settings(max_examples=200, deadline=None)
@given(data=some.data())
def test_record_that_is_cut_is_refused(data: some.DataObject) -> None:
    record = encode(data.draw(some.one_of(*MESSAGES.values())))
    with pytest.raises(RecordUnreadable):
        decode(record[: data.draw(some.integers(0, len(record) - 1))])


@pytest.mark.parametrize(
    "record",
    [
        b'["Recovered", 5]',
        b'["Recovered", null]',
        b'["Recovered", {"epoch": 1}]',
        b'["Recovered", {"epoch": 1, "at": 2.0, "of_a_newer_version": 3}]',
        b'["Invented", {"at": 2.0}]',
        b'["NodeFailed", {"error": "no object"}]',
        b'[["Recovered"], {}]',
        b"[]",
        b"7",
    ],
)
def test_record_of_another_shape_is_refused(record: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        decode(record)


def test_times_keep_every_digit() -> None:
    at = math.nextafter(1_700_000_000.123456, math.inf)
    assert decode(encode(CancelRequested(at))) == CancelRequested(at)
