"""Error texts of providers: short, and without the key or the prompt, whole or in part."""

from __future__ import annotations

import json

import pytest

from offbook.nodes.providers.scrub import SHOWN_CHARS, scrub

KEY = "sk-live-0123456789abcdef"
PROMPT = 'The heiress said: "No one may know that I am\nat the harbour tonight."'


def shown(text: str, key: str | None = KEY, prompts: tuple[str, ...] = (PROMPT,)) -> str:
    return scrub(text, key=key, prompts=prompts)


def test_text_without_secrets_is_kept() -> None:
    assert shown("model  not\nfound: 'writer'") == "model not found: 'writer'"
    assert shown("model not found", None, ()) == "model not found"
    assert shown("") == ""


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {KEY}!",
        f"bad key {KEY[:12]}...",
        f"bad key ...{KEY[-10:]}",
        f"{KEY}{KEY}",
        f"Bearer {KEY[:8]} and {KEY[8:]}",
    ],
)
def test_key_is_left_out_also_in_part(text: str) -> None:
    scrubbed = shown(text)
    assert "[key]" in scrubbed
    assert not any(KEY[start : start + 8] in scrubbed for start in range(len(KEY) - 7))


@pytest.mark.parametrize(
    "text",
    [
        f"cannot read: {PROMPT}",
        f"cannot read: {json.dumps(PROMPT)}",
        f"cannot read: {PROMPT[10:50]}",
        f"cannot read: {PROMPT.replace(' ', '  ')}",
    ],
)
def test_prompt_is_left_out_also_in_part(text: str) -> None:
    scrubbed = shown(text)
    assert scrubbed.startswith("cannot read: ")
    assert "[prompt]" in scrubbed
    assert "harbour" not in scrubbed
    assert "may know" not in scrubbed


def test_short_secrets_are_left_out_whole() -> None:
    assert shown("key k-123 of user", "k-123", ()) == "key [key] of user"
    assert shown("said: Hello you", None, ("Hello you",)) == "said: [prompt]"
    assert shown("an apple", None, ("a",)) == "an apple"


def test_long_text_is_cut_after_the_secrets_are_out() -> None:
    assert shown("x " * 5000) == ("x " * 5000)[: SHOWN_CHARS - 3] + "..."
    for before in range(1980, 2010):
        assert KEY[:8] not in shown("y" * before + KEY + "z" * 100)
        assert KEY[:8] not in scrub("y" * (before - 1500) + KEY, key=KEY, prompts=())


def test_large_prompt_is_looked_through_in_little_time() -> None:
    prompt = "the ship came in at nine " * 100_000
    assert "[prompt]" in shown("invalid: the ship came in at nine the ship", KEY, (prompt,))
