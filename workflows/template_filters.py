"""The filters and methods that templates may use, each bounded. What is not listed here does not exist for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import Environment, Undefined, pass_environment
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS, make_attrgetter
from markupsafe import escape

from offbook.workflows.template_budget import LIMITS, budget
from offbook.workflows.template_formats import format_text
from offbook.workflows.template_values import as_json, as_text, gather

Function = Callable[..., Any]
Guard = Callable[..., None]

_WRAPPED_TEXT_LIMIT = 500_000
_STRIPPED_CHARS_LIMIT = 100


def _plain_text(value: Any) -> str:
    return value if isinstance(value, str) else as_text(value)


def _no_guard(*args: Any, **kwargs: Any) -> None:
    return


def _width_guard(text: str, *args: Any, **kwargs: Any) -> None:
    """A width, or what is put at each line."""
    lines = text.count("\n") + 1
    for each in (*args, *kwargs.values()):
        if isinstance(each, int):
            budget().check(len(text) + abs(each) * lines)
        elif isinstance(each, str):
            budget().check(len(text) + len(each) * lines)


def _wordwrap_guard(text: str, width: int = 79, *args: Any, **kwargs: Any) -> None:
    width = kwargs.get("width", width)
    if len(text) > _WRAPPED_TEXT_LIMIT or not isinstance(width, int) or width < 8:
        raise SecurityError(f"wraps more than {_WRAPPED_TEXT_LIMIT:,} characters, or to less than 8 a line")
    for each in (*args, *kwargs.values()):
        if isinstance(each, str):
            budget().check(len(text) + len(each) * (len(text) // width + text.count("\n") + 1) * 2)


def _replace_guard(text: str, old: str, new: str, *args: Any, **kwargs: Any) -> None:
    budget().check(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _chars_guard(text: str, chars: str | None = None, **kwargs: Any) -> None:
    chars = kwargs.get("chars", chars)
    if chars is not None and len(chars) > _STRIPPED_CHARS_LIMIT:
        raise SecurityError(f"strips more than {_STRIPPED_CHARS_LIMIT} different characters")


def _count_guard(value: Any, *args: Any, **kwargs: Any) -> None:
    for each in (*args, *kwargs.values()):
        if isinstance(each, int) and abs(each) > LIMITS.max_steps:
            raise SecurityError(f"makes more than {LIMITS.max_steps:,} parts")


def _precision_guard(value: Any, precision: int = 0, *args: Any, **kwargs: Any) -> None:
    if abs(kwargs.get("precision", precision)) > 100:
        raise SecurityError("rounds to more than 100 digits")


def _on_text(function: Function, guard: Guard = _no_guard) -> Function:
    """Bound a filter or method of text; anything else it is given becomes text first, as in a template."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        spent = budget()
        spent.step()
        leading = 1 if hasattr(function, "jinja_pass_arg") else 0
        given = [*args[:leading], *(_text_or_number(each) for each in args[leading:])]
        if len(given) > leading and not isinstance(given[leading], str):
            given[leading] = as_text(given[leading])
        named = {key: _text_or_number(each) for key, each in kwargs.items()}
        guard(*given[leading:], **named)
        return spent.charge(function(*given, **named))

    return call


def _text_or_number(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else as_text(value)


def _on_values(function: Function, guard: Guard = _no_guard) -> Function:
    """Bound a filter of numbers and lists."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        spent = budget()
        spent.step()
        guard(*(args[1:] if hasattr(function, "jinja_pass_arg") else args), **kwargs)
        return spent.charge(function(*args, **kwargs))

    return call


@pass_environment
def _join(environment: Environment, value: Any, d: Any = "", attribute: str | int | None = None) -> str:
    values = gather(value)
    if attribute is not None:
        values = list(map(make_attrgetter(environment, attribute), values))
    return _join_text(d, values)


def _join_text(separator: Any, values: Any) -> str:
    pieces = [as_text(each) for each in gather(values)]
    between = as_text(separator)
    budget().check(sum(map(len, pieces)) + len(between) * len(pieces))
    return between.join(pieces)


@pass_environment
def _sum(environment: Environment, value: Any, attribute: str | int | None = None, start: float = 0) -> Any:
    numbers = gather(value)
    if attribute is not None:
        numbers = list(map(make_attrgetter(environment, attribute), numbers))
    for each in (start, *numbers):
        if isinstance(each, Undefined):
            each._fail_with_undefined_error()
        if not isinstance(each, int | float):
            raise TypeError(f"sums numbers only, got a {type(each).__name__}")
    return sum(numbers, start)


def _list(value: Any) -> list[Any]:
    return gather(value)


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else gather(value)[::-1]


def _escape(text: str) -> str:
    return str(escape(text))


def _as_json(value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= 8:
        raise SecurityError("indents JSON by more than 8")
    return as_json(value, indent)


FILTERS_OF_DOCUMENTS: Mapping[str, Function] = {
    **{
        name: _on_values(FILTERS[name])
        for name in (
            "abs", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "last",
            "length", "map", "max", "min", "reject", "rejectattr", "select", "selectattr", "sort", "unique",
        )
    },
    **{name: _on_text(FILTERS[name]) for name in ("capitalize", "lower", "title", "upper", "urlencode", "wordcount")},
    "batch": _on_values(FILTERS["batch"], _count_guard),
    "slice": _on_values(FILTERS["slice"], _count_guard),
    "round": _on_values(FILTERS["round"], _precision_guard),
    "center": _on_text(FILTERS["center"], _width_guard),
    "indent": _on_text(FILTERS["indent"], _width_guard),
    "replace": _on_text(str.replace, _replace_guard),
    "trim": _on_text(FILTERS["trim"], _chars_guard),
    "truncate": _on_text(FILTERS["truncate"]),
    "wordwrap": _on_text(FILTERS["wordwrap"], _wordwrap_guard),
    "format": _on_values(format_text),
    "join": _on_values(_join),
    "sum": _on_values(_sum),
    "list": _on_values(_list),
    "reverse": _on_values(_reverse),
    "string": _on_values(as_text),
    "tojson": _on_values(_as_json),
    "e": _on_text(_escape),
    "escape": _on_text(_escape),
}  # fmt: skip

_TEXT_METHODS: dict[str, Function] = {
    name: _on_text(getattr(str, name))
    for name in (
        "capitalize", "casefold", "count", "find", "index", "isalnum", "isalpha", "isdigit", "islower",
        "isnumeric", "isspace", "istitle", "isupper", "lower", "partition", "removeprefix", "removesuffix", "rfind",
        "rindex", "rpartition", "rsplit", "split", "splitlines", "swapcase", "title", "upper",
    )
}  # fmt: skip

METHODS: Mapping[type, Mapping[str, Function]] = {
    str: {
        **_TEXT_METHODS,
        **{name: _on_text(getattr(str, name), _width_guard) for name in ("center", "ljust", "rjust", "zfill")},
        **{name: _on_text(getattr(str, name), _chars_guard) for name in ("strip", "lstrip", "rstrip")},
        "replace": _on_text(str.replace, _replace_guard),
        **{name: _on_values(getattr(str, name)) for name in ("startswith", "endswith")},
        "join": _on_values(_join_text),
    },
    dict: {name: getattr(dict, name) for name in ("get", "items", "keys", "values")},
    list: {name: getattr(list, name) for name in ("count", "index")},
}
