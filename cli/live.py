"""The watch command: all executions, or one, as they change. Looks only: leaving it leaves them alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from functools import partial
from typing import Annotated

import orjson
import typer
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from offbook.cli import options
from offbook.cli.client import Client
from offbook.cli.connect import Target, connect
from offbook.cli.display import STYLES, execution_column, one_line
from offbook.cli.exits import ExitCode, ServerProblem, ServerUnreachable, console, exit_code_at
from offbook.cli.outcome import print_outcome
from offbook.cli.running import Interrupts, execute
from offbook.cli.tree import Shape, render_tree
from offbook.cli.watch import FRAMES_PER_SECOND, LONGEST_DELAY, follow_until_interrupted, open_show
from offbook.workflows.errors import OffbookError
from offbook.workflows.values import JsonObject, parse_time

ROWS = 30
"""Executions in the list, the newest."""
WIDE = 110
"""Columns of a terminal from which on there is room for tokens and money."""


def watch(
    execution_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One execution; else all.")] = None,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Watch all executions as they change, or one until it rests. Ctrl-C only ends the watching."""
    target = options.target(server, data_dir, database, imports)
    execute(watch_one(target, execution_id) if execution_id else watch_all(target))


async def watch_one(target: Target, execution_id: str) -> int:
    """Show one execution as a tree, or as lines, until it rests."""

    async def leave(count: int) -> bool:
        return False

    with Interrupts() as interrupts:
        async with connect(target) as client:
            shape = Shape(await _document(client, execution_id))
            draw = partial(render_tree, shape=shape)
            with open_show(console(), wanted=True, draw=draw) as show:
                payload = await follow_until_interrupted(client, execution_id, show, interrupts, leave, patient=True)
    if payload is None:
        return ExitCode.INTERRUPTED
    print_outcome(payload, drawn=console().is_terminal)
    return exit_code_at(payload["status"])


async def _document(client: Client, execution_id: str) -> JsonObject | None:
    """Return the document of an execution's workflow, if there is one to be had."""
    fingerprint = (await client.status(execution_id))["workflow"]["fingerprint"]
    try:
        document: JsonObject = (await client.workflow(fingerprint))["document"]
    except OffbookError:
        return None
    return document


class ExecutionList:
    """The newest executions, as events keep them up to date."""

    def __init__(self) -> None:
        self.rows: dict[str, JsonObject] = {}
        self.away = ""

    def load(self, rows: list[JsonObject]) -> list[JsonObject]:
        """Take the whole list; return the rows that are new or have changed."""
        before, self.rows = self.rows, {row["execution_id"]: row for row in rows}
        return [row for row in rows if _line(row) != _line(before.get(row["execution_id"], {}))]

    def hear(self, name: str, said: JsonObject) -> list[JsonObject]:
        """Take an event; return the rows that have changed."""
        if name == "deleted":
            self.rows.pop(said["execution_id"], None)
            return []
        if name != "execution":
            return []
        before = self.rows.get(said["execution_id"], {})
        self.rows[said["execution_id"]] = said
        newest = sorted(self.rows.values(), key=lambda row: (row["created_at"], row["execution_id"]), reverse=True)[
            :ROWS
        ]
        self.rows = {row["execution_id"]: row for row in newest}
        return [said] if _line(said) != _line(before) else []

    def draw(self) -> RenderableType:
        return _Rows(list(self.rows.values()), self.away)


class _Rows:
    """The list as a table: an id is whole, and what else does not fit is left out."""

    def __init__(self, rows: list[JsonObject], away: str) -> None:
        self._rows = rows
        self._away = away

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        right = [Column(name, justify="right", no_wrap=True) for name in ("%", "tokens", "cost", "age")]
        percent, tokens, money, age = right
        columns: list[Column | str] = [
            execution_column(),
            Column("status", no_wrap=True),
            percent,
            "workflow",
            "user",
        ]
        table = Table(*columns, *((tokens, money) if wide else ()), age, box=None, pad_edge=False)
        now = time.time()
        for row in self._rows:
            figures = (_tokens(row), _money(row)) if wide else ()
            table.add_row(
                row["execution_id"],
                Text(row["status"], STYLES.get(row["status"], "")),
                f"{row['percent']:.0f}",
                one_line(row["workflow"]["name"]),
                one_line(row["user_id"] or "-"),
                *figures,
                _age(now - parse_time(row["created_at"])),
            )
        if self._away:
            table.caption = self._away
        yield table


def _tokens(row: JsonObject) -> str:
    usage = row.get("usage") or {}
    return str(usage.get("input_tokens", 0) + usage.get("output_tokens", 0))


def _money(row: JsonObject) -> str:
    cost = row.get("cost")
    return f"{float(cost['amount']):.4f} {cost['currency']}" if cost else "-"


def _age(seconds: float) -> str:
    """Say how long ago in one unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _line(row: JsonObject) -> str:
    return f"{row['execution_id']} {row['status']} {row['percent']:.0f}%" if row else ""


async def watch_all(target: Target) -> int:
    """Show the newest executions until Ctrl-C."""
    with Interrupts() as interrupts:
        async with connect(target) as client, _shown(console()) as (listed, changed):
            watching = asyncio.create_task(_keep_up(client, listed, changed))
            noticed = asyncio.create_task(interrupts.next())
            await asyncio.wait({watching, noticed}, return_when=asyncio.FIRST_COMPLETED)
            noticed.cancel()
            if not watching.done():
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                return ExitCode.INTERRUPTED
            watching.result()
    return ExitCode.COMPLETED


@asynccontextmanager
async def _shown(out: Console) -> AsyncIterator[tuple[ExecutionList, Callable[[list[JsonObject]], None]]]:
    """Give a list that is drawn on a terminal, and what prints its changes elsewhere."""
    listed = ExecutionList()

    def print_changes(rows: list[JsonObject]) -> None:
        if not out.is_terminal:
            for row in rows:
                typer.echo(_line(row))

    live = Live(console=out, refresh_per_second=FRAMES_PER_SECOND, get_renderable=listed.draw)
    with live if out.is_terminal else nullcontext():
        yield listed, print_changes


async def _keep_up(client: Client, listed: ExecutionList, changed: Callable[[list[JsonObject]], None]) -> None:
    """Load the list and hear what becomes of it, and again whenever the server was away."""
    heard = False
    while True:
        try:
            async with aclosing(client.list_events()) as events:
                async for event in events:
                    if event.name != "ready":
                        changed(listed.hear(event.name, orjson.loads(event.data)))
                        continue
                    # What happens while the list is loaded is told after it.
                    page = await client.list_executions(
                        statuses=(), workflow=None, user=None, labels={}, cursor=None, limit=ROWS
                    )
                    heard, listed.away = True, ""
                    changed(listed.load(page["executions"]))
        except (ServerUnreachable, ServerProblem):
            if not heard:
                raise
            listed.away = "the server is away: this is how it was; trying again"
        await asyncio.sleep(LONGEST_DELAY / 5)
