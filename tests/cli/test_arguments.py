"""What is typed, as values."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbook.cli.arguments import is_file, parse_document, parse_inputs, parse_labels, parse_payload
from offbook.cli.exits import UsageRefused

DOCUMENT = {
    "inputs": {
        "premise": {"type": "text"},
        "chapters": {"type": "integer"},
        "cover": {"type": "boolean"},
        "tags": {"type": "list"},
        "style": {"type": "select", "options": ["1", "noir"]},
        "plain": {},
    }
}


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("premise=2026", "2026"),
        ("premise=a=b", "a=b"),
        ("premise=", ""),
        ("premise=[not a list]", "[not a list]"),
        ("premise=@@handle", "@handle"),
        ("plain=7", "7"),
        ("chapters=3", 3),
        ("chapters=many", "many"),
        ("cover=true", True),
        ("cover=No", False),
        ('tags=["a", 1]', ["a", 1]),
        ("style=1", "1"),
        ("style=2", 2),
    ],
)
def test_input_becomes_what_the_document_declares(pair: str, value: object) -> None:
    name = pair.partition("=")[0]
    assert parse_inputs([pair], DOCUMENT) == {name: value}


def test_input_from_a_file_is_its_text(tmp_path: Path) -> None:
    file = tmp_path / "transcript.txt"
    file.write_text("Größe\n" * 40_000, encoding="utf-8")
    assert parse_inputs([f"premise=@{file}"], DOCUMENT) == {"premise": "Größe\n" * 40_000}
    with pytest.raises(UsageRefused, match="No such file"):
        parse_inputs([f"premise=@{tmp_path}/nothing"], DOCUMENT)


@pytest.mark.parametrize("pair", ["premise", "=3"])
def test_input_without_a_name_or_value_is_refused(pair: str) -> None:
    with pytest.raises(UsageRefused, match="name=value"):
        parse_inputs([pair], DOCUMENT)


def test_labels_are_texts() -> None:
    assert parse_labels(["team=a=b", "run=3"]) == {"team": "a=b", "run": "3"}


def test_payload_is_json() -> None:
    assert parse_payload(None) == {}
    assert parse_payload('{"approved": true}') == {"approved": True}
    with pytest.raises(UsageRefused, match="not JSON"):
        parse_payload("yes")


def test_document_that_is_none_is_left_to_validation() -> None:
    assert parse_document("name: x\nday: 2026-01-01\n") == {"name": "x", "day": "2026-01-01"}
    assert parse_document('{\n\t"name": "x"\n}') == {"name": "x"}
    assert parse_document("{name: x}") == {"name": "x"}
    assert parse_document("a: [") is None
    assert parse_document("- a") is None


@pytest.mark.parametrize(
    ("reference", "file"), [("novella", False), ("a" * 64, False), ("novella.yaml", True), ("flows/novella", True)]
)
def test_reference_with_a_suffix_or_folder_is_a_file(reference: str, file: bool) -> None:
    assert is_file(reference) is file


def test_document_is_read_as_the_engine_reads_it() -> None:
    # YAML 1.2: `yes` is text, also as a key.
    assert parse_document("form: {yes: {type: boolean}}\nday: 2026-01-01\n") == {
        "form": {"yes": {"type": "boolean"}},
        "day": "2026-01-01",
    }
