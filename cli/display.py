"""How a watched execution looks on a terminal. Reads it and returns renderables; prints nothing itself."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from offbook.cli.watched import OVER_IT, Watched, describe_wait
from offbook.workflows.values import JsonObject

BAR_WIDTH = 24
TEXT_LINES = 6
THOUGHT_LINES = 3
LINE_WIDTH = 76
ITEM_TEXT = 48
MAX_ITEMS = 8
"""Running items that are shown for one foreach."""
STYLES = {
    "completed": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "skipped": "dim",
    "pending": "dim",
    "running": "cyan",
    "waiting": "magenta",
    "paused": "yellow",
    "interrupted": "yellow",
}


def render(watched: Watched) -> RenderableType:
    """Draw header, a bar for each node and item, the thinking and the text as it comes, and what went wrong."""
    return Group(render_header(watched), render_nodes(watched), *render_end(watched))


def render_end(watched: Watched) -> list[RenderableType]:
    """Draw what stands last: the thinking and the text as they come, and what went wrong."""
    parts: list[RenderableType] = []
    if not watched.status.at_rest:
        parts.extend(render_streams(watched))
    error = watched.payload.get("error")
    if error:
        parts.append(render_error(error))
    return parts


def render_header(watched: Watched) -> RenderableType:
    """Draw one line: workflow, status, epoch, percent, tokens, money, transactions."""
    payload = watched.payload
    usage, operations = payload["usage"], payload["db_ops"]
    estimated = "~" if usage["estimated"] else ""
    words = [
        (payload["workflow"]["name"], "bold"),
        (payload["status"], STYLES.get(payload["status"], "")),
        (f"epoch {payload['epoch']}", ""),
        (f"{payload['progress']['percent']:.0f}%", ""),
        (f"{estimated}{usage['input_tokens']} in, {estimated}{usage['output_tokens']} out tokens", ""),
        (f"db {count(operations['writes'], 'write')}, {count(operations['reads'], 'read')}", "dim"),
    ]
    cost = payload.get("cost")
    if cost:
        words.insert(5, (f"{cost['amount']} {cost['currency']}", ""))
    line = Text("  ").join(Text(text, style) for text, style in words)
    waiting = payload.get("waiting")
    if waiting:
        line.append(f"\nwaiting for {describe_wait(waiting)}", "magenta")
    return Group(Text(payload["execution_id"], "dim"), line)


def render_nodes(watched: Watched) -> RenderableType:
    """Draw a row for each node, and below a foreach one for each item that runs."""
    table = Table.grid(padding=(0, 2))
    for node_id, entry in watched.nodes.items():
        status = entry["status"]
        style = STYLES.get(status, "")
        bar = ProgressBar(total=1.0, completed=_fraction(entry), width=BAR_WIDTH, complete_style=style or "white")
        table.add_row(Text(node_id), bar, Text(status, style), Text(describe_figures(entry), "dim"))
        if entry.get("items") and not watched.status.at_rest:
            for item in watched.running_items(node_id)[:MAX_ITEMS]:
                text = tail(watched.latest_text("text", node_id=node_id, item=item), 1, ITEM_TEXT)
                table.add_row(Text(f"  [{item}]", "cyan"), Text(text, "dim"), Text("running", "cyan"), Text(""))
    return table


def render_error(error: JsonObject) -> RenderableType:
    """Draw what went wrong, where, and what to do."""
    where = error.get("node_id") or "execution"
    if error.get("item") is not None:
        where = f"{where}[{error['item']}]"
    text = Text(f"{error['type']}: {error['message']}", "red")
    hint = error.get("hint")
    if hint and "POST /" not in hint:
        text.append(f"\n{hint}", "cyan")
    return Panel(text, title=escape(f"{where} failed"), title_align="left", border_style="red")


def render_streams(watched: Watched) -> Iterator[RenderableType]:
    """Draw the newest thought, and the newest text."""
    thought = watched.latest_text("thinking")
    if thought:
        shown = Text(tail(thought, THOUGHT_LINES, LINE_WIDTH), "italic")
        yield Panel(shown, title="thinking", title_align="left", border_style="blue")
    text = watched.latest_text("text")
    if text:
        yield Panel(Text(tail(text, TEXT_LINES, LINE_WIDTH)), title="text", title_align="left", border_style="dim")


def _fraction(entry: JsonObject) -> float:
    if entry["status"] in ("completed", "skipped"):
        return 1.0
    items = entry.get("items")
    if items and items["total"]:
        return float(items["completed"]) / float(items["total"])
    return float(entry.get("fraction", 0.0))


def describe_figures(entry: JsonObject) -> str:
    """Say in a few words what a node has done so far."""
    words = []
    items = entry.get("items")
    if items:
        failed = f", {items['failed']} failed" if items["failed"] else ""
        words.append(f"{items['completed']}/{items['total']} items{failed}")
    if entry["attempt"] > 1:
        words.append(f"attempt {entry['attempt']}")
    tokens = entry["usage"]["output_tokens"]
    if tokens:
        words.append(count(tokens, "token"))
    if entry.get("error") and entry["status"] not in OVER_IT:
        words.append(entry["error"]["type"])
    return "  ".join(words)


def count(number: int, word: str) -> str:
    """Say how many there are of something."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def execution_column() -> Column:
    """Head the column of ids: they are there to be copied, so that others make room."""
    return Column("execution", no_wrap=True, min_width=32)


def one_line(text: str) -> Text:
    """Have a text in a table cut rather than wrapped."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def tail(text: str, lines: int, width: int) -> str:
    """Return the end of a text, in so many lines of so many characters at most."""
    found: list[str] = []
    for paragraph in reversed(text.rstrip().splitlines() or [""]):
        pieces = textwrap.wrap(paragraph, width) or [""]
        found = pieces[-(lines - len(found)) :] + found
        if len(found) >= lines:
            break
    return "\n".join(found)
