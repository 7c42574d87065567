"""Answers put together from what servers send: pieces, thoughts, usage, errors, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offbook.nodes.providers.answer import AnswerBuilder, AnswerRefused, AnswerUnreadable
from offbook.workflows.values import Usage


class Pieces:
    """Takes events, and keeps what goes out."""

    def __init__(self, *events: Any) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.usages: list[Usage] = []
        self.builder = AnswerBuilder(self.texts.append, self.thoughts.append, self.usages.append)
        for event in events:
            self.builder.take(event if isinstance(event, str | bytes) else json.dumps(event))


def delta(**more: Any) -> dict[str, Any]:
    return {"choices": [{"delta": more}]}


def test_pieces_go_out_as_they_come_in() -> None:
    pieces = Pieces(
        delta(role="assistant"), delta(content="a"), delta(content=""), delta(content=None), delta(content="b")
    )
    assert (pieces.texts, pieces.builder.answer("m").text) == (["a", "b"], "ab")


@pytest.mark.parametrize("word", ["reasoning_content", "reasoning"])
def test_thoughts_are_no_part_of_the_answer(word: str) -> None:
    pieces = Pieces(delta(**{word: "hm, "}), delta(**{word: "yes", "content": "Yes."}))
    assert (pieces.thoughts, pieces.builder.answer("m").text) == (["hm, ", "yes"], "Yes.")


def test_content_may_be_a_list_of_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}, 3]
    assert Pieces(delta(content=parts)).texts == ["ab"]


def test_first_of_several_answers_is_the_answer() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "length"}]}
    both = {"choices": [{"index": 1, "message": {"content": "other"}}, {"index": 0, "message": {"content": "b"}}]}
    pieces = Pieces(delta(content="a"), second, both)
    assert pieces.texts == ["a", "b"]
    assert not pieces.builder.complete


def test_end_is_the_done_mark_or_a_reason() -> None:
    assert not Pieces(delta(content="a")).builder.complete
    done = Pieces(delta(content="a"), "[DONE]").builder
    assert (done.complete, done.ended, done.answer("m").finish_reason) == (True, True, None)
    stopped = Pieces({"choices": [{"delta": {}, "finish_reason": "length"}]}).builder
    assert (stopped.complete, stopped.ended, stopped.answer("m").finish_reason) == (True, False, "length")


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        ({"prompt_tokens": 3}, None),
        ({"prompt_tokens": None, "completion_tokens": 4}, None),
        ({"prompt_tokens": "3", "completion_tokens": 4}, None),
        ("3", None),
        (None, None),
    ],
)
def test_usage_is_the_providers_own_or_none(usage: Any, read: Usage | None) -> None:
    assert Pieces({"usage": usage}).builder.answer("m").usage == read


def test_latest_usage_counts_and_silence_does_not_undo_it() -> None:
    first, second = ({"usage": {"prompt_tokens": 3, "completion_tokens": each}} for each in (1, 2))
    assert Pieces(first, second, delta(content="a"), {"usage": None}).builder.answer("m").usage == Usage(3, 2)


def test_server_may_name_the_model() -> None:
    assert Pieces(delta(content="a")).builder.answer("asked").model == "asked"
    assert Pieces({"model": "given", "choices": []}).builder.answer("asked").model == "given"


@pytest.mark.parametrize("event", ["", "{", "[]", "3", "null", '"text"', b"\xff", "{" * 3000])
def test_what_is_no_event_is_unreadable(event: str | bytes) -> None:
    with pytest.raises(AnswerUnreadable):
        Pieces(event)


@pytest.mark.parametrize(
    "event",
    [{}, {"choices": None}, {"choices": []}, {"choices": [3]}, {"choices": [{"delta": 3}]}, {"choices": {"0": 1}}],
)
def test_event_that_says_nothing_is_passed_over(event: Any) -> None:
    pieces = Pieces(event, delta(content="a"))
    assert pieces.builder.answer("m").text == "a"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "slow down", "code": 429}, 429),
        ({"message": "slow down", "code": "429"}, 429),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, None),
        ({"message": "slow down", "code": 7}, None),
        ("slow down", None),
    ],
)
def test_error_in_place_of_the_rest_ends_the_answer(error: Any, status: int | None) -> None:
    with pytest.raises(AnswerRefused) as refused:
        Pieces(delta(content="a"), {"error": error})
    assert refused.value.status == status
    assert b"slow down" in refused.value.payload


def test_figures_are_told_as_they_come_and_of_an_error_too() -> None:
    def figures(answered: int) -> dict[str, Any]:
        return {"usage": {"prompt_tokens": 5, "completion_tokens": answered}}

    pieces = Pieces({**delta(content="a"), **figures(1)}, delta(content="b"), figures(2))
    assert pieces.usages == [Usage(5, 1), Usage(5, 2)]
    with pytest.raises(AnswerRefused):
        pieces.builder.take(json.dumps({"error": "overloaded", **figures(3)}))
    assert pieces.usages[-1] == Usage(5, 3)


@pytest.mark.parametrize("figures", [(-1, 2), (True, 2), (1.5, 2), (None, None), (2**62, 2)])
def test_figures_that_cannot_be_are_none(figures: tuple[Any, Any]) -> None:
    usage = dict(zip(("prompt_tokens", "completion_tokens"), figures, strict=True))
    assert Pieces({**delta(content="a"), "usage": usage}).builder.answer("m").usage is None
