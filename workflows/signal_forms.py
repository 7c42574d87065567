"""Forms of signals: JSON Schemas that are quick to check, and the payloads checked against them.

Payloads are checked where nothing may block. So a form has no references (they can expand without end) and no
patterns (some take for ever to match), and a payload only so many values.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend

from offbook.workflows.errors import Problem
from offbook.workflows.json_values import json_problems
from offbook.workflows.report import brief
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonObject, JsonValue

MAX_FORM_BYTES = 20_000
MAX_CHECKS = 100_000
"""Parts of the form times values of the payload."""
MAX_PROBLEMS = 50

_REFUSED_WORDS = {
    "$ref": "write the schema where it is used",
    "$dynamicRef": "write the schema where it is used",
    "$recursiveRef": "write the schema where it is used",
    "pattern": "list the values with `enum`, or bound the length with `maxLength`",
    "patternProperties": "name the properties under `properties`",
    "unevaluatedProperties": "write `additionalProperties`",
    "unevaluatedItems": "write `items`",
}
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_VALUES = frozenset({"enum", "const", "default", "examples"})


def form_problems(form: JsonValue, path: str = "form") -> list[Problem]:
    """Return what is wrong with a form: it must be a JSON Schema (2020-12) without references and patterns."""
    if not isinstance(form, dict):
        return [Problem("bad-form", f"a form must be a JSON Schema object, got {brief(form)}", path)]
    unusable = json_problems(form, path)
    if unusable:
        return [Problem("bad-form", message, where) for _, where, message in unusable]
    if len(orjson.dumps(form)) > MAX_FORM_BYTES:
        return [Problem("bad-form", f"a form must be smaller than {MAX_FORM_BYTES:,} bytes", path)]
    refused = [
        Problem("bad-form", f"a form may not use `{word}`", where, hint=_REFUSED_WORDS[word])
        for word, where in _refused_words(form, path)
    ]
    if refused:
        return refused
    try:
        Draft202012Validator.check_schema(form)
    except SchemaError as error:
        where = path
        for step in error.absolute_path:
            where = child_path(where, step)
        return [Problem("bad-form", f"is no JSON Schema: {error.message}"[:300], where)]
    return []


def check_payload(form: JsonObject | None, payload: JsonValue) -> list[Problem]:
    """Return what is wrong with a signal's payload; without a form, anything is right."""
    if form is None:
        return []
    unusable = form_problems(form)
    if unusable:
        return unusable
    return check_value(form, payload, "payload", max_checks=MAX_CHECKS)


def check_value(form: JsonObject, value: JsonValue, path: str, *, max_checks: int) -> list[Problem]:
    """Return what is wrong with a value, at a path, by a form that is known to be one."""
    not_json = json_problems(value, path)
    if not_json:
        return [Problem(code, message, where) for code, where, message in not_json]
    if _count(form, max_checks) * _count(value, max_checks) > max_checks:
        return [
            Problem(
                f"{path}-too-large",
                f"the {path} has too many values to be checked against the form",
                path,
                hint="send long content as one text",
            )
        ]
    errors = islice(_Validator(form).iter_errors(value), MAX_PROBLEMS)
    return [_problem(error, path) for error in errors]


def _problem(error: ValidationError, path: str) -> Problem:
    for step in error.absolute_path:
        path = child_path(path, step)
    wanted: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            missing = next((name for name in wanted if name not in instance), "")
            return Problem(
                "missing-field", f"`{missing}` is required", child_path(path, missing), hint=f"add `{missing}`"
            )
        case "enum":
            options = ", ".join(brief(each) for each in wanted[:20])
            return Problem("unknown-option", f"must be one of {options}, got {brief(error.instance)}", path)
        case "type":
            return Problem("wrong-type", f"must be {wanted}, got {brief(error.instance)}", path)
        case "additionalProperties":
            return Problem("unknown-field", error.message[:300], path)
        case _:
            return Problem("bad-value", error.message[:300], path)


def _refused_words(form: JsonValue, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(form, dict):
        for word, value in form.items():
            where = child_path(path, word)
            if word in _REFUSED_WORDS:
                yield word, where
            elif word in _NAMED_SCHEMAS and isinstance(value, dict):
                # Its keys are names that the form's author chose.
                for name, schema in value.items():
                    yield from _refused_words(schema, child_path(where, name))
            elif word not in _VALUES:
                yield from _refused_words(value, where)
    elif isinstance(form, list):
        for index, each in enumerate(form):
            yield from _refused_words(each, child_path(path, index))


def _count(value: JsonValue, limit: int) -> int:
    count = 0
    stack = [value]
    while stack and count <= limit:
        each = stack.pop()
        count += 1
        if isinstance(each, dict):
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)
    return count


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Compare by canonical JSON: the library compares every pair."""
    if unique and isinstance(instance, list):
        seen = {orjson.dumps(each, option=orjson.OPT_SORT_KEYS) for each in instance}
        if len(seen) < len(instance):
            yield ValidationError("has the same entry twice")


_Validator = extend(Draft202012Validator, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call]
