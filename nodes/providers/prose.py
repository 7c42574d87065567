"""Pseudo-prose of a given number of words, the same for the same seed in every process. Means nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

_SAYING = (
    "the river a lantern and every door of winter under an old harbour with no name she kept quiet maps for him "
    "until morning came over stones where letters waited in drawers that nobody opened while rain counted roofs "
    "and the clock forgot its hour between two bells they walked slowly past gardens toward something like light"
)
_WORDS = _SAYING.split()


def prose(words: int, seed: str) -> Iterator[str]:
    """Yield so many words, each with the space or paragraph break after it but for the last."""
    # Seeded with text, which does not depend on hash randomisation.
    chance = random.Random(seed)
    written = 0
    for sentence in count(1):
        length = min(chance.randint(6, 16), words - written)
        if length <= 0:
            return
        for place in range(length):
            word = chance.choice(_WORDS)
            written += 1
            if place == 0:
                word = word.capitalize()
            if place == length - 1:
                word += "."
            if written == words:
                yield word
            elif place == length - 1 and sentence % 5 == 0:
                yield word + "\n\n"
            else:
                yield word + " "
