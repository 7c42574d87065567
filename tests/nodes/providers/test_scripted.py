"""The scripted provider: what it answers, how fast, and that it fails on cue and only then."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from offbook.nodes.providers import Message, ModelRequest, Script, ScriptedProvider
from offbook.workflows.values import Usage
from tests.nodes.providers.asking import PROMPT, Hearing, request

PROVIDER = ScriptedProvider()


def scripted(script: dict[str, Any], **more: Any) -> ModelRequest:
    return request(script=Script.model_validate(script), **more)


async def test_text_is_the_answer_to_the_letter_and_comes_word_by_word() -> None:
    text = "  One two,\n\n three.  "
    hearing = Hearing()
    answer = await hearing.ask(PROVIDER, scripted({"text": text}))
    assert (answer.text, hearing.texts) == (text, ["  One ", "two,\n\n ", "three.  "])
    assert (answer.finish_reason, answer.model) == ("stop", "writer")


@pytest.mark.parametrize(("given", "text"), [("", ""), ("\n " * 200_000, ""), ({"a": [1]}, '{"a": [1]}'), (7, "7")])
async def test_text_may_be_anything_that_a_template_gives(given: object, text: str) -> None:
    assert (await Hearing().ask(PROVIDER, scripted({"text": given}))).text == text


@pytest.mark.parametrize("words", [0, 1, 7, 80, 1001])
async def test_words_are_counted_out(words: int) -> None:
    hearing = Hearing()
    answer = await hearing.ask(PROVIDER, scripted({"words": words}))
    assert len(answer.text.split()) == words
    assert "".join(hearing.texts) == answer.text
    assert answer.usage == Usage(len(PROMPT.split()), words)


async def test_same_question_has_the_same_answer_at_each_attempt() -> None:
    async def answer(prompt: str = PROMPT, **more: Any) -> str:
        return (await Hearing().ask(PROVIDER, scripted({"words": 30}, prompt=prompt, **more))).text

    first = await answer(item=1, attempt=1)
    assert await answer(item=1, attempt=2) == first
    others = [await answer(item=2), await answer("Another.", item=1), await answer(item=1, model="other")]
    assert len({first, *others}) == 4


async def test_answer_is_the_same_in_another_process() -> None:
    program = (
        "import asyncio\n"
        "from tests.nodes.providers.test_scripted import PROVIDER, Hearing, scripted\n"
        "print(asyncio.run(Hearing().ask(PROVIDER, scripted({'words': 30}))).text, end='')"
    )
    here = (await Hearing().ask(PROVIDER, scripted({"words": 30}))).text
    other = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert other.stdout == here


async def test_without_a_script_the_answer_speaks_of_the_prompt() -> None:
    answer = await Hearing().ask(PROVIDER, request())
    assert answer.text == "writer was asked: Tell me of the lighthouse keeper who counted ships."
    assert (await Hearing().ask(PROVIDER, request(messages=()))).text == "writer was asked: "


async def test_all_messages_are_counted() -> None:
    messages = (Message("system", "Be brief now."), Message("user", "Go on."))
    answer = await Hearing().ask(PROVIDER, request(messages=messages, script=Script(text="As you wish.")))
    assert answer.usage == Usage(5, 3)


async def test_delay_comes_before_the_first_word() -> None:
    clock = asyncio.get_running_loop().time
    heard_at: list[float] = []
    begin = clock()
    await Hearing(lambda piece: heard_at.append(clock())).ask(PROVIDER, scripted({"words": 3, "delay": 0.1}))
    assert heard_at[0] - begin >= 0.099


async def test_tokens_per_second_are_the_pace() -> None:
    clock = asyncio.get_running_loop().time
    heard_at: list[float] = []
    begin = clock()
    await Hearing(lambda piece: heard_at.append(clock())).ask(
        PROVIDER, scripted({"words": 20, "tokens_per_second": 100})
    )
    # The nth word is due n hundredths after the first moment; one that is due within 2 ms goes along.
    assert all(at - begin >= place / 100 - 0.003 for place, at in enumerate(heard_at, start=1))


async def test_long_answer_lets_others_have_a_turn() -> None:
    turns: list[int] = []
    hearing = Hearing()

    async def other() -> None:
        while True:
            turns.append(len(hearing.texts))
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await hearing.ask(PROVIDER, scripted({"words": 2000}))
    task.cancel()
    assert len([turn for turn in turns if 0 < turn < 2000]) >= 5


@pytest.mark.parametrize(
    ("kind", "retryable"), [("rate_limit", True), ("timeout", True), ("dropped", True), ("invalid_key", False)]
)
async def test_failure_is_named_as_a_real_provider_would(kind: str, retryable: bool) -> None:
    hearing = Hearing()
    error = await hearing.refused(PROVIDER, scripted({"words": 9, "fail": [{"error": kind}]}))
    assert (error.type, error.retryable) == (kind, retryable)
    # A connection breaks in the middle of an answer; the others have none.
    assert len(hearing.texts) == (4 if kind == "dropped" else 0)


async def test_empty_is_an_answer_without_text() -> None:
    hearing = Hearing()
    answer = await hearing.ask(PROVIDER, scripted({"words": 9, "fail": [{"error": "empty"}]}))
    assert (answer.text, hearing.texts, answer.usage) == ("", [], Usage(len(PROMPT.split()), 0))


@pytest.mark.parametrize(
    ("cue", "item", "attempt", "fails"),
    [
        ({"item": 6, "attempt": 1}, 6, 1, True),
        ({"item": 6, "attempt": 1}, 6, 2, False),
        ({"item": 6, "attempt": 1}, 5, 1, False),
        ({"item": 6, "attempt": 1}, None, 1, False),
        ({"item": 6}, 6, 1, True),
        ({"item": 6}, 6, 2, False),
        ({"item": 0, "attempt": "all"}, 0, 9, True),
        ({"attempt": "all"}, None, 5, True),
        ({"attempt": "all"}, 3, 5, True),
        ({"attempt": 2}, None, 2, True),
        ({"attempt": 2}, None, 3, False),
        ({}, None, 1, True),
        ({}, None, 2, False),
    ],
)
async def test_failure_comes_on_cue_and_only_then(
    cue: dict[str, Any], item: int | None, attempt: int, fails: bool
) -> None:
    asked = scripted({"text": "fine", "fail": [{**cue, "error": "rate_limit"}]}, item=item, attempt=attempt)
    if fails:
        assert (await Hearing().refused(PROVIDER, asked)).type == "rate_limit"
    else:
        assert (await Hearing().ask(PROVIDER, asked)).text == "fine"


async def test_first_failure_that_fits_is_the_one() -> None:
    fail = [{"attempt": 2, "error": "timeout"}, {"attempt": "all", "error": "dropped"}]
    kinds = [
        (await Hearing().refused(PROVIDER, scripted({"text": "a", "fail": fail}, attempt=each))).type
        for each in (1, 2, 3)
    ]
    assert kinds == ["dropped", "timeout", "dropped"]


async def test_cancelled_answer_stops_where_it_is() -> None:
    spoken = asyncio.Event()
    hearing = Hearing(lambda piece: spoken.set())
    task = asyncio.create_task(hearing.ask(PROVIDER, scripted({"words": 100, "tokens_per_second": 1000})))
    await spoken.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 < len(hearing.texts) < 100


@pytest.mark.parametrize(
    "script",
    [
        {"text": "a", "words": 3},
        {"words": -1},
        {"words": 10**9},
        {"delay": -1},
        {"delay": float("inf")},
        {"tokens_per_second": -1},
        {"fail": [{"error": "boredom"}]},
        {"fail": [{"error": "empty", "item": -1}]},
        {"fail": [{"error": "empty", "attempt": 0}]},
        {"fail": [{"attempt": 1}]},
        {"wrods": 3},
    ],
)
def test_script_that_means_nothing_is_refused(script: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Script.model_validate(script)
