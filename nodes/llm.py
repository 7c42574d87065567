"""The node types that ask a model: llm, and refine, which works on the last output. They know no provider's wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import orjson
from pydantic import BaseModel

from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.estimates import estimate_call, tokens_of
from offbook.nodes.model_config import ModelConfig, check_model_config, keys_needed
from offbook.nodes.node_type import NodeType
from offbook.nodes.prices import PriceTable
from offbook.nodes.providers import Message, ModelAnswer, ModelRequest, Provider, ProviderRegistry
from offbook.nodes.text import as_text, unfenced
from offbook.workflows.errors import Problem
from offbook.workflows.templates import has_template, references
from offbook.workflows.types import Sight
from offbook.workflows.values import JsonObject, JsonValue, Usage

EXPECTED_ANSWER = 1000
"""Tokens that an answer counts for, until it is there, against a limit of tokens per minute, if none are set."""

_MAY_BE_CHARGED = frozenset({"dropped", "timeout", "idle_timeout"})
"""Failures of a call that the provider had begun to work on; what it refused costs nothing."""

REFUSED = "The answer that was given to this before was refused. Answer anew, so that this is put right:"
"""What is said to a model before the reasons why its last output failed its checks."""


class LlmNode(NodeType):
    """Sends a prompt to a model; its output is the answer's text, or with `json` what the text says."""

    name = "llm"
    config_model: type[BaseModel] = ModelConfig
    produces_content = True
    needs_user = True
    sees = Sight.CONFIG

    def __init__(self, providers: ProviderRegistry, prices: PriceTable | None = None) -> None:
        self._providers = providers
        self._prices = prices

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        return check_model_config(config, self._providers)

    def estimate(self, config: Mapping[str, object]) -> Usage:
        usage = estimate_call(config)
        model = config.get("model")
        return self._prices.price(usage, model if isinstance(model, str) else None) if self._prices else usage

    def model_of(self, config: Mapping[str, object]) -> str:
        model = config.get("model")
        return model if isinstance(model, str) and not has_template(model) else ""

    def keys_needed(self, config: Mapping[str, object]) -> Iterable[str]:
        return keys_needed(config, self._providers)

    async def run(self, ctx: NodeContext, config: ModelConfig) -> JsonValue:
        found = self._providers.find(config.model)
        if isinstance(found, Problem):
            raise NodeFailure.of("validation", found.message, hint=found.hint)
        provider, model = found
        messages = tuple(self._messages(ctx, config))
        meter = _Meter(ctx, config.model, messages)
        request = ModelRequest(
            model=model,
            messages=messages,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            stop=config.stop or (),
            options=config.options,
            api_key=await self._providers.keys.key_for(ctx.user, provider),
            idempotency_key=ctx.idempotency_key,
            script=config.script,
            json_schema=_schema(ctx) if config.parse_json else None,
            item=ctx.item,
            attempt=ctx.attempt,
            on_usage=meter.on_usage,
        )
        async with ctx.turn(provider.name, key=request.api_key, tokens=meter.expect(config.max_tokens)) as has_waited:
            if has_waited:
                request = replace(request, api_key=await self._providers.keys.key_for(ctx.user, provider))
            answer = await self._call(ctx, provider, request, meter)
        return _read(ctx, config, answer)

    async def _call(self, ctx: NodeContext, provider: Provider, request: ModelRequest, meter: _Meter) -> ModelAnswer:
        try:
            answer = await provider.complete(request, meter.on_text, meter.on_thought)
        except NodeFailure as failure:
            if failure.error.type in _MAY_BE_CHARGED:
                meter.break_off()
            if failure.error.type == "invalid_key" and request.api_key is not None:
                raise self._providers.keys.refused(ctx.user, provider.name, failure) from None
            raise
        except asyncio.CancelledError:
            meter.break_off()
            raise
        meter.settle(answer)
        return answer

    async def close(self) -> None:
        await self._providers.close()

    def _messages(self, ctx: NodeContext, config: ModelConfig) -> Iterator[Message]:
        if config.system.strip():
            yield Message("system", config.system)
        yield Message("user", "\n\n".join(self._paragraphs(ctx, config)))

    def _paragraphs(self, ctx: NodeContext, config: ModelConfig) -> Iterator[str]:
        """Yield the parts of the user's message: the prompt, and guidance and failed checks unless it uses them."""
        if not config.prompt.strip():
            raise NodeFailure.of("validation", "the prompt is empty once its templates are rendered")
        yield config.prompt
        if ctx.guidance and not _uses(ctx, "guidance"):
            yield ctx.guidance
        if ctx.check_failures and not _uses(ctx, "check_failures"):
            yield "\n".join((REFUSED, *(f"- {reason}" for reason in ctx.check_failures)))


class RefineNode(LlmNode):
    """Works on the last output: it follows the prompt, unless the prompt has it in it."""

    name = "refine"
    needs_last_output = True
    sees = Sight.LAST_OUTPUT

    def _paragraphs(self, ctx: NodeContext, config: ModelConfig) -> Iterator[str]:
        text = as_text(ctx.last_output)
        if not text.strip():
            raise NodeFailure.of(
                "validation",
                "there is nothing to refine: no node before this one has produced content in this execution",
                hint="let it need a node that always runs, or give it the condition of the one it refines",
            )
        yield from super()._paragraphs(ctx, config)
        if not _uses(ctx, "last_output"):
            yield text


class _Meter:
    """Passes text on as it arrives and keeps the usage live: estimated as far as the provider gives no figures."""

    def __init__(self, ctx: NodeContext, model: str, messages: tuple[Message, ...]) -> None:
        self._ctx = ctx
        self._model = model
        self._asked = tokens_of(sum(len(each.content) for each in messages))
        self._told: Usage | None = None
        """The provider's own figures of what came before `_received`."""
        self._received = 0

    def expect(self, max_tokens: int | None) -> int:
        """Return how many tokens the call may take."""
        return self._asked + (max_tokens or EXPECTED_ANSWER)

    def on_text(self, text: str) -> None:
        self._ctx.text(text)
        self._count(text)

    def on_thought(self, text: str) -> None:
        self._ctx.think(text)
        self._count(text)

    def on_usage(self, usage: Usage) -> None:
        """Take the provider's figures of the call so far; some send none but zeros before the end."""
        if usage.tokens:
            self._told = usage
            self._received = 0
            self._ctx.usage(self._so_far(), model=self._model)

    def _count(self, text: str) -> None:
        self._received += len(text)
        self._ctx.usage(self._so_far(), model=self._model)

    def break_off(self) -> None:
        """The call ended without an answer: what was asked, and what had come of it, is charged all the same."""
        self._ctx.usage(self._so_far(), model=self._model)

    def _so_far(self) -> Usage:
        """Return what the call has used: the provider's figures, and an estimate of what came after them."""
        if self._told is None:
            return Usage(self._asked, tokens_of(self._received), estimated=True)
        told, more = self._told, tokens_of(self._received)
        return told._replace(output_tokens=told.output_tokens + more, estimated=told.estimated or bool(more))

    def settle(self, answer: ModelAnswer) -> None:
        """Set the attempt's usage: the provider's own figures if it gave any."""
        self._ctx.usage(answer.usage or self._so_far(), model=self._model)


def _uses(ctx: NodeContext, name: str) -> bool:
    """Whether the prompt or system text, as written, uses a name."""
    config = ctx.scope.node.body.config
    written = (config.get("prompt"), config.get("system"))
    return any(
        (name,) in references(source) for source in written if isinstance(source, str) and has_template(source)
    )


def _schema(ctx: NodeContext) -> JsonObject | None:
    """Return the JSON Schema that the node's output is checked against, unless it has templates in it."""
    schemas = (each.params for each in ctx.scope.node.checks if each.kind == "json_schema")
    return next((each for each in schemas if isinstance(each, dict) and not has_template(each)), None)


def _read(ctx: NodeContext, config: ModelConfig, answer: ModelAnswer) -> JsonValue:
    if not answer.text.strip():
        why = f" ({answer.finish_reason})" if answer.finish_reason not in (None, "stop") else ""
        raise NodeFailure.of("empty", f"{config.model} answered with no text{why}", retryable=True)
    cut = answer.finish_reason == "length"
    if config.parse_json:
        return _parse(config.model, answer.text, cut)
    if cut:
        ctx.progress(1.0, "the answer ends where its token limit was reached (max_tokens)")
    return answer.text


def _parse(model: str, text: str, cut: bool) -> JsonValue:
    try:
        return orjson.loads(unfenced(text))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = "raise max_tokens: the answer was cut off" if cut else "ask for JSON alone in the prompt"
        failure = NodeFailure.of(
            "check_failed", f"the answer of {model} is no JSON ({where})", retryable=True, hint=hint
        )
    # Raised out here: the decoder's error holds the whole answer.
    raise failure
