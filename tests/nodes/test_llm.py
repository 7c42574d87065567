"""The llm node: what it asks, with whose key, how it reads the answer, and what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from offbook.nodes import NodeFailure, NodeRegistry
from offbook.nodes.llm import REFUSED
from offbook.nodes.model_config import ModelConfig
from offbook.nodes.providers import (
    EnvironmentKeys,
    KeyResolver,
    Message,
    ModelAnswer,
    ModelRequest,
    OnText,
    ProviderRegistry,
    ScriptedProvider,
    ignore_text,
)
from offbook.workflows.values import ExecutionUser, JsonValue, NodeError, Usage
from tests.nodes.recording import Attempt

STOPPED = ModelAnswer("fine", Usage(5, 1), "stop", "m")


class Parrot:
    """Says what it is given to say, and keeps what it was asked."""

    name = "parrot"

    def __init__(self, answer: ModelAnswer = STOPPED, requires_key: bool = False) -> None:
        self.answer = answer
        self.requires_key = requires_key
        self.asked: list[ModelRequest] = []
        self.tells: tuple[Usage, ...] = ()
        """Its figures before the first word."""
        self.before: Callable[[OnText, OnText], None] = lambda on_text, on_thought: on_text(answer.text)

    async def complete(self, request: ModelRequest, on_text: OnText, on_thought: OnText = ignore_text) -> ModelAnswer:
        self.asked.append(request)
        for figures in self.tells:
            request.on_usage(figures)
        self.before(on_text, on_thought)
        return self.answer

    async def close(self) -> None:
        return


class Keyring:
    """Keys by user and provider."""

    def __init__(self, **keys: str) -> None:
        self.keys = keys
        self.asked: list[tuple[ExecutionUser | None, str]] = []

    async def resolve(self, user: ExecutionUser | None, provider: str) -> str | None:
        self.asked.append((user, provider))
        return self.keys.get(user.id) if user else None


def attempt(parrot: Parrot, config: dict[str, Any], keys: KeyResolver | None = None, **more: Any) -> Attempt:
    registry = NodeRegistry.with_builtins(ProviderRegistry([ScriptedProvider(), parrot], keys or Keyring()))
    return Attempt(registry, "llm", {"model": "parrot/red", **config}, **more)


async def failed(made: Attempt) -> NodeError:
    with pytest.raises(NodeFailure) as caught:
        await made.run()
    return caught.value.error


# What it asks


async def test_request_is_what_the_config_says() -> None:
    parrot = Parrot()
    config = {
        "system": "Be {{ inputs.tone }}.",
        "prompt": "Of {{ last_output }}",
        "temperature": "{{ inputs.heat }}",
        "max_tokens": 9,
        "stop": "END",
        "options": {"seed": 3},
    }
    made = attempt(parrot, config, upstream="ships", inputs={"tone": "brief", "heat": 0.5}, item=6, attempt=2)
    assert await made.run() == "fine"
    (asked,) = parrot.asked
    assert asked.model == "red"
    assert asked.messages == (Message("system", "Be brief."), Message("user", "Of ships"))
    assert (asked.temperature, asked.max_tokens, asked.stop, asked.options) == (0.5, 9, ("END",), {"seed": 3})
    assert (asked.item, asked.attempt) == (6, 2)
    assert asked.idempotency_key == f"{'e' * 32}-node-6-2"


async def test_what_is_left_open_is_left_to_the_provider() -> None:
    parrot = Parrot()
    await attempt(parrot, {"prompt": "go"}).run()
    (asked,) = parrot.asked
    assert (asked.temperature, asked.max_tokens, asked.stop, asked.options) == (None, None, (), {})
    assert asked.messages == (Message("user", "go"),)


async def test_prompt_that_is_an_object_is_sent_as_json() -> None:
    parrot = Parrot()
    await attempt(parrot, {"prompt": "{{ inputs.plan }}"}, inputs={"plan": {"ships": ["Ä"]}}).run()
    assert parrot.asked[0].messages == (Message("user", '{"ships": ["Ä"]}'),)


@pytest.mark.parametrize("given", ["", " \n", None])
async def test_prompt_that_renders_to_nothing_is_not_sent(given: str | None) -> None:
    parrot = Parrot()
    error = await failed(attempt(parrot, {"prompt": "{{ inputs.text }}"}, inputs={"text": given}))
    assert (error.type, error.retryable, parrot.asked) == ("validation", False, [])


async def test_guidance_follows_the_prompt_unless_it_is_in_it() -> None:
    parrot = Parrot()
    await attempt(parrot, {"prompt": "Go."}, guidance="Shorter.").run()
    await attempt(parrot, {"prompt": "Go, and: {{ guidance }}"}, guidance="Shorter.").run()
    await attempt(parrot, {"prompt": "Go.", "system": "{{ guidance }}"}, guidance="Shorter.").run()
    await attempt(parrot, {"prompt": "Go."}).run()
    assert [[each.content for each in asked.messages] for asked in parrot.asked] == [
        ["Go.\n\nShorter."],
        ["Go, and: Shorter."],
        ["Shorter.", "Go."],
        ["Go."],
    ]


async def test_reasons_of_failed_checks_follow_the_prompt_unless_it_uses_them() -> None:
    parrot = Parrot()
    reasons = ("min_words: 3 words, at least 400 are asked for", "it refuses")
    await attempt(parrot, {"prompt": "Go."}, guidance="Longer.", check_failures=reasons).run()
    used = "Go. {% for each in check_failures %}Not so: {{ each }}. {% endfor %}"
    await attempt(parrot, {"prompt": used}, check_failures=reasons).run()
    assert [asked.messages[-1].content for asked in parrot.asked] == [
        f"Go.\n\nLonger.\n\n{REFUSED}\n- {reasons[0]}\n- {reasons[1]}",
        f"Go. Not so: {reasons[0]}. Not so: {reasons[1]}. ",
    ]


async def test_prompt_of_a_first_attempt_may_ask_for_failed_checks() -> None:
    parrot = Parrot()
    await attempt(parrot, {"prompt": "Go.{{ check_failures | join }}"}).run()
    assert parrot.asked[0].messages[-1].content == "Go."


@pytest.mark.parametrize(
    ("config", "checks", "asked_for"),
    [
        ({"json": True}, [{"json_schema": {"type": "array"}}], {"type": "array"}),
        ({"json": True}, ["empty"], None),
        ({}, [{"json_schema": {"type": "array"}}], None),
        ({"json": True}, [{"json_schema": {"const": "{{ inputs.x }}"}}], None),
    ],
)
async def test_schema_of_the_checks_is_put_to_the_provider_where_the_answer_is_json(
    config: dict[str, Any], checks: list[Any], asked_for: Any
) -> None:
    parrot = Parrot(ModelAnswer("[1]", None, "stop", "m"))
    await attempt(parrot, {"prompt": "Go.", **config}, checks=checks).run()
    assert parrot.asked[0].json_schema == asked_for


async def test_model_may_be_an_input() -> None:
    parrot = Parrot()
    await attempt(parrot, {"model": "{{ inputs.model }}", "prompt": "go"}, inputs={"model": "parrot/blue"}).run()
    assert parrot.asked[0].model == "blue"
    error = await failed(attempt(parrot, {"model": "{{ inputs.model }}", "prompt": "go"}, inputs={"model": "x/y"}))
    assert (error.type, error.retryable) == ("validation", False)
    assert "x" in error.message


# With whose key


async def test_key_is_that_of_the_execution_user() -> None:
    parrot, keys = Parrot(), Keyring(ada="sk-ada", bob="sk-bob")
    await attempt(parrot, {"prompt": "go"}, keys).run()
    assert [(user.id if user else None, provider) for user, provider in keys.asked] == [("ada", "parrot")]
    assert parrot.asked[0].api_key == "sk-ada"


async def test_missing_key_is_refused_before_the_call_only_where_one_is_needed() -> None:
    free, paid = Parrot(), Parrot(requires_key=True)
    await attempt(free, {"prompt": "go"}).run()
    assert free.asked[0].api_key is None
    error = await failed(attempt(paid, {"prompt": "go"}))
    assert (error.type, error.retryable, paid.asked) == ("invalid_key", False, [])
    assert "ada" in error.message
    assert "application" in error.hint
    error = await failed(attempt(paid, {"prompt": "go"}, EnvironmentKeys(environment={})))
    assert error.type == "invalid_key"
    assert "OFFBOOK_KEY_PARROT" in error.hint


# How it reads the answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (" [1, null] \n", [1, None]),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('\n```\r\n{"a": 1}\r\n```  \n', {"a": 1}),
        ('```json\n{"a": "```"}```', {"a": "```"}),
        ('"text"', "text"),
    ],
)
async def test_json_answer_is_a_value(text: str, value: JsonValue) -> None:
    made = attempt(Parrot(ModelAnswer(text, None, "stop", "m")), {"prompt": "go", "json": True})
    assert await made.run() == value


@pytest.mark.parametrize("text", ["Sure! {}", '{"a": ', "```json\n{}", "NaN", "```json\n" + "\n" * 100_000])
async def test_answer_that_should_be_json_and_is_not_may_be_asked_again(text: str) -> None:
    parrot = Parrot(ModelAnswer(text, None, "stop", "m"))
    with pytest.raises(NodeFailure) as caught:
        await attempt(parrot, {"prompt": "go", "json": True}).run()
    error = caught.value.error
    assert (error.type, error.retryable) == ("check_failed", True)
    assert "in the prompt" in error.hint
    # The decoder's own error would hold the whole answer.
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


async def test_json_that_was_cut_off_says_what_to_do() -> None:
    parrot = Parrot(ModelAnswer('{"a": ', None, "length", "m"))
    assert "max_tokens" in (await failed(attempt(parrot, {"prompt": "go", "json": True}))).hint


async def test_text_that_was_cut_off_is_kept_and_said() -> None:
    made = attempt(Parrot(ModelAnswer("half a", None, "length", "m")), {"prompt": "go"})
    assert await made.run() == "half a"
    assert [text for kind, text in made.sink.reports if kind == "progress"] == [
        "the answer ends where its token limit was reached (max_tokens)"
    ]


@pytest.mark.parametrize(("reason", "said"), [("stop", ""), (None, ""), ("content_filter", " (content_filter)")])
async def test_answer_without_text_is_empty_and_may_be_asked_again(reason: str | None, said: str) -> None:
    made = attempt(Parrot(ModelAnswer(" \n", Usage(5, 0), reason, "m")), {"prompt": "go"})
    error = await failed(made)
    assert (error.type, error.retryable) == ("empty", True)
    assert error.message == f"parrot/red answered with no text{said}"
    # It is paid for all the same.
    assert made.sink.usages[-1] == Usage(5, 0)


# What it shows and counts


async def test_text_and_thoughts_are_shown_as_they_come() -> None:
    parrot = Parrot(ModelAnswer("Yes.", None, "stop", "m"))

    def speak(on_text: OnText, on_thought: OnText) -> None:
        on_thought("Hm.")
        on_text("Ye")
        on_text("s.")

    parrot.before = speak
    made = attempt(parrot, {"prompt": "go"})
    await made.run()
    assert made.sink.reports == [("thinking", "Hm."), ("text", "Ye"), ("text", "s.")]


@pytest.mark.parametrize(
    ("config", "named"),
    [({"model": "a/b"}, "a/b"), ({"model": "{{ inputs.model }}"}, ""), ({"model": 5}, ""), ({}, "")],
)
def test_model_is_named_before_the_call_where_no_template_is_in_it(config: dict[str, Any], named: str) -> None:
    registry = NodeRegistry.with_builtins()
    for type_name in ("llm", "refine"):
        node_type = registry.get(type_name)
        assert node_type is not None
        assert node_type.model_of(config) == named


async def test_usage_is_estimated_until_the_provider_gives_figures() -> None:
    parrot = Parrot(ModelAnswer("12345678", Usage(30, 40), "stop", "m"))

    def speak(on_text: OnText, on_thought: OnText) -> None:
        on_thought("1234")
        on_text("12345")

    parrot.before = speak
    made = attempt(parrot, {"prompt": "x" * 41})
    await made.run()
    assert made.sink.usages == [Usage(11, 1, estimated=True), Usage(11, 3, estimated=True), Usage(30, 40)]


async def test_estimate_stays_one_if_the_provider_gives_no_figures() -> None:
    made = attempt(Parrot(ModelAnswer("12345678", None, "stop", "m")), {"prompt": "x" * 40, "system": "y" * 4})
    await made.run()
    assert made.sink.usages[-1] == Usage(11, 2, estimated=True)


async def test_usage_of_a_broken_answer_is_what_had_come() -> None:
    parrot = Parrot()

    def speak(on_text: OnText, on_thought: OnText) -> None:
        on_text("12345678")
        raise NodeFailure.of("dropped", "gone", retryable=True)

    parrot.before = speak
    made = attempt(parrot, {"prompt": "x" * 40})
    assert (await failed(made)).type == "dropped"
    assert made.sink.usages[-1] == Usage(10, 2, estimated=True)


# What is refused before anything runs


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model": "parrot/red", "prompt": "go"}, []),
        ({"model": "{{ inputs.model }}", "prompt": "{{ inputs.prompt }}"}, []),
        ({"prompt": "go"}, [("missing-model", "model")]),
        ({"model": "parrot/red"}, [("missing-prompt", "prompt")]),
        ({"model": "parot/red", "prompt": " "}, [("unknown-provider", "model"), ("missing-prompt", "prompt")]),
    ],
)
def test_config_is_checked_as_it_is_written(config: dict[str, Any], found: list[tuple[str, str]]) -> None:
    llm = NodeRegistry.with_builtins(ProviderRegistry([Parrot()])).get("llm")
    assert llm is not None
    assert [(problem.code, problem.path) for problem in llm.check_config(config)] == found


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"max_tokens": 10**9 + 1},
        {"options": {"messages": []}},
        {"options": {"stream": False}},
        {"promt": "typo"},
        {"stop": [1]},
        {"script": {"text": "a", "words": 1}},
    ],
)
def test_config_that_means_nothing_is_refused_without_repeating_the_prompt(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelConfig.model_validate({"model": "a/b", "prompt": "the secret plan", **more})
    assert "secret" not in str(refused.value)


async def test_scripted_provider_does_what_the_config_says() -> None:
    config = {
        "model": "scripted/x",
        "prompt": "go",
        "script": {"text": "{{ inputs.line }}", "fail": [{"error": "empty"}]},
    }
    assert (await failed(attempt(Parrot(), config, inputs={"line": "a"}))).type == "empty"
    assert await attempt(Parrot(), config, inputs={"line": "a"}, attempt=2).run() == "a"


async def test_close_closes_the_providers() -> None:
    class Closing(Parrot):
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    parrot = Closing()
    await NodeRegistry.with_builtins(ProviderRegistry([parrot])).close()
    # The llm and the refine node share it.
    assert parrot.closed == 2


@pytest.mark.parametrize("type_", ["dropped", "timeout"])
async def test_call_that_broke_off_before_its_first_word_is_charged_for_what_it_asked(type_: str) -> None:
    def breaks(on_text: OnText, on_thought: OnText) -> None:
        raise NodeFailure.of(type_, "gone", retryable=True)

    parrot = Parrot()
    parrot.before = breaks
    made = attempt(parrot, {"prompt": "12345678"})
    await failed(made)
    assert made.sink.usages == [Usage(2, 0, estimated=True)]


async def test_call_that_was_refused_costs_nothing() -> None:
    def refuses(on_text: OnText, on_thought: OnText) -> None:
        raise NodeFailure.of("rate_limit", "too many", retryable=True)

    parrot = Parrot()
    parrot.before = refuses
    made = attempt(parrot, {"prompt": "12345678"})
    await failed(made)
    assert made.sink.usages == []


async def test_cancelled_call_is_charged_for_what_it_asked() -> None:
    def stops(on_text: OnText, on_thought: OnText) -> None:
        raise asyncio.CancelledError

    parrot = Parrot()
    parrot.before = stops
    made = attempt(parrot, {"prompt": "12345678"})
    with pytest.raises(asyncio.CancelledError):
        await made.run()
    assert made.sink.usages == [Usage(2, 0, estimated=True)]


@pytest.mark.parametrize("end", [NodeFailure.of("dropped", "gone", retryable=True), asyncio.CancelledError()])
async def test_call_that_broke_off_is_charged_by_the_providers_figures_where_it_gave_some(end: BaseException) -> None:
    def breaks(on_text: OnText, on_thought: OnText) -> None:
        raise end

    parrot = Parrot()
    parrot.tells = (Usage(100, 10), Usage(100, 20), Usage(0, 0))
    parrot.before = breaks
    made = attempt(parrot, {"prompt": "12345678"})
    with pytest.raises(type(end)):
        await made.run()
    assert made.sink.usages[-1] == Usage(100, 20)


async def test_what_came_after_the_providers_figures_is_estimated() -> None:
    def breaks(on_text: OnText, on_thought: OnText) -> None:
        on_text("12345678")
        raise NodeFailure.of("dropped", "gone", retryable=True)

    parrot = Parrot()
    parrot.tells = (Usage(100, 10),)
    parrot.before = breaks
    made = attempt(parrot, {"prompt": "12345678"})
    await failed(made)
    assert made.sink.usages[-1] == Usage(100, 12, estimated=True)
