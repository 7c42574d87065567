"""The check for an answer that says nothing: no letter and no digit in it, or only empty lists and objects."""

from __future__ import annotations

import re

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.workflows.values import JsonValue

_SAYS_SOMETHING = re.compile(r"[^\W_]")


class Empty(CheckKind):
    """Fails an output that is nothing, blank, punctuation alone, or made of such. Numbers and truth values pass."""

    name = "empty"
    example = "empty"

    def examine(self, produced: Produced, params: CheckParams) -> str | None:
        value = produced.value
        if isinstance(value, str):
            return self.examine_text(value, params)
        return None if says_something(value) else "the answer is empty"

    def examine_text(self, text: str, params: CheckParams) -> str | None:
        if _SAYS_SOMETHING.search(text):
            return None
        shown = text.strip()
        return (
            f"the answer has {len(shown)} characters and not one letter or digit" if shown else "the answer is empty"
        )


def says_something(value: JsonValue) -> bool:
    """Whether there is a letter, digit, number or truth value anywhere in it."""
    if isinstance(value, str):
        return _SAYS_SOMETHING.search(value) is not None
    if isinstance(value, dict):
        return any(says_something(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(says_something(each) for each in value)
    return value is not None
