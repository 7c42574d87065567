"""What validation says of checks: unknown, wrong, in the wrong place; with node, path, line and hint."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.loading import load_workflow
from offbook.workflows.validation import find_problems
from tests.workflows.fake_types import TYPES

INPUTS = {"n": {"type": "integer"}}


def problems(*checks: Any, lists: Any = None, **node: Any) -> list[Problem]:
    body = {
        "id": "a",
        "type": "template",
        "config": {"text": "x"},
        **({"checks": list(checks)} if checks else {}),
        **node,
    }
    document = {"name": "x", "inputs": INPUTS, "nodes": [body], **({"checks": lists} if lists is not None else {})}
    return find_problems(document, TYPES)


def only(*checks: Any, **more: Any) -> Problem:
    (problem,) = problems(*checks, **more)
    return problem


def test_every_kind_is_accepted_as_it_is_documented() -> None:
    assert not problems(
        "empty",
        "refusal",
        {"min_words": 300},
        {"min_sentences": 10},
        {"repetition": {"ngram": 8, "most": 0.2}},
        {"repetition": 0.3},
        "repetition",
        {"json_schema": {"type": "object", "required": ["title"]}},
        {"outline": {"chapters": "{{ inputs.n }}"}},
        {"outline": 3},
        {"min_words": "{{ inputs.n * 100 }}"},
        check_retry={"attempts": 5},
        max_regenerations=3,
    )


@pytest.mark.parametrize(
    ("check", "code", "path", "said", "hint"),
    [
        ("emty", "unknown-check", "nodes[0].checks[0]", "no check `emty`", "did you mean `empty`?"),
        ({"quality": 3}, "unknown-check", "nodes[0].checks[0]", "no check `quality`", "{function: NAME}"),
        ("min_words", "missing-field", "nodes[0].checks[0]", "asks for `least`", "{min_words: 300}"),
        ({"min_words": "many"}, "wrong-type", "nodes[0].checks[0].min_words", "whole number", "{min_words: 300}"),
        ({"min_words": 0}, "out-of-range", "nodes[0].checks[0].min_words", "at least 1", ""),
        ({"min_words": {"most": 3}}, "missing-field", "nodes[0].checks[0].min_words.least", "`least`", ""),
        ({"repetition": {"most": 2}}, "out-of-range", "nodes[0].checks[0].repetition.most", "at most 1", ""),
        ({"empty": 3}, "wrong-type", "nodes[0].checks[0].empty", "must be a mapping, got 3", "empty"),
        ({"json_schema": {"type": "objekt"}}, "bad-form", "nodes[0].checks[0].json_schema.type", "JSON Schema", ""),
        ({"json_schema": {"$ref": "x"}}, "bad-form", "nodes[0].checks[0].json_schema['$ref']", "may not use", ""),
        ({"json_schema": 5}, "wrong-type", "nodes[0].checks[0].json_schema", "must be a mapping", ""),
        ({"function": "poet"}, "unknown-function", "nodes[0].checks[0].function", "'poet'", "@offbook.check"),
        ({"outline": "{{ inputs.chapters }}"}, "unknown-input", "nodes[0].checks[0].outline", "chapters", ""),
        ({"outline": {"chapters": "{{ nope }}"}}, "unknown-name", "nodes[0].checks[0].outline.chapters", "nope", ""),
        ({"min_words": "{{ index }}"}, "item-outside-foreach", "nodes[0].checks[0].min_words", "index", ""),
        ({"min_words": "{{ 3 + }}"}, "template-syntax", "nodes[0].checks[0].min_words", "", ""),
        (5, "wrong-type", "nodes[0].checks[0]", "text or a mapping", ""),
        ({"empty": None, "refusal": None}, "bad-value", "nodes[0].checks[0]", "one name", ""),
    ],
)
def test_wrong_check_is_refused_where_it_stands(check: Any, code: str, path: str, said: str, hint: str) -> None:
    found = problems(check)
    problem = next(each for each in found if each.code == code)
    assert (problem.path, problem.node_id) == (path, "a")
    assert said in problem.message
    assert hint in problem.hint


def test_list_of_the_workflow_is_referred_to_by_its_name() -> None:
    prose = ["empty", {"min_words": "{{ inputs.n }}"}]
    assert not problems("prose", "refusal", lists={"prose": prose})
    problem = only("pros", lists={"prose": prose})
    assert (problem.code, problem.hint) == ("unknown-check", "did you mean `prose`?")


def test_wrong_entry_of_a_list_is_told_once_where_the_list_stands() -> None:
    problem = only("prose", lists={"prose": ["empty", "emty"]})
    assert (problem.code, problem.path, problem.node_id) == ("unknown-check", "checks.prose[1]", None)


def test_template_of_a_list_is_read_where_it_is_used() -> None:
    problem = only("prose", lists={"prose": [{"min_words": "{{ item }}"}]})
    assert (problem.code, problem.path, problem.node_id) == ("item-outside-foreach", "checks.prose[0].min_words", "a")


@pytest.mark.parametrize(
    ("lists", "path", "said"),
    [
        ({"empty": ["refusal"]}, "checks.empty", "a check of its own"),
        ({"one": ["two"], "two": ["empty"]}, "checks.one[0]", "refers to the list `two`"),
    ],
)
def test_list_that_could_be_misread_is_refused(lists: Any, path: str, said: str) -> None:
    problem = only("refusal", lists=lists)
    assert (problem.code, problem.path) == ("bad-check", path)
    assert said in problem.message


def test_list_takes_no_parameters() -> None:
    problem = only({"prose": 3}, lists={"prose": ["empty"]})
    assert (problem.code, problem.path) == ("bad-check", "nodes[0].checks[0]")


def test_checks_of_a_foreach_stand_under_do() -> None:
    do = {"type": "template", "config": {"text": "x"}, "checks": [{"min_words": "{{ index + 1 }}"}]}
    assert not problems(type="foreach", config={"count": 2, "do": do})
    found = problems("empty", type="foreach", config={"count": 2, "do": do}, check_retry={"attempts": 2})
    assert [(each.code, each.path) for each in found] == [
        ("bad-check", "nodes[0].checks"),
        ("bad-check", "nodes[0].check_retry"),
    ]
    wrong = problems(type="foreach", config={"count": 2, "do": {**do, "checks": ["emty"]}})
    assert [each.path for each in wrong] == ["nodes[0].config.do.checks[0]"]


def test_output_that_comes_from_outside_is_not_checked() -> None:
    problem = only("empty", type="approval", config={})
    assert (problem.code, problem.path) == ("bad-check", "nodes[0].checks")


def test_problem_has_its_line() -> None:
    text = """
name: x
nodes:
  - id: a
    type: template
    config: {text: x}
    checks:
      - empty
      - min_words: few
"""
    with pytest.raises(ValidationFailed) as caught:
        load_workflow(text, types=TYPES)
    assert [(each.line, each.path) for each in caught.value.problems] == [(9, "nodes[0].checks[1].min_words")]


@pytest.mark.parametrize(
    ("word", "value"), [("check_retry", {"delay": 3}), ("max_regenerations", -1), ("check", ["empty"])]
)
def test_words_beside_checks_are_held_to_their_shape(word: str, value: Any) -> None:
    assert len(problems(**{word: value})) == 1
