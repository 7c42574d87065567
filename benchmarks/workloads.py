"""Workflows that benchmarks run, and the functions their nodes call. Measures nothing."""

from __future__ import annotations

import asyncio

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.values import JsonObject, Usage

STEPS = 10
SENTENCE = "Every step of this line returns a text of one kilobyte, about what a paragraph takes. "
KILOBYTE = (SENTENCE * 12)[:1000]

PARAGRAPH = (
    "The keeper had counted ships for nine winters before he saw one come back. It stood off the point at dusk, grey "
    "against grey water, with its lanterns out and nobody at the rail. He wrote the hour in his book, as he did with "
    "every sail, and then sat looking at the line, because under it, in a hand that was his own, the same ship was "
    "entered for the evening before. Down in the village they laughed at first. The baker said that salt gets into a "
    "man's head after a while; the priest asked what it had carried. Only Marta, who mended nets by the slip and had "
    "lost two brothers to the banks, put on her coat without a word and climbed the stairs beside him. Together they "
    "trimmed the lamp, opened both shutters and waited. Towards midnight something knocked against the stones below: "
    "once, twice, then slowly, like somebody who is sure of being heard. She took the book from the table, tore out "
    "that page and held it over the flame until nothing but a corner remained between her fingers."
)
"""About 1 KB in which nothing is said twice."""

FUNCTIONS = FunctionRegistry()


@FUNCTIONS.node
async def paragraph(ctx: NodeContext) -> str:
    """Return 1 KB that no other step returns."""
    return f"{ctx.idempotency_key:<50}{KILOBYTE:.974}"


@FUNCTIONS.node
async def prose(ctx: NodeContext) -> str:
    """Return 1 KB that could be a paragraph: what checks look at."""
    return f"{PARAGRAPH:.974}{ctx.idempotency_key}"


@FUNCTIONS.node
async def charged_prose(ctx: NodeContext) -> str:
    """Return the same, and report tokens of a model that has a price."""
    ctx.usage(Usage(200, 250), model="bench/model")
    return f"{PARAGRAPH:.974}{ctx.idempotency_key}"


holding: set[str] = set()
"""The attempts that are in `hold`."""


@FUNCTIONS.node
async def hold(ctx: NodeContext) -> str:
    """Be under way, as a long call is, until the attempt is aborted."""
    holding.add(ctx.execution_id)
    await asyncio.get_running_loop().create_future()
    return ""


def registry() -> NodeRegistry:
    """Build the node types, with the functions of these benchmarks alone."""
    return NodeRegistry.with_builtins(functions=FUNCTIONS)


def calls(function: str, **args: object) -> JsonObject:
    """Build a node that calls a function."""
    return {"type": "python", "config": {"function": function, **({"args": args} if args else {})}}


def line(name: str, *nodes: JsonObject) -> JsonObject:
    """Build a workflow of nodes one after another: `step_1`, `step_2`, ..."""
    placed: list[JsonObject] = []
    for number, node in enumerate(nodes, 1):
        needs = [f"step_{number - 1}"] if placed else []
        placed.append({"id": f"step_{number}", **node, **({"needs": needs} if needs else {})})
    return {"format": 1, "name": name, "nodes": placed}
