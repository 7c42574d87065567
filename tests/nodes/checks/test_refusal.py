"""Refusals: what is no answer is found, and what may be one is let pass."""

from __future__ import annotations

import time

import pytest

from offbook.workflows.values import JsonValue
from tests.nodes.checks.examined import reason

STORY = "The lamp had burned for nine years. " * 40

NO_ANSWERS: list[JsonValue] = [
    "I'm sorry, but I can't assist with that.",
    "I\u2019m sorry, but I can\u2019t help with that request.",
    "I apologize, but I cannot write this story.",
    "As an AI language model, I do not have opinions.",
    "I cannot provide that.",
    "I am unable to assist with this request.",
    "Unfortunately, I am not able to generate this content.",
    "Es tut mir leid, aber dabei kann ich nicht helfen.",
    "Leider kann ich diese Anfrage nicht beantworten.",
    "Als KI-Sprachmodell habe ich keine Meinung.",
    "Je suis d\u00e9sol\u00e9, mais je ne peux pas vous aider.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Desculpe, mas n\u00e3o posso ajudar com isso.",
    "Het spijt me, maar ik kan je daarmee niet helpen.",
    "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u63d0\u4f9b\u8fd9\u4e2a\u5185\u5bb9\u3002",
    "\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093\u304c\u3001\u305d\u308c\u306b\u306f\u304a\u7b54\u3048\u3067\u304d\u307e\u305b\u3093\u3002",
    "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>",
    "<html>\n<head><title>Just a moment...</title></head></html>",
    '{"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}',
    {"error": "overloaded", "status": 529},
    'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nValueError: no',
    'Exception in thread "main" java.lang.NullPointerException\n\tat a.b(C.java:1)',
    "TypeError: x is undefined\n    at main (index.js:3:1)",
    "rate limit exceeded",
    "Error: 429 Too Many Requests",
    "HTTP 503 Service Unavailable. Please try again later.",
    "Internal Server Error",
    "Forbidden",
    "Error: connection refused",
]


@pytest.mark.parametrize("output", NO_ANSWERS, ids=lambda output: str(output)[:30])
def test_what_is_no_answer_is_found(output: JsonValue) -> None:
    assert reason("refusal", output) is not None


ANSWERS: list[JsonValue] = [
    STORY,
    "\"I'm sorry, but I can't help you,\" said the keeper, and closed the door.",
    "I'm sorry. Those were the last words on the page, and nobody knew who had written them.",
    "I cannot say when the lamp went out.",
    "I'm sorry, but I can't assist with that. " + STORY,
    "Leider kann ich heute nicht kommen, schrieb sie, und legte den Brief auf den Tisch.",
    "Forbidden love in a lighthouse, told by the one who put out the lamp.",
    "Too many requests had come that winter, and the keeper answered none of them.",
    "Not found: one lamp, brass, last seen on the rocks.",
    "Internal server errors are what this chapter is about. It begins with the first of them.",
    "<html><head><title>The Lamp</title></head><body><p>Once</p></body></html>",
    '{"title": "The Lamp", "error": null}',
    {"error": "an error of judgement", "chapters": ["One"]},
    {"message": "hello"},
    ["error"],
    "At the lighthouse:\n    at night, at sea, at rest.",
    "Traceback is a word that sailors do not know.",
    "404",
    7,
    None,
]


@pytest.mark.parametrize("output", ANSWERS, ids=lambda output: str(output)[:30])
def test_what_may_be_an_answer_passes(output: JsonValue) -> None:
    assert reason("refusal", output) is None


@pytest.mark.parametrize(
    "text", ["<html>" + "<" * 200_000, "{" * 19_000, "a." * 100_000, "error " * 50_000, "Error\n" * 9]
)
def test_no_text_takes_for_ever(text: str) -> None:
    began = time.thread_time()
    reason("refusal", text)
    assert time.thread_time() - began < 1.0
