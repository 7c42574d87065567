"""Forms of signals and the payloads checked against them, where nothing may take long."""

from __future__ import annotations

import time
from typing import Any

import pytest

from offbook.workflows.inputs import check_payload, form_problems

FORM = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["approve", "reject"]},
        "pattern": {"type": "string", "maxLength": 10},
        "pages": {"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": True},
    },
    "required": ["verdict"],
    "additionalProperties": False,
}


def test_form_with_a_property_named_pattern_is_right() -> None:
    assert form_problems(FORM) == []


@pytest.mark.parametrize("payload", [{"verdict": "approve"}, {"verdict": "reject", "pages": [1, 2], "pattern": "x"}])
def test_payload_that_fits_has_no_problems(payload: object) -> None:
    assert check_payload(FORM, payload) == []


def test_without_a_form_any_payload_is_right() -> None:
    assert check_payload(None, {"anything": [1]}) == []


@pytest.mark.parametrize(
    ("payload", "code", "path"),
    [
        ({}, "missing-field", "payload.verdict"),
        ({"verdict": "maybe"}, "unknown-option", "payload.verdict"),
        ({"verdict": "approve", "pages": "x"}, "wrong-type", "payload.pages"),
        ({"verdict": "approve", "pages": [1, 0]}, "bad-value", "payload.pages[1]"),
        ({"verdict": "approve", "pages": [1, 1]}, "bad-value", "payload.pages"),
        ({"verdict": "approve", "other": 1}, "unknown-field", "payload"),
        ({"verdict": "approve", "pattern": "x" * 11}, "bad-value", "payload.pattern"),
        ("approve", "wrong-type", "payload"),
        (None, "wrong-type", "payload"),
    ],
)
def test_payload_that_does_not_fit_is_told(payload: object, code: str, path: str) -> None:
    (problem,) = check_payload(FORM, payload)
    assert (problem.code, problem.path) == (code, path)
    assert problem.message


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("text", "form"),
        ({"type": "objekt"}, "form.type"),
        ({"properties": {"a": {"minimum": "x"}}}, "form.properties.a.minimum"),
        ({"$ref": "https://example.org/schema.json"}, "form['$ref']"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "form.properties.a.pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, "form.patternProperties"),
        ({"allOf": [{"unevaluatedProperties": False}]}, "form.allOf[0].unevaluatedProperties"),
        ({"enum": ["x" * 30_000]}, "form"),
    ],
)
def test_form_that_cannot_be_used_is_told(form: Any, path: str) -> None:
    (problem,) = form_problems(form)
    assert (problem.code, problem.path) == ("bad-form", path)
    if isinstance(form, dict):
        assert check_payload(form, {})[0].code == "bad-form"


def test_values_may_hold_words_that_schemas_may_not() -> None:
    assert form_problems({"properties": {"a": {"enum": [{"pattern": 1}], "default": {"$ref": "x"}}}}) == []


def test_deep_form_is_refused() -> None:
    form: dict[str, Any] = {}
    for _ in range(3000):
        form = {"items": form}
    assert form_problems(form)[0].code == "bad-form"


def test_check_of_a_large_payload_is_bounded() -> None:
    entries = [{"n": i, "x": {}} for i in range(3_000)]
    form = {"type": "array", "uniqueItems": True}
    started = time.thread_time()
    assert check_payload(form, entries) == []
    assert [p.code for p in check_payload(form, [*entries, entries[0]])] == ["bad-value"]
    assert [p.code for p in check_payload(form, entries * 20)] == ["payload-too-large"]
    assert time.thread_time() - started < 5


def test_long_text_is_one_value() -> None:
    assert check_payload({"type": "object"}, {"chapter": "word " * 200_000}) == []
