"""The node type `python`: calls a registered function. Imports no module by name and evaluates no code."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial

from pydantic import BaseModel, Field

from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.node_type import NodeConfig, NodeType
from offbook.nodes.text import did_you_mean
from offbook.workflows.errors import Problem
from offbook.workflows.templates import has_template
from offbook.workflows.values import NO_USAGE, JsonObject, JsonValue, Usage


class PythonConfig(NodeConfig):
    """Which function, and what it is given besides the context."""

    function: str
    args: JsonObject = Field(default_factory=dict)


class PythonNode(NodeType):
    """Calls `function(ctx, **args)`: an async one on the node loop, a plain one on a thread of its own."""

    name = "python"
    config_model: type[BaseModel] = PythonConfig
    produces_content = True

    def __init__(self, functions: FunctionRegistry) -> None:
        self._functions = functions

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        name, args = config.get("function"), config.get("args", {})
        if not isinstance(name, str) or has_template(name):
            return
        function = self._functions.get(name)
        if function is None:
            yield self._unknown(name)
        elif isinstance(args, Mapping):
            yield from function.check_args(args)

    def estimate(self, config: Mapping[str, object]) -> Usage:
        """A function may call a model; only it knows."""
        return NO_USAGE

    def _unknown(self, name: str) -> Problem:
        hint = did_you_mean(name, self._functions.names(), "no function is registered")
        return Problem(
            "unknown-function",
            f"no function is registered as {name!r}",
            path="function",
            hint=f"{hint}; decorate it with @offbook.node and import its module",
        )

    async def run(self, ctx: NodeContext, config: PythonConfig) -> JsonValue:
        """Return what the function returns; what it raises is its failure."""
        function = self._functions.get(config.function)
        problems = [self._unknown(config.function)] if function is None else [*function.check_args(config.args)]
        if function is None or problems:
            raise NodeFailure.of("validation", "; ".join(each.message for each in problems), hint=problems[0].hint)
        # Bound here, so that an argument may have any name.
        call = partial(function.function, ctx, **config.args)
        output = call() if function.is_async else await ctx.call_plain(call)
        return await output if inspect.isawaitable(output) else output
