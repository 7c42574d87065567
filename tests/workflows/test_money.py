"""Amounts: exact both ways, and usage that remembers what it cost."""

from __future__ import annotations

import pytest

from offbook.workflows.message_codec import decode, encode
from offbook.workflows.messages import NodeFinished
from offbook.workflows.money import cost_json, format_amount, parse_amount
from offbook.workflows.receipt import Receipt
from offbook.workflows.values import NO_USAGE, Usage


@pytest.mark.parametrize(
    ("text", "billionths", "shown"),
    [
        ("0", 0, "0.00"),
        ("1.50", 1_500_000_000, "1.50"),
        ("0.0123", 12_300_000, "0.0123"),
        ("0.000000001", 1, "0.000000001"),
        ("1234567890", 1_234_567_890_000_000_000, "1234567890.00"),
    ],
)
def test_amounts_are_exact_both_ways(text: str, billionths: int, shown: str) -> None:
    assert parse_amount(text) == billionths
    assert format_amount(billionths) == shown


@pytest.mark.parametrize("text", ["", "-1", "1.", "1e3", "0.0000000001", "9000000001", "1,5", "\u0661"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an amount is"):
        parse_amount(text)


def test_usage_adds_up_its_cost_and_remembers_that_some_had_no_price() -> None:
    total = Usage(1, 2, cost=30) + Usage(10, 20, estimated=True, cost=400) + Usage(5, unpriced=True)
    assert total == Usage(16, 22, estimated=True, cost=430, unpriced=True)
    assert Usage.from_state(total.to_state()) == total
    assert total.to_json() == {"input_tokens": 16, "output_tokens": 22, "estimated": True}


def test_record_keeps_the_cost_of_its_usage() -> None:
    message = NodeFinished("a", None, 1, 1, "text", Usage(1, 2, cost=30, unpriced=True), 5.0)
    assert decode(encode(message)) == message


def test_cost_is_shown_where_anything_was_priced() -> None:
    assert cost_json(NO_USAGE, "USD") is None
    assert cost_json(Usage(5, unpriced=True), "USD") is None
    assert cost_json(Usage(5), "USD") == {"amount": "0.00", "currency": "USD", "partial": False}
    partial = {"amount": "0.50", "currency": "EUR", "partial": True}
    assert cost_json(Usage(5, cost=500_000_000, unpriced=True), "EUR") == partial


def test_receipt_says_what_was_saved_in_money() -> None:
    receipt = Receipt(saved_tokens=7, saved_cost=12_300_000)
    assert Receipt.from_state(receipt.to_state()) == receipt
    assert receipt.to_json()["saved"]["cost"] == {"amount": "0.0123", "currency": "USD", "partial": False}
