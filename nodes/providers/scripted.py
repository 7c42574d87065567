"""The provider that plays from a script: always there, without key or network. Fails on cue, never by chance."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator

from offbook.nodes.context import NodeFailure
from offbook.nodes.providers.prose import prose
from offbook.nodes.providers.protocol import ModelAnswer, ModelRequest, OnText, ignore_text
from offbook.nodes.providers.script import NO_SCRIPT, FailureKind, Script
from offbook.workflows.values import Usage

_WORD = re.compile(r"\s*\S+\s*")
_SHORTEST_SLEEP = 0.002
"""Seconds; what is due sooner is sent along."""
_WORDS_BETWEEN_TURNS = 200
"""Words sent before others on the loop get a turn, when no pace is set."""

_AT_ONCE: dict[FailureKind | None, Callable[[], NodeFailure]] = {
    "rate_limit": lambda: NodeFailure.of("rate_limit", "scripted: too many requests", retryable=True),
    "timeout": lambda: NodeFailure.of("timeout", "scripted: no answer in time", retryable=True),
    "invalid_key": lambda: NodeFailure.of("invalid_key", "scripted: the key was refused"),
}
"""Failures before the first word."""


class ScriptedProvider:
    """Answers with what `request.script` says. Its tokens are words, counted exactly."""

    name = "scripted"
    requires_key = False

    async def complete(self, request: ModelRequest, on_text: OnText, on_thought: OnText = ignore_text) -> ModelAnswer:
        script = request.script or NO_SCRIPT
        failure = script.failure(request.item, request.attempt)
        if script.delay:
            await asyncio.sleep(script.delay)
        if failure in _AT_ONCE:
            raise _AT_ONCE[failure]()
        length, words = (0, iter(())) if failure == "empty" else _words(request, script)
        text = await _stream(
            words, length // 2 if failure == "dropped" else length, script.tokens_per_second, on_text
        )
        if failure == "dropped":
            raise NodeFailure.of("dropped", "scripted: the connection was lost", retryable=True)
        asked = sum(len(message.content.split()) for message in request.messages)
        return ModelAnswer(text, Usage(asked, len(text.split())), "stop", request.model)

    async def close(self) -> None:
        return


def _words(request: ModelRequest, script: Script) -> tuple[int, Iterator[str]]:
    """Return how many words the answer has, and the words with the space around them."""
    prompt = request.messages[-1].content if request.messages else ""
    if script.words is not None:
        # Not the attempt: an answer that is asked for again is the same.
        seed = f"{request.model}|{request.item}|{script.words}|{prompt}"
        return script.words, prose(script.words, seed)
    text = script.text
    if text is None:
        text = f"{request.model} was asked: {' '.join(prompt.split()[:12])}"
    # Space alone is no word, and the pattern would look for one from each character of it.
    pieces = _WORD.findall(text) if text.strip() else []
    return len(pieces), iter(pieces)


async def _stream(words: Iterator[str], limit: int, pace: float, on_text: OnText) -> str:
    """Hand over the first words, so many a second, and return them as one text."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    sent: list[str] = []
    while len(sent) < limit:
        word = next(words)
        if pace:
            ahead = begin + (len(sent) + 1) / pace - clock()
            if ahead > _SHORTEST_SLEEP:
                await asyncio.sleep(ahead)
        elif len(sent) % _WORDS_BETWEEN_TURNS == _WORDS_BETWEEN_TURNS - 1:
            await asyncio.sleep(0)
        sent.append(word)
        on_text(word)
    return "".join(sent)
