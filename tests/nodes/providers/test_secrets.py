"""Keys are taken out of texts: those that were used, those that can be looked up, and as they stand in a URL."""

from __future__ import annotations

from offbook.nodes.providers.secrets import KEPT, Secrets


def test_key_that_was_used_is_taken_out_everywhere() -> None:
    secrets = Secrets()
    text = "Bearer sk-abc+/=1 and https://x/?key=sk-abc%2B%2F%3D1"
    assert secrets.scrub(text) == text
    secrets.remember("sk-abc+/=1")
    assert secrets.scrub(text) == "Bearer [key] and https://x/?key=[key]"


def test_longer_key_goes_before_one_that_it_begins_with() -> None:
    secrets = Secrets()
    secrets.remember("sk-abcdef")
    secrets.remember("sk-abcdef-and-more")
    assert secrets.scrub("sk-abcdef-and-more, sk-abcdef") == "[key], [key]"


def test_key_that_was_never_used_is_taken_out_too() -> None:
    secrets = Secrets()
    keys: list[str] = []
    secrets.watch(lambda: keys)
    assert secrets.scrub("sk-of-everybody") == "sk-of-everybody"
    keys.append("sk-of-everybody")
    assert secrets.scrub("sk-of-everybody") == "[key]"


def test_short_text_is_no_secret() -> None:
    secrets = Secrets()
    secrets.remember("a")
    assert secrets.scrub("an apple") == "an apple"


def test_what_is_remembered_is_bounded_and_what_is_used_stays() -> None:
    secrets = Secrets()
    secrets.remember("sk-in-use")
    for number in range(KEPT - 1):
        secrets.remember(f"sk-number-{number}")
    secrets.remember("sk-in-use")
    secrets.remember("sk-another")
    assert secrets.scrub("sk-in-use sk-another sk-number-0 sk-number-1") == "[key] [key] sk-number-0 [key]"
