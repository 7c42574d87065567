"""Amounts of money: whole billionths of a currency unit, and decimal text for people. Knows no prices."""

from __future__ import annotations

import re
from decimal import Decimal

from offbook.workflows.values import JsonObject, Usage

BILLION = 1_000_000_000
"""So many of what is counted make one unit of the currency."""
LARGEST = 9_000_000_000 * BILLION
"""Databases keep amounts in 64 bits."""
MOST_TOKENS = 1_000_000_000
"""Of one attempt, asked or answered: figures beyond are a mistake, and sums of them would be too large to be kept."""
MOST_COST = LARGEST // 1000
"""Of one attempt."""
CURRENCY = "USD"

_AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")


def parse_amount(text: str) -> int:
    """Read `1.50` as billionths; ValueError for what is no amount, or has more than nine decimals."""
    if not _AMOUNT.fullmatch(text.strip()):
        raise ValueError("an amount is a decimal number, not negative, with at most nine decimals: 1.50")
    amount = int(Decimal(text.strip()) * BILLION)
    if amount > LARGEST:
        raise ValueError(f"an amount is at most {format_amount(LARGEST)}")
    return amount


def format_amount(billionths: int) -> str:
    """Write billionths as decimal text, exactly, with at least two decimals."""
    sign = "-" if billionths < 0 else ""
    units, rest = divmod(abs(billionths), BILLION)
    decimals = f"{rest:09d}".rstrip("0")
    return f"{sign}{units}.{decimals:0<2}"


def cost_json(usage: Usage, currency: str) -> JsonObject | None:
    """Show what tokens cost; None where nothing was priced. `partial`: some tokens had no price."""
    if not usage.cost and (usage.unpriced or not (usage.input_tokens or usage.output_tokens)):
        return None
    return {"amount": format_amount(usage.cost), "currency": currency, "partial": usage.unpriced}
