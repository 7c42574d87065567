"""What templates make of values: text, JSON, lists, arithmetic; each counted against the budget before it is made."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

from offbook.workflows.template_budget import LIMITS, MAX_NUMBER_BITS, budget


def as_text(value: Any) -> str:
    """Write a value as it is put inside text: None as nothing, objects and truth as JSON."""
    spent = budget()
    if isinstance(value, str):
        spent.charge(value)
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(spent.charge(value))
    text = as_json(value)
    spent.charge(text)
    return text


def as_json(value: Any, indent: int | None = None) -> str:
    """Write a value as JSON; TypeError if it is none."""
    return json.dumps(to_json_value(value), ensure_ascii=False, indent=indent)


def to_json_value(value: Any) -> Any:
    """Turn what a template made (tuples, ranges, generators) into JSON values; TypeError if it cannot be."""
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    budget().charge(value)
    return _to_json_value(value)


def _to_json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"gives {value}, which is no JSON number")
        return value
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"gives an object with the key {key!r}, which is not text")
        return {key: _to_json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json_value(each) for each in value]
    if isinstance(value, Iterator | range) or type(value).__name__ in ("dict_keys", "dict_values", "dict_items"):
        return [_to_json_value(each) for each in gather(value)]
    raise TypeError(f"gives a {type(value).__name__}, which is no JSON value")


def gather(values: Any) -> list[Any]:
    """Make a list of what can be iterated over, counting each element that is not in a list already."""
    if isinstance(values, list | tuple | dict | str):
        return list(values)
    spent = budget()
    gathered = []
    for each in values:
        spent.step(8)
        gathered.append(each)
    spent.charge(gathered)
    return gathered


def concat_text(*values: Any) -> str:
    """Join values as text: the operator `~`."""
    pieces = [as_text(value) for value in values]
    budget().check(sum(map(len, pieces)))
    return "".join(pieces)


def bounded_range(*args: int) -> range:
    """Return a range that is not longer than an evaluation may take steps."""
    numbers = range(*args)
    # `len` cannot say how long a very long range is.
    if len(numbers[: LIMITS.max_steps + 1]) > LIMITS.max_steps:
        raise SecurityError(f"makes a range of more than {LIMITS.max_steps:,}")
    return numbers


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
    "%": operator.mod,
}


def calculate(sign: str, left: Any, right: Any) -> Any:
    """Do one operation within the bounds; SecurityError past them."""
    spent = budget()
    if sign == "+":
        spent.check(_length(left) + _length(right))
    elif sign == "*":
        spent.check(_length(left) * _count(right) + _length(right) * _count(left))
    elif sign == "**" and isinstance(left, int) and isinstance(right, int):
        if abs(left).bit_length() * abs(right) > MAX_NUMBER_BITS:
            raise SecurityError(f"makes a number of more than {MAX_NUMBER_BITS:,} bits")
    elif sign == "%" and isinstance(left, str):
        raise SecurityError("uses `%` on text: use the filter `format`")
    spent.step()
    return spent.charge(_OPERATORS[sign](left, right))


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return 8 * len(value) if isinstance(value, list | tuple) else 0


def _count(value: Any) -> int:
    return max(0, value) if isinstance(value, int) else 0
