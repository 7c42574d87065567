"""A watched execution as a tree of its nodes, with what they say while they run. Reads it; prints nothing itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from offbook.cli.display import ITEM_TEXT, MAX_ITEMS, STYLES, describe_figures, render_end, render_header, tail
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
LEAST_LINES = 6
"""Of the tree, however little room there is."""
INTEREST = {"failed": 0, "running": 1, "waiting": 2, "completed": 3, "pending": 4}
"""Which nodes of a large workflow are shown on a small screen before others."""


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
        placed: dict[str, None] = {}
        while left:
            ready = [each for each in left if all(need in placed for need in self.needs.get(each, ()))]
            placed.update(dict.fromkeys(ready or left))
            left = [each for each in left if each not in placed]
        return list(placed)


def render_tree(watched: Watched, shape: Shape) -> RenderableType:
    """Draw header, tree, the last steps, thinking and text as they come, and what went wrong."""
    return _Picture(watched, shape)


class _Picture:
    """The whole, in which the tree takes the lines that the others leave of the screen while it is drawn live."""

    def __init__(self, watched: Watched, shape: Shape) -> None:
        self._watched = watched
        self._shape = shape

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        watched = self._watched
        head = render_header(watched)
        below = [_steps(watched), *render_end(watched)]
        room = None
        if console.is_terminal and not watched.status.at_rest:
            taken = sum(len(console.render_lines(part, options, pad=False)) for part in (head, *below))
            room = max(LEAST_LINES, console.size.height - taken - 1)
        yield head
        yield _tree(watched, self._shape, room)
        yield from below


def _tree(watched: Watched, shape: Shape, room: int | None) -> RenderableType:
    root = Tree(Text(watched.payload["workflow"]["name"], "bold"), guide_style="dim")
    branches: dict[str, Tree] = {}
    order = shape.ordered(watched.nodes)
    shown = _of_interest(watched, order, room) if room is not None else set(order)
    for node_id in [each for each in order if each in shown]:
        needs = [need for need in shape.needs.get(node_id, ()) if need in branches]
        parent = max(needs, key=order.index) if needs else None
        label = _label(node_id, watched.nodes[node_id])
        others = [need for need in needs if need != parent]
        if others:
            label.append(f"  also after {', '.join(others)}", "dim")
        branch = branches[node_id] = (branches[parent] if parent else root).add(label)
        for item in _items(watched, node_id):
            text = tail(watched.latest_text("text", node_id=node_id, item=item), 1, ITEM_TEXT)
            branch.add(_one_line(Text.assemble((f"[{item}] ", "cyan"), (text, "dim"))))
    rest = Counter(watched.nodes[each]["status"] for each in order if each not in shown)
    if rest:
        words = ", ".join(f"{number} {status}" for status, number in rest.items())
        root.add(_one_line(Text(f"and {rest.total()} more: {words}", "dim")))
    return root


def _of_interest(watched: Watched, order: list[str], room: int) -> set[str]:
    """Return the nodes to show in so many lines: what fails, runs or waits, then what lies next to that."""
    lines = {node_id: 1 + len(_items(watched, node_id)) for node_id in order}
    if 1 + sum(lines.values()) <= room:
        return set(order)
    # One line for the name of the workflow, and one for the nodes that are not shown.
    left = room - 2
    shown = set()
    for _, _, node_id in sorted(_interest(watched, place, node_id) for place, node_id in enumerate(order)):
        left -= lines[node_id]
        if left < 0:
            break
        shown.add(node_id)
    return shown


def _interest(watched: Watched, place: int, node_id: str) -> tuple[int, int, str]:
    status = watched.nodes[node_id]["status"]
    return INTEREST.get(status, len(INTEREST)), -place if status == "completed" else place, node_id


def _items(watched: Watched, node_id: str) -> list[int]:
    """Return the items of a fan-out that are drawn below it: those that run, while it does."""
    if watched.status.at_rest or not watched.nodes[node_id].get("items"):
        return []
    return watched.running_items(node_id)[:MAX_ITEMS]


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _label(node_id: str, entry: JsonObject) -> Text:
    status = entry["status"]
    style = STYLES.get(status, "")
    return _one_line(
        Text.assemble(
            *((f"{MARKS.get(status, ' ')} ", style), node_id, "  ", (status, style)),
            *("  ", (describe_figures(entry), "dim")),
        )
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
