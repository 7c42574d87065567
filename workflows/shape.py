"""What the models of the document say of its shape, in words that people understand. Knows nothing of graphs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from offbook.workflows.document import (
    BudgetPolicy,
    CheckRetryPolicy,
    InputField,
    Need,
    Node,
    NodeBody,
    RestartPolicy,
    RetryPolicy,
    TimeoutPolicy,
    Workflow,
)
from offbook.workflows.report import brief, did_you_mean
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonValue

_PARTS: dict[str, type[BaseModel]] = {
    "nodes": Node,
    "inputs": InputField,
    "needs": Need,
    "retry": RetryPolicy,
    "check_retry": CheckRetryPolicy,
    "timeout": TimeoutPolicy,
    "restart": RestartPolicy,
    "budget": BudgetPolicy,
    "do": NodeBody,
}

_MEANT = {
    "edges": "edges are written on the node they lead to: `needs: [id]`",
    "connections": "edges are written on the node they lead to: `needs: [id]`",
    "depends_on": "write `needs`",
    "after": "write `needs`",
    "condition": "write `when`",
    "if": "write `when`",
    "retries": "write `retry: {attempts: ...}`",
    "check": "write `checks`, a list",
    "regenerations": "write `max_regenerations`",
    "title": "write `label`",
}

_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing",
    "date_time_type": "a time",
}


@dataclass(frozen=True, slots=True)
class ShapeProblem:
    """One thing wrong with the shape of a value, at a path relative to it."""

    code: str
    path: str
    message: str
    hint: str
    location: tuple[str | int, ...]
    """Path in steps, as far as the value goes."""
    kind: str
    """Pydantic's word for it."""


def shape_problems(model: type[BaseModel], value: JsonValue) -> list[ShapeProblem]:
    """Check a value's shape; return every problem, one for each place."""
    try:
        model.model_validate(value)
    except ValidationError as refused:
        return list(_translate(model, refused.errors(include_url=False), value))
    return []


def _translate(model: type[BaseModel], errors: Sequence[ErrorDetails], value: JsonValue) -> Iterator[ShapeProblem]:
    expected: dict[str, list[str]] = {}
    found: list[ShapeProblem] = []
    for error in errors:
        location = _location(error, value)
        if error["type"] == "too_short" and _value_at(value, location):
            # Pydantic does not count entries that are wrong.
            continue
        path = ""
        for step in location:
            path = child_path(path, step)
        if error["type"] in _EXPECTED:
            word = _EXPECTED[error["type"]]
            if path in expected:
                expected[path].append(word)
                continue
            expected[path] = [word]
        code, message, hint = _words(model, error, location, value)
        found.append(ShapeProblem(code, path, message, hint, location, error["type"]))
    for problem in found:
        words = expected.get(problem.path)
        if words is None or problem.kind not in _EXPECTED:
            yield problem
            continue
        got = brief(_value_at(value, problem.location))
        hint = f"write `[{got.strip(chr(39))}]`" if words == ["a list"] and problem.path.endswith("needs") else ""
        message = f"{_subject(problem.location)} must be {' or '.join(dict.fromkeys(words))}, got {got}"
        yield ShapeProblem(problem.code, problem.path, message, hint, problem.location, problem.kind)


def _location(error: ErrorDetails, value: JsonValue) -> tuple[str | int, ...]:
    """Keep the steps of an error that exist in the value; pydantic adds the names of types that it tried."""
    steps: list[str | int] = []
    for position, step in enumerate(error["loc"], start=1):
        inside = isinstance(value, dict) and step in value
        if isinstance(step, int) and isinstance(value, list | tuple):
            inside = step < len(value)
        if inside:
            value = value[step]
            steps.append(step)
        elif error["type"] == "missing" and position == len(error["loc"]):
            steps.append(step)
    return tuple(steps)


def _value_at(value: JsonValue, location: Iterable[str | int]) -> Any:
    for step in location:
        value = value[step]
    return value


def _words(
    model: type[BaseModel], error: ErrorDetails, location: tuple[str | int, ...], value: JsonValue
) -> tuple[str, str, str]:
    """Return code, message and hint."""
    kind = error["type"]
    context = error.get("ctx", {})
    last = location[-1] if location else ""
    subject = _subject(location)
    if kind == "missing":
        return "missing-field", f"`{last}` is required", _missing_hint(str(last))
    if kind == "extra_forbidden":
        return "unknown-field", f"`{last}` is no word that is known here", _unknown_hint(model, location)
    if kind in _EXPECTED:
        return "wrong-type", f"{subject} must be {_EXPECTED[kind]}", ""
    if kind in ("literal_error", "enum"):
        words = str(context.get("expected", "")).replace("'", "`")
        return "bad-value", f"{subject} must be {words}, got {brief(error['input'])}", ""
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "less_than_equal": ("at most", "le"),
        "greater_than": ("more than", "gt"),
        "less_than": ("less than", "lt"),
    }
    if kind in bounds:
        word, key = bounds[kind]
        return "out-of-range", f"{subject} must be {word} {context[key]:g}, got {brief(error['input'])}", ""
    if kind in ("string_too_short", "too_short"):
        return "out-of-range", f"{subject} must not be empty", ""
    if kind == "string_too_long":
        return "out-of-range", f"{subject} must be at most {context['max_length']} characters long", ""
    if kind == "string_pattern_mismatch":
        wanted = "small letters, digits and _, beginning with a letter, at most 64"
        return "bad-value", f"{subject} must be {wanted}, got {brief(error['input'])}", ""
    if kind in ("value_error", "assertion_error"):
        return "bad-value", str(context.get("error", error["msg"])), ""
    message = error["msg"].replace("Input should", f"{subject} must")
    return "bad-value", message, ""


def _subject(location: Sequence[str | int]) -> str:
    if not location:
        return "the document"
    return f"`{location[-1]}`" if isinstance(location[-1], str) else f"entry {location[-1]}"


def _missing_hint(word: str) -> str:
    return {
        "id": "give each node an `id`, for example `outline`",
        "type": "give each node a `type`, for example `llm`",
        "name": "give the workflow a `name`",
        "nodes": "list the steps under `nodes`",
    }.get(word, f"add `{word}`")


def _unknown_hint(model: type[BaseModel], location: tuple[str | int, ...]) -> str:
    word = str(location[-1])
    part: type[BaseModel] | None = model if len(location) == 1 else None
    parents = [step for step in location[:-1] if isinstance(step, str)]
    # An input is found under its name, any other part under its own word.
    if model is Workflow and parents[:1] == ["inputs"]:
        part = InputField
    elif parents and parents[-1] in _PARTS:
        part = _PARTS[parents[-1]]
    words = part.model_fields if part is not None else {}
    hint = _MEANT.get(word, "") or did_you_mean(word, words)
    if not hint and part in (Node, NodeBody):
        return "what belongs to the node's type is written under `config`"
    return hint or (f"known are {', '.join(f'`{each}`' for each in words)}" if words else "")
