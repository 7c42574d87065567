"""How many items a foreach may have, and what the inputs alone say of that. Evaluates no template."""

from __future__ import annotations

import re
from collections.abc import Iterator

from offbook.workflows.document import CONTAINER_TYPE, Node, Workflow
from offbook.workflows.errors import OffbookError, Problem
from offbook.workflows.report import brief
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonObject, JsonValue

MAX_ITEMS = 100_000

_INPUT = re.compile(r"\s*(?:\{\{)?\s*inputs\.([a-zA-Z_]\w*)\s*(?:\}\})?\s*")


class ItemsRefused(OffbookError):
    """The `count` or `items` of a foreach gave what is not a list or a sensible number."""

    def __init__(self, code: str, word: str, allowed: str, got: str) -> None:
        self.code = code
        self.detail = f"must give {allowed}, got {got}"
        super().__init__(f"{word}: {self.detail}")


def read_count(value: JsonValue) -> int:
    """Return what a `count` gave as a number of items; ItemsRefused if it is none."""
    allowed = f"a whole number from 0 to {MAX_ITEMS}"
    if isinstance(value, float) and value.is_integer():
        # An input that is a number: 3 and 3.0 are one to whoever fills in a form.
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ItemsRefused("count-not-number", "count", allowed, brief(value))
    if not 0 <= value <= MAX_ITEMS:
        raise ItemsRefused("out-of-range", "count", allowed, brief(value))
    return value


def read_items(value: JsonValue) -> list[JsonValue]:
    """Return what `items` gave as a list; ItemsRefused if it is none, or too long."""
    if not isinstance(value, list | tuple):
        raise ItemsRefused("items-not-list", "items", "a list", brief(value))
    if len(value) > MAX_ITEMS:
        raise ItemsRefused("out-of-range", "items", f"no more than {MAX_ITEMS}", str(len(value)))
    return list(value)


def input_of(written: object) -> str | None:
    """Return the name of the input that a `count` or `items` is; None if it is not plainly one."""
    found = _INPUT.fullmatch(written) if isinstance(written, str) else None
    return found[1] if found else None


def item_problems(workflow: Workflow, inputs: JsonObject) -> Iterator[Problem]:
    """Yield what is wrong with inputs that are the `count` or `items` of a foreach on which all depends.

    One that a condition may skip, or that may fail, is left to the run.
    """
    for node in workflow.nodes:
        if node.type != CONTAINER_TYPE or node.continue_on_error:
            continue
        word, read = ("count", read_count) if node.config.get("count") is not None else ("items", read_items)
        name = input_of(node.config.get(word))
        if name not in inputs:
            continue
        try:
            read(inputs[name])
        except ItemsRefused as refused:
            if _runs_for_certain(node, workflow):
                message = f"the `{word}` of `{node.id}` {refused.detail}"
                yield Problem(refused.code, message, child_path("inputs", name), node.id)


def _runs_for_certain(node: Node, workflow: Workflow) -> bool:
    """Whether nothing but a failure before it can keep a node from running; the workflow has no cycle."""
    nodes = {each.id: each for each in workflow.nodes}
    certain: dict[str, bool] = {}
    stack = [node]
    while stack:
        here = stack[-1]
        before = [nodes[need.node] for need in here.needs if need.when in (None, True)]
        unknown = [each for each in before if each.id not in certain]
        if unknown:
            stack.extend(unknown)
            continue
        stack.pop()
        certain[here.id] = here.when in (None, True) and (not here.needs or any(certain[each.id] for each in before))
    return certain[node.id]
