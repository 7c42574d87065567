"""Functions that judge outputs, the decorator that registers them, and the check `function` that calls them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.text import did_you_mean
from offbook.workflows.errors import Problem
from offbook.workflows.templates import has_template
from offbook.workflows.values import JsonObject, JsonValue


class CheckFunctions(FunctionRegistry):
    """Functions `f(ctx, output, **args)` by name."""

    leading = ("ctx", "output")
    decorator = "check"

    check = FunctionRegistry.node
    """Register `f(ctx, output, **args)` for checks: `@check` or `@check("name")`; returns it unchanged.

    It returns None or True if the output passes, else why not, as text (or False). An async function runs on the node
    loop and must not block; a plain one gets a thread of its own. The attempt's timeouts hold for both.
    """


class FunctionParams(CheckParams):
    """Which function, and what it is given besides context and output."""

    name: str
    args: JsonObject = Field(default_factory=dict)


class FunctionCheck(CheckKind):
    """Fails an output that a registered function does not let pass."""

    name = "function"
    params_model: type[BaseModel] = FunctionParams
    shorthand = "name"
    example = "{function: NAME}"

    def __init__(self, functions: CheckFunctions) -> None:
        self._functions = functions

    def check_params(self, params: Mapping[str, object]) -> Iterable[Problem]:
        name, args = params.get("name"), params.get("args", {})
        if not isinstance(name, str) or has_template(name):
            return
        function = self._functions.get(name)
        if function is None:
            hint = did_you_mean(name, self._functions.names(), "none is registered")
            yield Problem(
                "unknown-function",
                f"no function is registered as {name!r} for checks",
                path="name",
                hint=f"{hint}; decorate it with @offbook.check and import its module",
            )
        elif isinstance(args, Mapping):
            yield from function.check_args(args)

    def examine(self, produced: Produced, params: FunctionParams) -> str | None:
        raise NotImplementedError("a function is asked with a context: `judge`")

    async def judge(self, ctx: NodeContext, output: JsonValue, params: FunctionParams) -> str | None:
        """Return why the function does not let the output pass; None if it does. What it raises is raised."""
        function = self._functions.get(params.name)
        problems = list(self.check_params({"name": params.name, "args": params.args}))
        if function is None or problems:
            raise NodeFailure.of("validation", "; ".join(each.message for each in problems), hint=problems[0].hint)
        call = partial(function.function, ctx, output, **params.args)
        verdict: Any = call() if function.is_async else await ctx.call_plain(call)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        return _reason(params.name, verdict)


def _reason(name: str, verdict: object) -> str | None:
    if verdict is None or verdict is True or verdict == "":
        return None
    if verdict is False:
        return f"{name} does not let it pass"
    if isinstance(verdict, str):
        return f"{name}: {verdict}"
    raise NodeFailure.of(
        "validation",
        f"the check function {name!r} returned a {type(verdict).__name__}",
        hint="return None or True if the output passes, else why not, as text",
    )


CHECKS = CheckFunctions()
"""What the decorator `check` fills, and every registry of checks uses unless it is given another."""

check = CHECKS.check
