"""An OpenAI-compatible answer put together from what the server sends, streamed or whole. Does no I/O."""

from __future__ import annotations

from typing import Any

import orjson

from offbook.nodes.providers.protocol import ModelAnswer, OnText, OnUsage, ignore_usage
from offbook.workflows.money import MOST_TOKENS
from offbook.workflows.values import JsonObject, JsonValue, Usage

END = "[DONE]"


class AnswerUnreadable(Exception):
    """The server sent what is no part of an answer."""


class AnswerRefused(Exception):
    """The server sent an error in place of the rest of the answer."""

    def __init__(self, payload: bytes, status: int | None) -> None:
        self.payload = payload
        self.status = status
        """HTTP status that the error names; None if it names none."""
        super().__init__("the server sent an error")


class AnswerBuilder:
    """Takes the data of events in order; text and thoughts go out as they come in."""

    def __init__(self, on_text: OnText, on_thought: OnText, on_usage: OnUsage = ignore_usage) -> None:
        self._on_text = on_text
        self._on_thought = on_thought
        self._on_usage = on_usage
        self._text: list[str] = []
        self._usage: Usage | None = None
        self._finish_reason: str | None = None
        self._model: str | None = None
        self.ended = False
        """Whether the server said that nothing follows."""

    @property
    def complete(self) -> bool:
        """Whether this is all of the answer, and not what came before the connection was lost."""
        return self.ended or self._finish_reason is not None

    def take(self, data: str | bytes) -> None:
        """Take one event, or a whole answer that was not streamed."""
        if data == END:
            self.ended = True
            return
        try:
            payload = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise AnswerUnreadable from None
        if not isinstance(payload, dict):
            raise AnswerUnreadable
        usage = _usage(payload.get("usage"))
        if payload.get("error"):
            if usage is not None:
                self._on_usage(usage)
            raise AnswerRefused(orjson.dumps(payload), _status(payload["error"]))
        if isinstance(payload.get("model"), str):
            self._model = payload["model"]
        choices = payload.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            # Options may ask for several answers: the first is the answer.
            if isinstance(choice, dict) and not choice.get("index"):
                self._take_choice(choice)
        if usage is not None:
            # After the text that came with it, which is in it.
            self._usage = usage
            self._on_usage(usage)

    def _take_choice(self, choice: JsonObject) -> None:
        for part in (choice.get("delta"), choice.get("message")):
            if isinstance(part, dict):
                thought = _content(part.get("reasoning_content") or part.get("reasoning"))
                if thought:
                    self._on_thought(thought)
                text = _content(part.get("content"))
                if text:
                    self._text.append(text)
                    self._on_text(text)
        if isinstance(choice.get("finish_reason"), str):
            self._finish_reason = choice["finish_reason"]

    def answer(self, model: str) -> ModelAnswer:
        """Return the answer so far, of this model unless the server named another."""
        return ModelAnswer("".join(self._text), self._usage, self._finish_reason, self._model or model)


def _content(content: JsonValue) -> str:
    """Read text, or a list of parts some of which are text."""
    if isinstance(content, list):
        return "".join(_content(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    asked, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(asked) is int and type(answered) is int and 0 <= asked <= MOST_TOKENS and 0 <= answered <= MOST_TOKENS:
        return Usage(asked, answered)
    return None


def _status(error: JsonValue) -> int | None:
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and 400 <= code < 600 else None
