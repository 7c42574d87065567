"""Error texts of providers made fit to be shown and stored: short, and without key or prompt."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_CHARS = 500
_EXAMINED_CHARS = 2000
_KEY_WINDOW = 8
_PROMPT_WINDOW = 16
_SHORTEST_SECRET = 4
"""Characters; what is shorter is in any text."""


def scrub(text: str, *, key: str | None, prompts: Iterable[str]) -> str:
    """Shorten a provider's text to 500 characters, on one line; key and prompts are left out, also parts of them."""
    # What a server quotes of a request is often JSON inside text.
    text = " ".join(text.replace("\\n", " ").replace('\\"', '"').split())
    if key:
        text = _without(text[: _EXAMINED_CHARS + len(key)], key, _KEY_WINDOW, "[key]")
    text = text[:_EXAMINED_CHARS]
    for prompt in prompts:
        text = _without(text, " ".join(prompt.split()), _PROMPT_WINDOW, "[prompt]")
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."


def _without(text: str, secret: str, window: int, mark: str) -> str:
    """Replace each part of a text, at least `window` characters long, that is in the secret too."""
    if len(secret) < window:
        return text.replace(secret, mark) if len(secret) >= _SHORTEST_SECRET else text
    kept: list[str] = []
    shown_from = 0
    for at in range(len(text) - window + 1):
        if text[at : at + window] not in secret:
            continue
        if at > shown_from or not kept:
            kept += (text[shown_from:at], mark)
        shown_from = at + window
    return "".join([*kept, text[shown_from:]])
