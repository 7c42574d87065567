"""Workflows that benchmarks run, and the functions their nodes call. Measures nothing."""

from __future__ import annotations

import asyncio

from offbook.nodes.context import NodeContext
from offbook.nodes.functions import FunctionRegistry
from offbook.nodes.registry import NodeRegistry
from offbook.workflows.values import JsonObject

STEPS = 10
SENTENCE = "Every step of this line returns a text of one kilobyte, about what a paragraph takes. "
KILOBYTE = (SENTENCE * 12)[:1000]

FUNCTIONS = FunctionRegistry()


@FUNCTIONS.node
async def paragraph(ctx: NodeContext) -> str:
    """Return 1 KB that no other step returns."""
    return f"{ctx.idempotency_key:<50}{KILOBYTE:.974}"


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
