"""What a scripted provider is told to do: the words of `config.script`. Does none of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from offbook.nodes.text import as_text

FailureKind = Literal["rate_limit", "timeout", "dropped", "empty", "invalid_key"]


class _ScriptPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ScriptedFailure(_ScriptPart):
    """A failure on cue."""

    item: int | None = Field(default=None, ge=0)
    """Of a foreach, from 0; left out: a plain node, or every item."""
    attempt: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """From 1."""
    error: FailureKind

    def is_due(self, item: int | None, attempt: int) -> bool:
        return self.item in (None, item) and self.attempt in ("all", attempt)


class Script(_ScriptPart):
    """What to answer, how fast, and when to fail."""

    text: Annotated[str, BeforeValidator(as_text)] | None = None
    """The answer, as it is. Either this or `words`; with neither, a sentence about the prompt."""
    words: int | None = Field(default=None, ge=0, le=10_000_000)
    """Answer with so many words, always the same for the same prompt, model and item."""
    delay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Seconds before the first word, or before the failure."""
    tokens_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Words per second; 0 is as fast as it goes."""
    fail: tuple[ScriptedFailure, ...] = ()

    @model_validator(mode="after")
    def _text_or_words(self) -> Script:
        if self.text is not None and self.words is not None:
            raise ValueError("give `text` or `words`, not both")
        return self

    def failure(self, item: int | None, attempt: int) -> FailureKind | None:
        """Return the failure that this attempt ends in; the first that fits."""
        return next((each.error for each in self.fail if each.is_due(item, attempt)), None)


NO_SCRIPT = Script()
