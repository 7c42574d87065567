"""YAML read piece by piece, as version 1.2 has it: `no` and `2026-01-01` are text. Runs nothing, resolves no tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from offbook.workflows.document_events import Event, TextRefused, refuse, whole_number
from offbook.workflows.errors import Problem
from offbook.workflows.values import JsonValue

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader

_YAML_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_YAML_TRUE = frozenset({"true", "True", "TRUE"})
_YAML_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_FORBIDDEN = yaml.reader.Reader.NON_PRINTABLE


def yaml_events(text: str) -> Iterator[Event]:
    """Yield the pieces of one YAML document; TextRefused where it cannot be read."""
    forbidden = _FORBIDDEN.search(text)
    if forbidden is not None:
        line = len(_LINE_END.findall(text, 0, forbidden.start())) + 1
        raise refuse("yaml-syntax", f"the text is no YAML: it has the character {forbidden[0]!a} in it", line)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            assert event.start_mark is not None
            line = event.start_mark.line + 1
            if isinstance(event, yaml.ScalarEvent):
                plain = event.style is None or event.style == ""
                value = _resolve(event.value, line) if plain and not _is_text_tag(event.tag) else event.value
                yield Event("value", line, value, event.anchor, block=event.style == "|")
            elif isinstance(event, yaml.SequenceStartEvent):
                yield Event("list", line, anchor=event.anchor)
            elif isinstance(event, yaml.MappingStartEvent):
                yield Event("mapping", line, anchor=event.anchor)
            elif isinstance(event, yaml.CollectionEndEvent):
                yield Event("end", line)
            elif isinstance(event, yaml.AliasEvent):
                yield Event("alias", line, event.anchor)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise refuse(
                        "yaml-syntax", "there is a second document", line, "keep one, and remove what follows `---`"
                    )
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):
            raise refuse("too-deep", "the document is nested deeper than YAML may be", _line_of(error)) from None
        raise TextRefused(_yaml_problem(error, text)) from None


def _is_text_tag(tag: str | None) -> bool:
    return tag in ("tag:yaml.org,2002:str", "!")


def _resolve(text: str, line: int) -> JsonValue:
    """Read a plain scalar as YAML 1.2 does."""
    if text in _YAML_NULL:
        return None
    if text in _YAML_TRUE:
        return True
    if text in _YAML_FALSE:
        return False
    if text[0] in "0123456789-+.":
        if _INTEGER.fullmatch(text):
            return whole_number(text, line)
        if _OTHER_BASE.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


def _line_of(error: yaml.YAMLError) -> int | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else None


def _yaml_problem(error: yaml.YAMLError, text: str) -> Problem:
    lines = _LINE_END.split(text.rstrip())
    line = _line_of(error)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    begun = getattr(error, "context_mark", None)
    written = ""
    if line is not None:
        # Of a text that ends too early the reader says the line after its last.
        line = min(line, len(lines))
        written = lines[line - 1]
        if begun is not None and begun.line + 1 < line:
            reason += f", {getattr(error, 'context', '')} that begins in line {begun.line + 1}"
    hint = ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        hint = "indent with spaces: YAML allows no tabs there"
    elif "{{" in written or "{%" in written:
        hint = 'put a value that begins with `{{` in quotes: "{{ ... }}"'
    elif "mapping values are not allowed" in reason:
        hint = "put a text that holds `: ` in quotes"
    return Problem("yaml-syntax", f"the text is no YAML: {reason}", line=line, hint=hint)
