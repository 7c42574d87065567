"""Workflow documents for stories, and the nodes they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offbook.workflows.values import JsonObject, JsonValue

Needs = Sequence[str | JsonObject]


def workflow(*nodes: JsonObject, name: str = "story", **fields: Any) -> JsonObject:
    return {"name": name, "nodes": list(nodes), **fields}


def llm(
    node_id: str, prompt: str, *, needs: Needs = (), model: str = "scripted/writer", script: Any = None, **fields: Any
) -> JsonObject:
    """A node that asks a model; `script` is what the scripted provider does."""
    config: JsonObject = {"model": model, "prompt": prompt}
    if script is not None:
        config["script"] = script
    return _node(node_id, "llm", config, needs, fields)


def python(node_id: str, function: str, *, needs: Needs = (), args: Any = None, **fields: Any) -> JsonObject:
    """A node that calls a registered function."""
    return _node(node_id, "python", {"function": function, "args": args or {}}, needs, fields)


def template(node_id: str, text: JsonValue, *, needs: Needs = (), **fields: Any) -> JsonObject:
    return _node(node_id, "template", {"text": text}, needs, fields)


def output(node_id: str, value: JsonValue, *, needs: Needs = (), **fields: Any) -> JsonObject:
    return _node(node_id, "output", {"value": value}, needs, fields)


def foreach(node_id: str, do: JsonObject, *, needs: Needs = (), concurrency: int = 1, **fields: Any) -> JsonObject:
    """A fan-out over `count` or `items`; `do` is a node, whose id is not used."""
    config: JsonObject = {key: fields.pop(key) for key in ("count", "items") if key in fields}
    body = {key: value for key, value in do.items() if key not in ("id", "needs")}
    return _node(node_id, "foreach", {**config, "concurrency": concurrency, "do": body}, needs, fields)


def approval(node_id: str, *, needs: Needs = (), **config: Any) -> JsonObject:
    return _node(node_id, "approval", config, needs, {})


def wait(node_id: str, seconds: float, *, needs: Needs = ()) -> JsonObject:
    return _node(node_id, "wait", {"seconds": seconds}, needs, {})


def line(length: int, *, kilobytes: int = 0) -> JsonObject:
    """A workflow of nodes one after the other, each with some text of its own as its output."""
    nodes = [
        template(
            f"n{number}", f"{number:04d}" * 256 * kilobytes or number, needs=[f"n{number - 1}"] if number else []
        )
        for number in range(length)
    ]
    return workflow(*nodes)


def book(*, model: str = "fake/writer", chapters: int = 3, concurrency: int = 1, **chapter: Any) -> JsonObject:
    """An outline, chapters in order or several at once, and the book they make."""
    return workflow(
        llm("outline", "outline", model=model),
        foreach(
            "chapters",
            llm("chapter", "chapter {{ index }}.", model=model, **chapter),
            needs=["outline"],
            count=chapters,
            concurrency=concurrency,
        ),
        output("book", "{{ nodes.chapters.output | join(' / ') }}", needs=["chapters"]),
        name="book",
    )


def _node(node_id: str, kind: str, config: JsonObject, needs: Needs, fields: JsonObject) -> JsonObject:
    node: JsonObject = {"id": node_id, "type": kind, "config": config, **fields}
    if needs:
        node["needs"] = list(needs)
    return node
