"""The python node: what a function may return and raise, and what it is given to work with."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from offbook.nodes import FunctionRegistry, NodeContext, NodeFailure, NodeRegistry
from offbook.nodes.python_node import PythonConfig
from offbook.workflows.errors import Problem
from offbook.workflows.values import JsonValue, Usage
from tests.nodes.recording import ADA, Attempt


def registered(*functions: Any) -> NodeRegistry:
    known = FunctionRegistry()
    for function in functions:
        known.register(function)
    return NodeRegistry.with_builtins(functions=known)


@pytest.mark.parametrize("value", [None, True, 3, 0.5, "text", [1, {"a": None}], {"a": [1]}])
async def test_output_is_what_the_function_returns(value: JsonValue) -> None:
    def plain(ctx: NodeContext) -> JsonValue:
        return value

    async def coroutine(ctx: NodeContext) -> JsonValue:
        return value

    registry = registered(plain, coroutine)
    for name in ("plain", "coroutine"):
        assert await Attempt(registry, "python", {"function": name}).run() == value


async def test_arguments_keep_their_types() -> None:
    def same(ctx: NodeContext, **args: Any) -> JsonValue:
        return args

    args = {
        "list": "{{ inputs.list }}",
        "text": "{{ inputs.list | join('-') }}",
        "deep": {"n": "{{ 1 + 1 }}"},
        "n": 3,
    }
    made = Attempt(registered(same), "python", {"function": "same", "args": args}, inputs={"list": [1, 2]})
    assert await made.run() == {"list": [1, 2], "text": "1-2", "deep": {"n": 2}, "n": 3}


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_the_function_raises_is_raised(is_async: bool) -> None:
    async def coroutine(ctx: NodeContext) -> None:
        raise LookupError("no such ship")

    def plain(ctx: NodeContext) -> None:
        raise LookupError("no such ship")

    name = "coroutine" if is_async else "plain"
    with pytest.raises(LookupError, match="no such ship"):
        await Attempt(registered(coroutine, plain), "python", {"function": name}).run()


async def test_function_sees_the_whole_of_its_attempt() -> None:
    async def look(ctx: NodeContext) -> JsonValue:
        assert ctx.user is not None
        ctx.progress(0.25, "a quarter")
        ctx.think("hm")
        ctx.text("so far")
        ctx.usage(Usage(3, 4))
        return {
            "ids": [ctx.execution_id, ctx.node_id, ctx.item, ctx.attempt],
            "inputs": ctx.inputs,
            "before": ctx.output("before"),
            "last_output": ctx.last_output,
            "user": ctx.user.id,
            "guidance": ctx.guidance,
            "cancelled": ctx.cancelled.is_set(),
        }

    made = Attempt(
        registered(look),
        "python",
        {"function": "look"},
        upstream=["a"],
        inputs={"x": 1},
        guidance="Louder.",
        item=2,
        attempt=3,
    )
    assert await made.run() == {
        "ids": ["e" * 32, "node", 2, 3],
        "inputs": {"x": 1},
        "before": ["a"],
        "last_output": ["a"],
        "user": ADA.id,
        "guidance": "Louder.",
        "cancelled": False,
    }
    assert made.sink.reports == [("progress", "a quarter"), ("thinking", "hm"), ("text", "so far")]
    assert (made.sink.fractions, made.sink.usages) == ([0.25], [Usage(3, 4)])


async def test_async_function_may_have_a_plain_one_run_on_a_thread() -> None:
    def slow(number: int, *, plus: int) -> tuple[int, str]:
        return number + plus, threading.current_thread().name

    async def ask(ctx: NodeContext) -> JsonValue:
        return list(await ctx.call_plain(slow, 1, plus=2))

    made = Attempt(registered(ask), "python", {"function": "ask"})
    result, thread = await made.run()
    assert result == 3
    assert thread != threading.current_thread().name
    assert made.sink.plain_calls == 1


async def test_plain_function_hears_that_it_is_to_stop() -> None:
    waiting = threading.Event()

    def patient(ctx: NodeContext) -> str:
        waiting.set()
        return "stopped" if ctx.cancelled.wait(60) else "not told"

    made = Attempt(registered(patient), "python", {"function": "patient"})
    task = asyncio.create_task(made.run())
    assert await asyncio.to_thread(waiting.wait, 20.0)
    made.context.cancelled.set()
    assert await task == "stopped"


async def test_config_without_a_function_is_refused() -> None:
    with pytest.raises(ValidationError):
        PythonConfig.model_validate({"args": {}})
    with pytest.raises(ValidationError):
        PythonConfig.model_validate({"function": "a", "code": "import os"})
    python = registered().get("python")
    assert python is not None
    problems: list[Problem] = list(python.check_config({"function": "a"}))
    assert [problem.code for problem in problems] == ["unknown-function"]
    assert "no function is registered" in problems[0].hint


async def test_failure_of_an_unknown_function_says_what_to_do() -> None:
    with pytest.raises(NodeFailure) as caught:
        await Attempt(registered(), "python", {"function": "missing"}).run()
    assert "@offbook.node" in caught.value.error.hint
