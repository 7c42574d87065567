"""Values as text for prompts, text out of its fence, the known word nearest to a mistyped one. Renders nothing."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

from offbook.workflows.values import JsonValue

_FENCE = "```"
_FENCE_LINE = re.compile(r"```[\w-]*[ \t\r]*")


def as_text(value: JsonValue) -> str:
    """Write a value as templates write it inside text: None as nothing, what is not text as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Suggest the known word that is nearest, else list those there are, else say `otherwise`."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if not words:
        return otherwise
    more = ", ..." if len(words) > 20 else ""
    return f"there is {', '.join(words[:20])}{more}"


def unfenced(text: str) -> str:
    """Return what is in a fenced block, if all of the text is one."""
    stripped = text.strip()
    first, newline, rest = stripped.partition("\n")
    if not newline or not _FENCE_LINE.fullmatch(first) or not rest.endswith(_FENCE):
        return text
    return rest.removesuffix(_FENCE)
