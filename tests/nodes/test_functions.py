"""Registered functions and the `python` node that calls them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from offbook.nodes import FunctionRegistry, NodeContext, NodeFailure, NodeRegistry, Park
from offbook.nodes.functions import FUNCTIONS, FunctionRefused, node
from tests.nodes.recording import Attempt

FUNCTION = FunctionRegistry()
REGISTRY = NodeRegistry.with_builtins(functions=FUNCTION)


@FUNCTION.node
async def shout(ctx: NodeContext, text: str, times: int = 1) -> str:
    ctx.progress(0.5, "half")
    return text.upper() * times


@FUNCTION.node("where")
def plain(ctx: NodeContext, function: str = "", **more: Any) -> list[Any]:
    ctx.think("hm")
    return [threading.current_thread() is threading.main_thread(), function, more]


@FUNCTION.node()
async def refuse(ctx: NodeContext) -> None:
    raise NodeFailure.of("too_dark", "no light", retryable=True)


@FUNCTION.node
def sleep(ctx: NodeContext) -> None:
    raise Park("timer", until=5.0)


def attempt(function: str, /, **args: Any) -> Attempt:
    return Attempt(REGISTRY, "python", {"function": function, "args": args}, upstream="hey")


async def test_async_function_runs_on_the_loop() -> None:
    made = attempt("shout", text="{{ last_output }}", times=2)
    assert await made.run() == "HEYHEY"
    assert (made.sink.plain_calls, made.sink.fractions) == (0, [0.5])


async def test_plain_function_runs_on_a_thread() -> None:
    made = attempt("where", function="any name will do", other=1)
    assert await made.run() == [False, "any name will do", {"other": 1}]
    assert (made.sink.plain_calls, made.sink.reports) == (1, [("thinking", "hm")])


async def test_failure_and_park_of_a_function_are_the_nodes() -> None:
    with pytest.raises(NodeFailure) as failed:
        await attempt("refuse").run()
    assert (failed.value.error.type, failed.value.error.retryable) == ("too_dark", True)
    with pytest.raises(Park):
        await attempt("sleep").run()


async def test_coroutine_of_a_plain_function_is_awaited() -> None:
    functions = FunctionRegistry()
    functions.register(lambda ctx: shout(ctx, "deep"), "indirect")
    registry = NodeRegistry.with_builtins(functions=functions)
    assert await Attempt(registry, "python", {"function": "indirect"}).run() == "DEEP"


async def test_callable_object_with_an_async_call_runs_on_the_loop() -> None:
    class Poet:
        async def __call__(self, ctx: NodeContext, word: str) -> str:
            return f"{word} and {word}"

    functions = FunctionRegistry()
    functions.register(Poet(), "poet")
    made = Attempt(
        NodeRegistry.with_builtins(functions=functions), "python", {"function": "poet", "args": {"word": "sea"}}
    )
    assert (await made.run(), made.sink.plain_calls) == ("sea and sea", 0)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"function": "shout", "args": {"text": "a"}}, []),
        ({"function": "where", "args": {"anything": 1}}, []),
        ({"function": "{{ inputs.f }}", "args": {"x": 1}}, []),
        ({"function": "shuot"}, [("unknown-function", "function")]),
        ({"function": "shout"}, [("missing-argument", "args")]),
        ({"function": "shout", "args": {"text": "a", "tims": 2}}, [("unknown-argument", "args.tims")]),
        ({"function": "shout", "args": {"text": "a", "ctx": 2}}, [("unknown-argument", "args.ctx")]),
    ],
)
def test_config_is_checked_against_the_signature(config: dict[str, Any], found: list[tuple[str, str]]) -> None:
    python = REGISTRY.get("python")
    assert python is not None
    problems = list(python.check_config(config))
    assert [(problem.code, problem.path) for problem in problems] == found
    if found and found[0][0] == "unknown-function":
        assert "did you mean 'shout'?" in problems[0].hint
    if found and found[0][1] == "args.tims":
        assert "did you mean 'times'?" in problems[0].hint


async def test_args_are_checked_again_when_rendered() -> None:
    config = {"function": "{{ inputs.f }}", "args": {"txt": "a"}}
    with pytest.raises(NodeFailure, match="needs the argument 'text'"):
        await Attempt(REGISTRY, "python", config, inputs={"f": "shout"}).run()
    with pytest.raises(NodeFailure, match="no function is registered as 'nothing'"):
        await Attempt(REGISTRY, "python", config, inputs={"f": "nothing"}).run()


def _generator(ctx: NodeContext) -> Iterator[int]:
    yield 1


def _no_context(*, ctx: NodeContext) -> None:
    return


def _nameless(ctx: NodeContext, other: int, /) -> None:
    return


@pytest.mark.parametrize("function", [_generator, _no_context, _nameless, lambda: None, partial(_generator)])
def test_function_that_cannot_be_called_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(FunctionRefused):
        FunctionRegistry().register(function)


def test_two_functions_of_one_name_are_refused_and_one_defined_again_is_not() -> None:
    def defined() -> Callable[..., Any]:
        def chapter(ctx: NodeContext) -> None:
            return

        return chapter

    functions = FunctionRegistry()
    functions.register(defined())
    functions.register(defined())
    with pytest.raises(FunctionRefused, match=r"test_functions\.shout.*taken by .*chapter"):
        functions.register(shout, "chapter")
    functions.register(partial(shout, text="a"), "partial")
    with pytest.raises(FunctionRefused):
        functions.register(partial(shout, text="b"), "partial")


def test_decorator_fills_the_default_registry() -> None:
    def only_here(ctx: NodeContext) -> None:
        return

    assert node(only_here) is only_here
    assert FUNCTIONS.get("only_here") is not None
    python = NodeRegistry.with_builtins().get("python")
    assert python is not None
    assert list(python.check_config({"function": "only_here"})) == []
