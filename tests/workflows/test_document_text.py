"""Documents as text: values as written, lines of everything, and texts that cannot be read."""

from __future__ import annotations

import json
import time

import pytest

from offbook.workflows.document_events import TextRefused
from offbook.workflows.document_text import MAX_TEXT_BYTES, read_text
from offbook.workflows.errors import Problem
from offbook.workflows.source_lines import SourceLines, child_path


def read(text: str) -> object:
    value, problems = read_text(text, SourceLines())
    assert problems == []
    return value


def refusal(text: str) -> Problem:
    with pytest.raises(TextRefused) as refused:
        read_text(text, SourceLines())
    return refused.value.problem


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("1\u0663", "1\u0663"),
        ("-7", -7),
        ("007", 7),
        ("0x1f", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("'12'", "12"),
        ('"a\\nb"', "a\nb"),
        ("!!str 12", "12"),
        ("=", "="),
        ("a: b", {"a": "b"}),
    ],
)
def test_yaml_value_is_what_people_write(written: str, value: object) -> None:
    text = f"key: {written}\n" if ": " not in written else f"key:\n  {written}\n"
    read_value = read(text)
    assert read_value == {"key": value}
    assert type(read_value["key"]) is type(value)


def test_json_is_read_as_json() -> None:
    text = '{"a": [1, 2.5, -3e2, "tab\\t\\ud83d\\ude00\\/"],\n\t"b": {"c": null, "d": [true, false]}, "": {}}'
    assert read(text) == json.loads(text)


def test_json_and_yaml_of_one_document_are_equal() -> None:
    document = {"name": "x", "nodes": [{"id": "a", "config": {"prompt": "one\ntwo", "n": [1, None]}}]}
    yaml_text = (
        "name: x\nnodes:\n  - id: a\n    config:\n      prompt: |-\n        one\n        two\n      n: [1, null]\n"
    )
    assert read(json.dumps(document, indent=2)) == read(yaml_text) == document


def test_every_path_has_its_line() -> None:
    lines = SourceLines()
    read_text(
        "name: x\nnodes:\n  - id: a\n    config:\n      prompt: |\n        first\n        second\n  - b\n", lines
    )
    assert lines.find("name") == 1
    assert lines.find("nodes[0].id") == 3
    assert lines.find("nodes[0].config") == 4
    assert lines.find("nodes[0].config.prompt", line_within=2) == 7
    assert lines.find("nodes[1]") == 8
    assert lines.find("nodes[0].config.absent.deeper[3]") == 4
    json_lines = SourceLines()
    read_text('{\n "nodes": [\n  {"id":\n   "a"},\n  {"x y": 1}]}', json_lines)
    assert json_lines.find("nodes[0].id") == 3
    assert json_lines.find(child_path("nodes[1]", "x y")) == 5


def test_lines_of_nothing_are_none() -> None:
    assert SourceLines().find("nodes[0].id") is None


def test_anchor_can_be_used_again() -> None:
    text = "base: &base {a: 1}\none: *base\ntwo: [*base, *base]"
    assert read(text) == {"base": {"a": 1}, "one": {"a": 1}, "two": [{"a": 1}, {"a": 1}]}


def test_key_may_have_an_anchor() -> None:
    assert read("&name first: 1\nsecond: *name\nthird: {*name : 2}") == {
        "first": 1,
        "second": "first",
        "third": {"first": 2},
    }


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", '{"a": 1,\n"b": 2,\n"a": 3}'])
def test_duplicate_key_is_a_problem_with_both_lines(text: str) -> None:
    value, problems = read_text(text, SourceLines())
    assert value == {"a": 3, "b": 2}
    assert [(p.code, p.path, p.line) for p in problems] == [("duplicate-key", "a", 3)]
    assert "first in line 1" in problems[0].message


@pytest.mark.parametrize(
    ("text", "code", "line", "said"),
    [
        ("a: [1, 2\nb: 3", "yaml-syntax", 2, "expected"),
        ("a:\n\tb: 1", "yaml-syntax", 2, "spaces"),
        ("a: b: c", "yaml-syntax", 1, "quotes"),
        ("a: 1\n---\nb: 2", "yaml-syntax", 2, "second document"),
        ("a: *nowhere", "unknown-anchor", 1, "nowhere"),
        ("a: 1\nb: {{ inputs.x }}", "bad-key", 2, "in quotes"),
        ("a: %x", "yaml-syntax", 1, ""),
        ("a: 1\nb: \x00", "yaml-syntax", 2, r"'\x00'"),
        ("a: 1\nb: \ud800", "yaml-syntax", 2, r"'\ud800'"),
        ("a: " + "9" * 5000, "bad-value", 1, "digits"),
        ("a: [", "yaml-syntax", 1, "expected"),
        ("a: [\n\n", "yaml-syntax", 1, "expected"),
        ("a: 1\nb: 'x\nc: 3\n", "yaml-syntax", 3, "begins in line 2"),
        ("a: 1\u2028b: [", "yaml-syntax", 2, "expected"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "bad-key", 3, "no merge"),
        ("a: &a [b]\n*a : c\n", "bad-key", 2, "as a key"),
        ('{"a": 1\n "b": 2}', "json-syntax", 2, "expected `,`"),
        ('{"a": 1,\n "b": ]}', "json-syntax", 2, "expected a value"),
        ('{"a": [1, 2}', "json-syntax", 1, "expected"),
        ('{"a": 1}}', "json-syntax", 1, "after its end"),
        ('{"a": "x', "json-syntax", 1, "Unterminated"),
        ('{\n"a": 1', "json-syntax", 2, "ends where"),
        ('{"a": ' + "9" * 5000 + "}", "bad-value", 1, "digits"),
        ("[" * 5000, "too-deep", 1, "deeper"),
        ("a: " + "[" * 5000, "too-deep", 1, "deeper"),
        ("&a [*a]", "unknown-anchor", 1, "`*a`"),
        ("x: " + "y" * MAX_TEXT_BYTES, "document-too-large", None, "larger"),
        ("[" + "1," * 200_000 + "1]", "document-too-large", 1, "values"),
    ],
)
def test_unreadable_text_is_one_problem_with_its_line(text: str, code: str, line: int | None, said: str) -> None:
    problem = refusal(text)
    assert (problem.code, problem.line) == (code, line)
    assert said in problem.message + problem.hint


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    started = time.thread_time()
    assert refusal("\n".join(lines)).code == "document-too-large"
    assert time.thread_time() - started < 1


def test_flow_yaml_that_begins_like_json_is_yaml() -> None:
    assert read("{name: x, nodes: [a, b]}") == {"name": "x", "nodes": ["a", "b"]}


def test_python_tags_make_nothing() -> None:
    assert read("a: !!python/object/apply:os.system ['true']") == {"a": ["true"]}
