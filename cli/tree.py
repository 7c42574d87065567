"""A watched execution as a tree of its nodes, with what they say while they run. Reads it; prints nothing itself."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from offbook.cli.display import STYLES, describe_figures, render_error, render_header, render_streams, tail
from offbook.cli.watched import Watched
from offbook.workflows.values import JsonObject

MARKS = {
    "completed": "✔",
    "failed": "✘",
    "cancelled": "✘",
    "skipped": "-",
    "pending": "·",
    "running": "▶",
    "waiting": "…",
}
STEPS_SHOWN = 8
STREAMED = frozenset({"text", "thinking"})
STEP_WIDTH = 60
ITEM_TEXT = 48
MAX_ITEMS = 8


class Shape:
    """Which node comes after which, for drawing: below the last of those that it needs."""

    def __init__(self, document: JsonObject | None) -> None:
        """Read it from a workflow's document; None: it is not known, and the nodes stand side by side."""
        self.needs: dict[str, list[str]] = {}
        for node in (document or {}).get("nodes", ()):
            self.needs[node["id"]] = [
                each if isinstance(each, str) else each["node"] for each in node.get("needs", ())
            ]

    def ordered(self, nodes: Iterable[str]) -> list[str]:
        """Return the nodes so that each comes after all that it needs."""
        left = list(nodes)
        placed: list[str] = []
        while left:
            ready = [each for each in left if all(need in placed for need in self.needs.get(each, ()))]
            placed += ready or left
            left = [each for each in left if each not in placed]
        return placed


def render_tree(watched: Watched, shape: Shape) -> RenderableType:
    """Draw header, tree, the last steps, thinking and text as they come, and what went wrong."""
    parts: list[RenderableType] = [render_header(watched), _tree(watched, shape), _steps(watched)]
    if not watched.status.at_rest:
        parts.extend(render_streams(watched))
    error = watched.payload.get("error")
    if error:
        parts.append(render_error(error))
    return Group(*parts)


def _tree(watched: Watched, shape: Shape) -> RenderableType:
    root = Tree(Text(watched.payload["workflow"]["name"], "bold"), guide_style="dim")
    branches: dict[str, Tree] = {}
    order = shape.ordered(watched.nodes)
    for node_id in order:
        needs = [need for need in shape.needs.get(node_id, ()) if need in branches]
        parent = max(needs, key=order.index) if needs else None
        label = _label(node_id, watched.nodes[node_id])
        others = [need for need in needs if need != parent]
        if others:
            label.append(f"  also after {', '.join(others)}", "dim")
        branch = branches[node_id] = (branches[parent] if parent else root).add(label)
        if watched.nodes[node_id].get("items") and not watched.status.at_rest:
            for item in watched.running_items(node_id)[:MAX_ITEMS]:
                text = tail(watched.latest_text("text", node_id=node_id, item=item), 1, ITEM_TEXT)
                branch.add(Text.assemble((f"[{item}] ", "cyan"), (text, "dim")))
    return root


def _label(node_id: str, entry: JsonObject) -> Text:
    status = entry["status"]
    style = STYLES.get(status, "")
    return Text.assemble(
        (f"{MARKS.get(status, ' ')} ", style), node_id, "  ", (status, style), "  ", (describe_figures(entry), "dim")
    )


def _steps(watched: Watched) -> RenderableType:
    """Draw the last of what happened, without what streams."""
    table = Table.grid(padding=(0, 2))
    told = [watched.steps[seq] for seq in sorted(watched.steps) if watched.steps[seq]["kind"] not in STREAMED]
    for step in told[-STEPS_SHOWN:]:
        where = step["node_id"] or "execution"
        if step["item"] is not None:
            where = f"{where}[{step['item']}]"
        at = (step["at"] or "").partition("T")[2][:8]
        table.add_row(
            Text(at, "dim"), Text(where), Text(step["kind"]), Text(tail(step["text"], 1, STEP_WIDTH), "dim")
        )
    return table
