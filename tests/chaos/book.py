"""The workflow that is run while things are killed, and what a reader of it alone can say of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offbook.workflows.values import JsonObject

CHAPTERS = 9
CONCURRENCY = 2
FAILING = 3
"""The chapter whose first attempt fails."""
APPROVED = {"approved": True}


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at a node or item, as its provider sees it."""

    node: str
    item: int | None
    attempt: int


def needs_approval(number: int) -> bool:
    """Whether this book waits for a person."""
    return number % 4 == 0


def is_cancelled(number: int) -> bool:
    """Whether somebody cancels this book in the middle."""
    return number % 10 == 7


def document() -> JsonObject:
    """Build the workflow: models over HTTP, functions, a branch, items with a retry, an approval, a timer."""
    return {
        "name": "chaos-book",
        "inputs": {"number": {"type": "integer", "required": True}},
        "nodes": [
            _model("outline", "outline of {{ inputs.number }}"),
            {
                "id": "chapters",
                "type": "foreach",
                "needs": ["outline"],
                "config": {
                    "count": CHAPTERS,
                    "concurrency": CONCURRENCY,
                    "do": {
                        **_function("chapter {{ index }}"),
                        "retry": {"attempts": 3, "delay": 0.02, "max_delay": 0.05},
                    },
                },
            },
            {"id": "odd", **_function("odd"), "needs": ["outline"], "when": "inputs.number % 2 == 1"},
            {"id": "even", **_function("even"), "needs": ["outline"], "when": "inputs.number % 2 == 0"},
            {
                "id": "review",
                "type": "approval",
                "needs": ["outline"],
                "when": "inputs.number % 4 == 0",
                "config": {},
            },
            {"id": "rest", "type": "wait", "needs": ["odd", "even"], "config": {"seconds": 0.05}},
            _model("close", "close of {{ inputs.number }}", needs=["chapters", "rest", "review"]),
            {
                "id": "book",
                "type": "output",
                "needs": ["close", "chapters", "odd", "even", "review"],
                "config": {
                    "value": {
                        "chapters": "{{ nodes.chapters.output }}",
                        "side": "{{ nodes.odd.output or nodes.even.output }}",
                        "review": "{{ nodes.review.output }}",
                        "close": "{{ nodes.close.output }}",
                    }
                },
            },
        ],
    }


def expected_result(number: int) -> JsonObject:
    """Return what the book of this number must be."""
    return {
        "chapters": [text_of(number, f"chapter {index}") for index in range(CHAPTERS)],
        "side": text_of(number, "odd" if number % 2 else "even"),
        "review": APPROVED if needs_approval(number) else None,
        "close": text_of(number, "close"),
    }


def text_of(number: int, what: str) -> str:
    """Return the output of one call."""
    return f"{what} of {number}: " + "words " * (number % 40)


def expected_calls(number: int) -> set[Call]:
    """Return every call that a whole book of this number takes; a repeat is the same call."""
    return set(_calls(number))


def fails(call: Call) -> bool:
    """Whether this attempt fails, wherever and whenever it is made."""
    return call == Call("chapters", FAILING, 1)


def _calls(number: int) -> Iterator[Call]:
    yield Call("outline", None, 1)
    for index in range(CHAPTERS):
        yield Call("chapters", index, 1)
    yield Call("chapters", FAILING, 2)
    yield Call("odd" if number % 2 else "even", None, 1)
    yield Call("close", None, 1)


def precedes(first: Call, second: Call) -> bool:
    """Whether the second call could only begin once the output of the first was taken in."""
    if first == second or second.node == "outline":
        return False
    if first.node == "outline" or second.node == "close":
        return True
    if first.node != "chapters" or second.node != "chapters":
        return False
    assert first.item is not None
    assert second.item is not None
    if first.item == second.item:
        return first.attempt < second.attempt
    # Chapters begin in order, two at a time: which of the two before was done is not to be seen from here.
    return False


def _model(node_id: str, prompt: str, needs: list[str] | None = None) -> JsonObject:
    node: JsonObject = {"id": node_id, "type": "llm", "config": {"model": "counted/writer", "prompt": prompt}}
    return {**node, "needs": needs} if needs else node


def _function(what: str) -> JsonObject:
    return {"type": "python", "config": {"function": "chaos_work", "args": {"what": what}}}
