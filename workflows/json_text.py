"""JSON read piece by piece, so that each piece has its line. As strict as the standard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder

from offbook.workflows.document_events import Event, refuse, whole_number
from offbook.workflows.values import JsonValue

_JSON_TOKEN = re.compile(
    r'[ \t\r\n]*(?:([{}\[\]:,])|(")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)|(true|false|null))'
)
_EXPECTED = {
    "value": "a value",
    "value or end": "a value or `]`",
    "key": "a key in double quotes",
    "key or end": "a key in double quotes or `}`",
    "colon": "`:`",
    "comma or end": "`,` or the closing bracket",
    "end": "nothing more",
}
_DECODER = JSONDecoder()
_JSON_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


def json_events(text: str) -> Iterator[Event]:
    """Yield the pieces of a JSON text; TextRefused where it cannot be read."""
    position = 0
    line = 1
    open_ends: list[str] = []
    expected = "value"
    while True:
        token = _JSON_TOKEN.match(text, position)
        if token is None:
            rest = text[position:].lstrip(" \t\r\n")
            line += text.count("\n", position, len(text) - len(rest))
            if not rest and expected == "end":
                return
            raise refuse("json-syntax", f"the text is no JSON: {_unexpected(rest, expected)}", line)
        line += text.count("\n", position, token.end())
        position = token.end()
        sign, quote, number, word = token.groups()
        if expected == "end":
            raise refuse("json-syntax", "the text is no JSON: it goes on after its end", line)
        if quote:
            try:
                value, position = _DECODER.raw_decode(text, position - 1)
            except JSONDecodeError as error:
                raise refuse("json-syntax", f"the text is no JSON: {error.msg}", line) from None
            begin = line
            line += text.count("\n", token.end(), position)
        elif number:
            begin, value = line, float(number) if set(number) & set(".eE") else whole_number(number, line)
        elif word:
            begin, value = line, _JSON_WORDS[word]
        if not sign:
            if expected not in ("value", "key", "value or end", "key or end") or (expected[0] == "k" and not quote):
                raise refuse("json-syntax", f"the text is no JSON: {_unexpected(token[0].strip(), expected)}", line)
            yield Event("value", begin, value)
            expected = "colon" if expected[0] == "k" else _after(open_ends)
        elif sign in "{[" and expected in ("value", "value or end"):
            yield Event("mapping" if sign == "{" else "list", line)
            open_ends.append("}" if sign == "{" else "]")
            expected = "key or end" if sign == "{" else "value or end"
        elif sign in "}]" and open_ends and sign == open_ends[-1] and expected.endswith("end"):
            yield Event("end", line)
            open_ends.pop()
            expected = _after(open_ends)
        elif sign == ":" and expected == "colon":
            expected = "value"
        elif sign == "," and expected == "comma or end":
            expected = "key" if open_ends[-1] == "}" else "value"
        else:
            raise refuse("json-syntax", f"the text is no JSON: {_unexpected(sign, expected)}", line)


def _after(open_ends: list[str]) -> str:
    return "comma or end" if open_ends else "end"


def _unexpected(found: str, expected: str) -> str:
    expected = _EXPECTED[expected]
    return f"expected {expected}, found `{found[:20]}`" if found else f"it ends where {expected} is expected"
