"""What a kind of check is: its parameters, and how it judges an output. Retries and stores nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from offbook.workflows.errors import Problem
from offbook.workflows.values import JsonValue


class CheckParams(BaseModel):
    """Base of the parameters of checks: immutable, no word it does not know, no text of others in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Produced:
    """An output as checks see it: the value, and the text in it."""

    __slots__ = ("_text", "value")

    def __init__(self, value: JsonValue) -> None:
        self.value = value
        self._text: str | None = value if type(value) is str else None

    @property
    def text(self) -> str:
        """The output itself if it is text; else all texts in it, each a paragraph."""
        if self._text is None:
            self._text = "\n\n".join(_texts(self.value))
        return self._text


class CheckKind(ABC):
    """A kind of check. One instance serves every node and every attempt, so it keeps nothing of them.

    `examine` is called on the loop that nodes run on, for long outputs on a thread; it waits for nothing.
    """

    name: str
    params_model: type[BaseModel] = CheckParams
    shorthand: str = ""
    """The parameter that may stand alone, in place of a mapping: `{min_words: 300}`; empty: none."""
    example: str = ""
    """How it is written, for hints."""
    always_short: bool = False
    """Whether what is written is always that parameter, also where it is a mapping."""

    def check_params(self, params: Mapping[str, object]) -> Iterable[Problem]:
        """Yield what `params_model` cannot say of parameters as they are written; paths are relative to them."""
        return ()

    @abstractmethod
    def examine(self, produced: Produced, params: Any) -> str | None:
        """Return why an output does not pass, with figures; None if it does.

        `params` is an instance of `params_model`, with its templates rendered.
        """

    def examine_text(self, text: str, params: Any) -> str | None:
        """Do the same for an output that is text. A kind that looks at texts alone need not wait for a `Produced`."""
        return self.examine(Produced(text), params)


def _texts(value: JsonValue) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def percent(share: float) -> str:
    """Write a share for people: `37 %`."""
    return f"{100 * share:.0f} %" if share >= 0.01 or not share else f"{100 * share:.1g} %"
