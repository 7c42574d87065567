"""What each type of input accepts, and whether the inputs of a document are defined so that they can be given."""

from __future__ import annotations

import math
import re
from typing import get_args

import orjson

from offbook.workflows.document import InputField
from offbook.workflows.document_view import DocumentView
from offbook.workflows.errors import OffbookError
from offbook.workflows.report import Report, brief, did_you_mean
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonObject, JsonValue

KINDS: tuple[str, ...] = get_args(InputField.model_fields["type"].annotation)

_WHOLE = re.compile(r"[-+]?\d{1,18}")
_TRUTH = {"true": True, "false": False}


class InputRefused(OffbookError):
    """A value is not of the type that an input has."""

    def __init__(self, code: str, expected: str, value: JsonValue, hint: str = "") -> None:
        self.code = code
        self.hint = hint
        super().__init__(f"must be {expected}, got {brief(value)}")


def read_value(kind: str, value: JsonValue, options: tuple[JsonValue, ...] = (), multiple: bool = False) -> JsonValue:
    """Return a value as an input of this type has it; InputRefused if it is of another.

    Forms and command lines know only text: "12" is an integer, "true" a boolean, JSON text a list or object.
    """
    match kind:
        case "text" | "file":
            if not isinstance(value, str):
                raise InputRefused("wrong-type", "text", value, "put it in quotes")
            return value
        case "integer":
            return _whole_number(value)
        case "number":
            return _number(value)
        case "boolean":
            return _truth(value)
        case "select":
            if not multiple:
                return _choice(value, options)
            return [_choice(each, options) for each in (value if isinstance(value, list | tuple) else [value])]
        case "list":
            return _container(value, list, "a list")
        case _:
            return _container(value, dict, "an object")


def empty_value(kind: str, multiple: bool = False) -> JsonValue:
    """Return what an optional input without a default is when it is not given: as an empty field of a form."""
    if kind == "boolean":
        return False
    return [] if kind == "list" or (kind == "select" and multiple) else None


def _whole_number(value: JsonValue) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputRefused("wrong-type", "a whole number", value)
    return value


def _number(value: JsonValue) -> float:
    if isinstance(value, str) and len(value) <= 40:
        try:
            read = float(value)
        except ValueError:
            read = math.nan
        if math.isfinite(read):
            return int(value) if _WHOLE.fullmatch(value.strip()) else read
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputRefused("wrong-type", "a number", value)
    return value


def _truth(value: JsonValue) -> bool:
    if isinstance(value, str):
        value = _TRUTH.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise InputRefused("wrong-type", "true or false", value)
    return value


def _choice(value: JsonValue, options: tuple[JsonValue, ...]) -> JsonValue:
    for option in options:
        if option == value and isinstance(option, bool) == isinstance(value, bool):
            return option
    for option in options:
        if isinstance(value, str) and _as_form_text(option) == value:
            return option
    shown = ", ".join(brief(option) for option in options[:20])
    hint = did_you_mean(value, [each for each in options if isinstance(each, str)]) if isinstance(value, str) else ""
    raise InputRefused("unknown-option", f"one of {shown}", value, hint)


def _as_form_text(option: JsonValue) -> str:
    return option if isinstance(option, str) else orjson.dumps(option).decode()


def _container(value: JsonValue, kind: type, expected: str) -> JsonValue:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InputRefused("wrong-type", expected, value, f"as text it must be JSON: {error}") from None
    if kind is list and isinstance(value, tuple):
        return list(value)
    if not isinstance(value, kind):
        raise InputRefused("wrong-type", expected, value)
    return value


def check_input_fields(view: DocumentView, report: Report) -> None:
    """Report inputs that cannot be given, or whose default they do not accept."""
    for name, field in (view.inputs or {}).items():
        path = child_path("inputs", name)
        kind = field.get("type", "text")
        if not name.strip():
            report.add("bad-input-name", "an input has no name", path, hint="give it one")
        if kind in KINDS:
            _check_options(kind, field, name, path, report)
            _check_default(kind, field, name, path, report)


def _check_options(kind: str, field: JsonObject, name: str, path: str, report: Report) -> None:
    options = field.get("options")
    if kind == "select" and not options and options in (None, [], ()):
        report.add(
            "missing-options", f"the select `{name}` has nothing to choose from", path, hint="add `options: [...]`"
        )
    elif kind != "select":
        for word in ("options", "multiple"):
            if field.get(word):
                report.add(
                    "useless-field",
                    f"`{word}` of `{name}` has no effect: its type is `{kind}`",
                    child_path(path, word),
                    hint="write `type: select`, or remove it",
                )


def _check_default(kind: str, field: JsonObject, name: str, path: str, report: Report) -> None:
    default = field.get("default")
    if default is None:
        return
    default_path = child_path(path, "default")
    if field.get("required") is True:
        report.add(
            "required-with-default",
            f"`{name}` is required, so that its default is never used",
            default_path,
            hint="remove `required`, or the default",
        )
    options = field.get("options")
    if kind == "select" and not (isinstance(options, list | tuple) and options):
        return
    try:
        value = read_value(kind, default, tuple(options or ()), field.get("multiple") is True)
    except InputRefused as refused:
        report.add(refused.code, f"the default of `{name}` {refused}", default_path, hint=refused.hint)
        return
    # Text stands for numbers in forms, not in documents.
    if type(value) is not type(default) and isinstance(default, str):
        report.add(
            "wrong-type",
            f"the default of `{name}` must be {_A_KIND.get(kind, kind)}, got {brief(default)}",
            default_path,
            hint="write it without quotes",
        )


_A_KIND = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
    "select": "one of its options",
}
