"""Checks on the node runner: when they are made, where they run, and that what was written is never lost to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from offbook.nodes import NodeContext, NodeFailure
from offbook.nodes.checks import CheckKind, CheckParams, Produced
from offbook.workflows.values import JsonObject, JsonValue, Usage
from tests.actors.stage import AN_EXECUTION, LIMIT_SECONDS, Stage

SHORT = [{"min_words": 5}]


class Where(CheckKind):
    """Passes everything, and notes on which thread it did."""

    name = "where"

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def examine(self, produced: Produced, params: CheckParams) -> None:
        self._names.append(threading.current_thread().name)


class Broken(CheckKind):
    """Cannot judge anything."""

    name = "broken"

    def examine(self, produced: Produced, params: CheckParams) -> str | None:
        raise RuntimeError("no idea")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage(abort_grace=0.05) as opened:
        yield opened


def test_output_that_passes_is_the_output(stage: Stage) -> None:
    heard = stage.attempt("template", {"text": "one two three four five"}, checks=["empty", "refusal", *SHORT])
    assert heard.output() == "one two three four five"


def test_output_that_does_not_pass_is_kept_as_partial_text_with_every_reason(stage: Stage) -> None:
    @stage.functions.node
    async def three(ctx: NodeContext) -> str:
        ctx.usage(Usage(3, 4))
        return "I cannot provide that."

    failed = stage.play("three", checks=["empty", "refusal", *SHORT]).failed()
    assert (failed.error.type, failed.error.retryable) == ("check_failed", True)
    assert (failed.partial, failed.usage) == ("I cannot provide that.", Usage(3, 4))
    refusal, words = failed.reasons
    assert refusal.startswith("refusal: the answer, of 22 characters, refuses")
    assert words == "min_words: 4 words, at least 5 are asked for"
    assert failed.error.message == f"{refusal}; {words}"


def test_output_that_is_no_text_is_kept_as_json(stage: Stage) -> None:
    failed = stage.attempt("template", {"text": {"a": [1, "\u00fc"]}}, checks=SHORT).failed()
    assert failed.partial == '{"a": [1, "\u00fc"]}'


def test_parameters_are_rendered_for_each_attempt(stage: Stage) -> None:
    checks = [{"outline": {"chapters": "{{ inputs.n }}"}}]
    text = {"text": ["The Lamp", "Salt"]}
    assert stage.attempt("template", text, checks=checks, inputs={"n": 2}).output() == ["The Lamp", "Salt"]
    failed = stage.attempt("template", text, checks=checks, inputs={"n": 3}).failed()
    assert failed.reasons == ("outline: 2 chapters can be made out, 3 are asked for",)


@pytest.mark.parametrize("chapters", ["many", -1, None])
def test_parameter_that_turns_out_wrong_is_no_failed_check(stage: Stage, chapters: JsonValue) -> None:
    checks = [{"outline": {"chapters": "{{ inputs.n }}"}}]
    failed = stage.attempt("template", {"text": ["Salt"]}, checks=checks, inputs={"n": chapters}).failed()
    assert (failed.error.type, failed.error.retryable) == ("validation", False)
    assert "check outline: chapters" in failed.error.message
    assert failed.partial == '["Salt"]'


def test_template_that_cannot_be_rendered_keeps_what_was_written(stage: Stage) -> None:
    checks = [{"min_words": "{{ inputs.n / 0 }}"}]
    failed = stage.attempt("template", {"text": "Salt"}, checks=checks, inputs={"n": 1}).failed()
    assert (failed.error.type, failed.partial) == ("validation", "Salt")


def test_functions_are_asked_with_context_and_arguments(stage: Stage) -> None:
    @stage.checks.check
    def has(ctx: NodeContext, output: JsonValue, word: str) -> str | None:
        return None if word in output else f"{ctx.node_id} has no {word}"

    @stage.checks.check("awaited")
    async def later(ctx: NodeContext, output: JsonValue) -> bool:
        return bool(output != "Salt")

    def attempt(word: str, text: str = "Salt") -> tuple[str, ...]:
        checks: list[JsonObject] = [{"function": {"name": "has", "args": {"word": word}}}, {"function": "awaited"}]
        return stage.attempt("template", {"text": text}, checks=checks).failed().reasons

    assert attempt("Lamp") == ("function: has: node has no Lamp", "function: awaited does not let it pass")
    assert attempt("Salt") == ("function: awaited does not let it pass",)
    checks: list[JsonObject] = [{"function": {"name": "has", "args": {"word": "Sea"}}}, {"function": "awaited"}]
    assert stage.attempt("template", {"text": "Sea"}, checks=checks).output() == "Sea"


def test_plain_function_and_long_output_are_checked_off_the_loop(stage: Stage) -> None:
    names: list[str] = []

    @stage.checks.check
    def where(ctx: NodeContext, output: JsonValue) -> None:
        names.append(threading.current_thread().name)

    assert stage.attempt("template", {"text": "Salt"}, checks=[{"function": "where"}]).output() == "Salt"
    assert names == ["offbook-node-node"]
    stage.registry.checks.register(Where(names))
    for text in ("Salt", "S" * 20_001, ["S"] * 20_001):
        assert stage.attempt("template", {"text": text}, checks=["where"]).output() == text
    assert names[1:] == ["offbook-nodes", "offbook-node-node", "offbook-node-node"]
    stage.threads_ended()


def test_function_that_raises_is_a_crash_and_keeps_what_was_written(stage: Stage) -> None:
    @stage.checks.check
    def broken(ctx: NodeContext, output: JsonValue) -> None:
        raise KeyError("no such chapter")

    failed = stage.attempt("template", {"text": "Salt"}, checks=[{"function": "broken"}]).failed()
    assert (failed.error.type, failed.partial) == ("crash", "Salt")
    assert "KeyError" in failed.error.message


def test_kind_that_raises_is_a_crash_and_keeps_what_was_written(stage: Stage) -> None:
    stage.registry.checks.register(Broken())
    failed = stage.attempt("template", {"text": "dear words"}, checks=["broken"]).failed()
    assert (failed.error.type, failed.error.message) == ("crash", "RuntimeError: no idea")
    assert failed.partial == "dear words"


def test_function_may_say_itself_how_the_attempt_failed(stage: Stage) -> None:
    @stage.checks.check
    async def strict(ctx: NodeContext, output: JsonValue) -> None:
        raise NodeFailure.of("plagiarism", "too much of it is known")

    failed = stage.attempt("template", {"text": "Salt"}, checks=[{"function": "strict"}]).failed()
    assert (failed.error.type, failed.partial) == ("plagiarism", "Salt")


@pytest.mark.parametrize("verdict", [3, ["no"], {"a": 1}])
def test_verdict_that_is_none_is_said_to_be_none(stage: Stage, verdict: JsonValue) -> None:
    stage.checks.register(lambda ctx, output: verdict, "odd")
    failed = stage.attempt("template", {"text": "Salt"}, checks=[{"function": "odd"}]).failed()
    assert failed.error.type == "validation"
    assert "'odd' returned a" in failed.error.message


def test_check_that_takes_too_long_ends_with_the_attempts_timeout(stage: Stage) -> None:
    release = threading.Event()

    @stage.checks.check
    def slow(ctx: NodeContext, output: JsonValue) -> None:
        assert release.wait(LIMIT_SECONDS)

    checks = [{"function": "slow"}]
    failed = stage.attempt("template", {"text": "Salt"}, checks=checks, timeout={"total": 0.05}).failed()
    assert (failed.error.type, failed.partial) == ("timeout", "Salt")
    release.set()
    stage.threads_ended()
    assert stage.runner.abandoned == 0


def test_cancel_while_it_is_checked_keeps_what_was_written(stage: Stage) -> None:
    begun = threading.Event()

    @stage.checks.check
    async def endless(ctx: NodeContext, output: JsonValue) -> None:
        begun.set()
        await ctx.call_plain(ctx.cancelled.wait, LIMIT_SECONDS)

    heard = stage.attempt("template", {"text": "Salt"}, checks=[{"function": "endless"}])
    assert begun.wait(LIMIT_SECONDS)
    stage.runner.abort(AN_EXECUTION)
    failed = heard.failed()
    assert (failed.error.type, failed.partial) == ("cancelled", "Salt")
    stage.threads_ended()
