"""The filter `format` of templates: `%` formats whose size can be foreseen, and no others."""

from __future__ import annotations

import re
from typing import Any

from jinja2.exceptions import SecurityError

from offbook.workflows.template_budget import budget
from offbook.workflows.template_values import as_text

_PERCENT = re.compile(r"%(?:%|(?:\((\w+)\))?[-#0 +]{0,5}(\d{0,3})(?:\.\d{0,2})?[sdifgeExXoc])")


def format_text(text: str, *args: Any, **kwargs: Any) -> str:
    """Fill `%02d`, `%s`, `%(name)s` in; fields of up to 999 characters, precision up to 99."""
    if not isinstance(text, str):
        raise TypeError("formats text only")
    found = list(_PERCENT.finditer(text))
    if "%" in _PERCENT.sub("", text):
        raise SecurityError("formats with what is not of the kind %s, %02d, %.1f or %(name)s")
    values = [_formattable(each) for each in args]
    named = {key: _formattable(each) for key, each in kwargs.items()}
    widest = max([999, *(len(each) for each in (*values, *named.values()) if isinstance(each, str))])
    budget().check(len(text) + widest * len(found))
    return text % (named or tuple(values))


def _formattable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else as_text(value)
