"""Workflows that the page is shown with: they write slowly enough to be watched, and fail on cue."""

from __future__ import annotations

from typing import Any

from offbook.workflows.values import JsonObject
from tests.scenarios.documents import approval, foreach, llm, output, workflow

OUTLINE = "# The lamp\n\n1. **Night**, in which it is lit\n2. *Day*, in which it is not\n"


def novel(
    *,
    name: str = "novel",
    model: str = "scripted/writer",
    rate: float = 60,
    fail: list[JsonObject] | None = None,
    **fields: Any,
) -> JsonObject:
    """World and characters side by side, an outline, chapters, a book; a cover if it is asked for."""
    chapter = llm(
        "chapter",
        "Chapter {{ index + 1 }} of {{ inputs.premise }}, after {{ nodes.outline.output }}",
        model=model,
        script={"words": 30, "tokens_per_second": rate, "fail": fail or []},
    )
    return workflow(
        llm(
            "world",
            "Where {{ inputs.premise }}",
            model=model,
            label="World",
            script={"words": 40, "tokens_per_second": rate},
        ),
        llm(
            "people",
            "Who {{ inputs.premise }}",
            model=model,
            label="Characters",
            script={"words": 30, "tokens_per_second": rate},
        ),
        llm("outline", "An outline", label="Outline", needs=["world", "people"], script={"text": OUTLINE}),
        foreach("chapters", chapter, label="Chapters", needs=["outline"], count="inputs.chapters"),
        llm("cover", "A cover", label="Cover", needs=["outline"], when="inputs.cover", script={"words": 5}),
        output("book", "{{ nodes.chapters.output | join('\n\n') }}", label="Book", needs=["chapters", "cover"]),
        name=name,
        description="A premise in, a short book out.",
        inputs={
            "premise": {"type": "text", "required": True, "label": "What the story is about"},
            "chapters": {"type": "integer", "default": 3, "label": "Chapters"},
            "cover": {"type": "boolean", "label": "A cover"},
        },
        **fields,
    )


def reviewed() -> JsonObject:
    """A text that a person has to approve, with a form."""
    form = {
        "title": "May it be printed?",
        "type": "object",
        "properties": {
            "approved": {"type": "boolean", "title": "Print it"},
            "stars": {"type": "integer", "title": "Stars", "minimum": 1, "maximum": 5},
            "note": {"type": "string", "title": "A note"},
        },
        "required": ["approved", "stars"],
    }
    return workflow(
        llm("draft", "A draft", label="Draft", script={"words": 10}),
        approval("review", needs=["draft"], form=form),
        output("told", "{{ nodes.review.output }}", needs=["review"]),
        name="reviewed",
    )


def slow(*, name: str = "slow", rate: float = 15, words: int = 20_000) -> JsonObject:
    """One text that does not come to its end by itself while a test lasts, unless it has few words."""
    return workflow(
        llm("text", "A text", label="Text", script={"words": words, "tokens_per_second": rate}),
        output("told", "{{ nodes.text.output }}", needs=["text"]),
        name=name,
    )
