"""Transcripts of long talks: one to try things with, and cutting one into passages of which nothing is lost.

`python -m offbook.examples.transcripts > talk.txt` writes 200 KB, the same each time.
"""

from __future__ import annotations

import random
import sys

from offbook.nodes import NodeContext, NodeFailure, node
from offbook.workflows.values import JsonValue

SIZE = 200_000
"""Bytes."""
SEED = "a talk about keeping lights"
LAST_WORDS = "That was the last question, and the tape ends here."

_OPENINGS = ("Well,", "You see,", "I have often thought that", "As far as I remember,", "In those days")
_SUBJECTS = ("the lamp", "the harbour office", "every keeper", "the old logbook", "the supply boat", "nobody ashore")
_VERBS = ("kept to", "had to answer for", "learnt from", "never wrote down", "was proud of", "paid dearly for")
_OBJECTS = ("its own hours", "what the fog did", "the price of oil", "a promise", "the rules of the coast")
_ENDINGS = ("in the end", "that winter", "long before the radio", "whatever the inspector said", "and still does")
_QUESTIONS = ("How did that come about?", "And what did it cost?", "Who decided that?", "And today?")


def make_transcript(size: int = SIZE) -> str:
    """Make a talk of at least so many bytes, the same for the same size in every process."""
    chance = random.Random(SEED)
    lines: list[str] = []
    length = second = 0
    while length < size:
        speaker = "Host" if len(lines) % 2 == 0 else "Guest"
        said = chance.choice(_QUESTIONS) if speaker == "Host" else _answer(chance)
        lines.append(f"[{_clock(second)}] {speaker}: {said}")
        length += len(lines[-1]) + 1
        second += chance.randint(4, 40)
    lines.append(f"[{_clock(second)}] Host: {LAST_WORDS}")
    return "\n".join(lines) + "\n"


@node
def split_transcript(ctx: NodeContext, transcript: str, passage_chars: int = 6000) -> JsonValue:
    """Cut a transcript into passages of about so many characters, between lines where it can; nothing is left out."""
    if passage_chars < 1:
        raise NodeFailure.of("validation", f"passage_chars must be at least 1, got {passage_chars}")
    passages = list(_passages(transcript, passage_chars))
    return [{"number": number, "text": text} for number, text in enumerate(passages, start=1)]


def _passages(transcript: str, size: int) -> list[str]:
    found: list[str] = []
    start = 0
    while start < len(transcript):
        end = start + size
        if end < len(transcript):
            line_end = transcript.rfind("\n", start, end)
            end = line_end + 1 if line_end >= start else end
        found.append(transcript[start:end])
        start = end
    return found


def _answer(chance: random.Random) -> str:
    sentences = []
    for _ in range(chance.randint(2, 7)):
        words = [chance.choice(part) for part in (_OPENINGS, _SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)]
        sentences.append(" ".join(words) + ".")
    return " ".join(sentences)


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


if __name__ == "__main__":
    sys.stdout.write(make_transcript(int(sys.argv[1]) if len(sys.argv) > 1 else SIZE))
