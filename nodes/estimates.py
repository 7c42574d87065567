"""What a call of a model will use, as far as its config tells. Asks no provider and renders no template."""

from __future__ import annotations

from collections.abc import Mapping

from offbook.workflows.values import Usage

CHARS_PER_TOKEN = 4
"""For estimates, where a provider gives no figures."""
DEFAULT_OUTPUT_TOKENS = 1000
"""What an answer is taken to have where `max_tokens` does not say how many it may have."""


def tokens_of(chars: int) -> int:
    """Estimate how many tokens so many characters are."""
    return -(-chars // CHARS_PER_TOKEN)


def estimate_call(config: Mapping[str, object]) -> Usage:
    """Estimate a call: its prompt as it is written, and as many tokens as the answer may have."""
    written = (config.get("prompt"), config.get("system"))
    asked = sum(tokens_of(len(text)) for text in written if isinstance(text, str))
    return Usage(asked, _answered(config), estimated=True)


def _answered(config: Mapping[str, object]) -> int:
    most = config.get("max_tokens")
    if isinstance(most, int) and most > 0:
        return most
    script = config.get("script")
    if isinstance(script, Mapping):
        # The scripted provider's tokens are words.
        words, text = script.get("words"), script.get("text")
        if isinstance(words, int):
            return words
        if isinstance(text, str):
            return len(text.split())
    return DEFAULT_OUTPUT_TOKENS
