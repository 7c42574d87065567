"""What is typed, as values: workflow files, `--input k=v`, `--label k=v`, JSON payloads. Asks no engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from offbook.cli.exits import UsageRefused
from offbook.workflows.document_events import TextRefused
from offbook.workflows.document_text import read_text as read_document
from offbook.workflows.source_lines import SourceLines
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue

FILE_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
TEXT_TYPES = frozenset({"text", "file"})
WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def is_file(reference: str) -> bool:
    """Whether a workflow is meant as a file, not as the name of a registered one."""
    path = Path(reference)
    return path.is_file() or path.suffix.lower() in FILE_SUFFIXES or "/" in reference


def read_text(path: Path) -> str:
    """Return a file's text; UsageRefused if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageRefused(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageRefused(f"{path} is not UTF-8 text") from None


def parse_document(text: str) -> JsonObject | None:
    """Read YAML or JSON as the engine does; None if it is neither, or no object: validation says what is wrong."""
    try:
        document, _ = read_document(text, SourceLines())
    except TextRefused:
        return None
    return document if isinstance(document, dict) else None


def parse_inputs(pairs: Sequence[str], document: JsonObject) -> JsonObject:
    """Read `name=value`, each as the document declares it; `name=@file` takes the text of a file.

    Text stays as it is typed. Other types are JSON (`3`, `true`, `["a", "b"]`); what is not is left for the
    engine to refuse. `@@` stands for an `@` at the beginning.
    """
    declared = document.get("inputs")
    fields = declared if isinstance(declared, dict) else {}
    inputs: JsonObject = {}
    for pair in pairs:
        name, value = _split(pair, "--input")
        field = fields.get(name)
        inputs[name] = _typed(_content(value), field if isinstance(field, dict) else {})
    return inputs


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Read `key=value` pairs."""
    return dict(_split(pair, "--label") for pair in pairs)


def parse_payload(text: str | None) -> JsonValue:
    """Read a signal's payload: JSON, or `@file` with JSON; an empty object if there is none."""
    if text is None:
        return {}
    try:
        return json.loads(_content(text))
    except ValueError as error:
        raise UsageRefused(
            f"--payload is not JSON: {error}", hint="""text needs quotes: --payload '"yes"'"""
        ) from None


def parse_user(user_id: str | None, role: str | None = None, tier: str | None = None) -> ExecutionUser | None:
    """Return the execution user that the options name."""
    return ExecutionUser(user_id, role or "user", tier or "") if user_id else None


def gather_budget(tokens: int | None, money: str | None, warn: bool) -> JsonObject:
    """Return the budget that the options name; what makes no sense is left for the engine to refuse."""
    budget: JsonObject = {"mode": "warn" if warn else "hard"}
    if tokens is not None:
        budget["tokens"] = tokens
    if money is not None:
        budget["money"] = money
    return budget


def _split(pair: str, option: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not name or not separator:
        raise UsageRefused(f"{option} {pair!r} is not name=value")
    return name.strip(), value


def _content(value: str) -> str:
    if value.startswith("@@"):
        return value[1:]
    return read_text(Path(value[1:])) if value.startswith("@") else value


def _typed(text: str, field: JsonObject) -> JsonValue:
    kind = field.get("type", "text")
    if kind in TEXT_TYPES or text in field.get("options", ()):
        return text
    if kind == "boolean" and text.strip().lower() in WORDS:
        return WORDS[text.strip().lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text
