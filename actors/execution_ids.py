"""Ids of executions: UUIDs of version 7, as 32 hex digits. They begin with the time, so that rows come in order.

Ids that are random from the first digit on scatter each new row over all pages of each index: a database writes more
with every execution it holds.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

AT_ONCE = 256
"""Ids for which the system is asked for random digits at once."""

_RANDOM_DIGITS = 19
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def execution_ids(clock: Callable[[], int] = time.time_ns) -> Iterator[str]:
    """Yield ids, of which 74 bits are random: nobody can guess one. `clock`: nanoseconds since the Unix epoch."""
    while True:
        block = secrets.token_hex(_RANDOM_DIGITS * AT_ONCE // 2)
        for start in range(0, len(block), _RANDOM_DIGITS):
            digits = block[start : start + _RANDOM_DIGITS]
            milliseconds = clock() // 1_000_000
            yield f"{milliseconds:012x}7{digits[:3]}{_VARIANT[digits[3]]}{digits[4:]}"
