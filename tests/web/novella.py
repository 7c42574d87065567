"""Documents for stories over HTTP: an outline, chapters one after the other, a book."""

from __future__ import annotations

from offbook.workflows.values import JsonObject

ADA = {"id": "ada"}


def novella(chapter_script: JsonObject | None = None, *, chapters: int = 3, retry: int = 1) -> JsonObject:
    """Build a workflow whose chapters do what the script says (DESIGN, the provider `scripted`)."""
    return {
        "name": "novella",
        "inputs": {"premise": {"type": "text", "required": True}},
        "nodes": [
            {
                "id": "outline",
                "type": "llm",
                "config": {
                    "model": "scripted/writer",
                    "prompt": "An outline for: {{ inputs.premise }}",
                    "script": {"text": "the outline"},
                },
            },
            {
                "id": "chapters",
                "type": "foreach",
                "needs": ["outline"],
                "config": {
                    "count": chapters,
                    "do": {
                        "type": "llm",
                        "retry": {"attempts": retry, "delay": 0},
                        "config": {
                            "model": "scripted/writer",
                            "prompt": "Chapter {{ index + 1 }}",
                            "script": chapter_script or {"text": "a chapter"},
                        },
                    },
                },
            },
            {
                "id": "book",
                "type": "output",
                "needs": ["chapters"],
                "config": {"value": "{{ nodes.chapters.output | join(' / ') }}"},
            },
        ],
    }


SLOW = {"words": 100_000, "tokens_per_second": 20}
"""A chapter that nobody waits for."""
FAILS_ONCE = {"text": "a chapter", "fail": [{"item": 1, "attempt": 1, "error": "invalid_key"}]}
ALWAYS_FAILS = {"text": "a chapter", "fail": [{"item": 1, "attempt": "all", "error": "invalid_key"}]}
