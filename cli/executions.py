"""Commands that look at executions and steer them: status, list, output, cancel, pause, signal, delete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.table import Table

from offbook.cli import arguments, options
from offbook.cli.client import Client
from offbook.cli.connect import Target, connect
from offbook.cli.display import execution_column, one_line, render
from offbook.cli.exits import ExitCode, console, exit_code_at
from offbook.cli.live import watch_one
from offbook.cli.outcome import as_json_text, describe_receipt, print_outcome, print_value
from offbook.cli.running import Interrupts, execute
from offbook.cli.watch import follow_until_interrupted, open_show
from offbook.cli.watched import Watched, describe_node
from offbook.workflows.values import JsonObject


def status(
    execution_id: options.ExecutionId,
    watch: options.Watch = False,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Show how an execution stands; with --watch, until it rests (Ctrl-C only ends the watching)."""
    target = options.target(server, data_dir, database, imports)
    execute(_watch_status(target, execution_id, as_json) if watch else _show_status(target, execution_id, as_json))


async def _show_status(target: Target, execution_id: str, as_json: bool) -> int:
    async with connect(target) as client:
        payload = await client.status(execution_id)
    out = console()
    watched = Watched()
    watched.apply(payload)
    if as_json:
        typer.echo(as_json_text(payload))
    elif out.is_terminal:
        out.print(render(watched))
        if payload.get("receipt"):
            typer.echo(describe_receipt(payload["receipt"]))
    else:
        for node_id, entry in watched.nodes.items():
            typer.echo(f"{node_id}: {describe_node(entry)}")
        print_outcome(payload)
    return ExitCode.COMPLETED


async def _watch_status(target: Target, execution_id: str, as_json: bool) -> int:
    if not as_json:
        return await watch_one(target, execution_id)

    async def leave(count: int) -> bool:
        return False

    with Interrupts() as interrupts:
        async with connect(target) as client:
            with open_show(console(stderr=True), wanted=True) as show:
                payload = await follow_until_interrupted(client, execution_id, show, interrupts, leave, patient=True)
    if payload is None:
        return ExitCode.INTERRUPTED
    typer.echo(as_json_text(payload))
    return exit_code_at(payload["status"])


def list_executions(
    status: Annotated[list[str] | None, typer.Option("--status", help="Only these. Repeatable.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Name or fingerprint.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="ID")] = None,
    labels: options.Labels = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="`next_cursor` of the page before.")] = None,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """List executions, newest first."""

    async def show(client: Client) -> None:
        page = await client.list_executions(
            statuses=tuple(status or ()),
            workflow=workflow,
            user=user,
            labels=arguments.parse_labels(labels or ()),
            cursor=cursor,
            limit=limit,
        )
        if as_json:
            typer.echo(as_json_text(page))
            return
        console().print(_table(page["executions"]))
        if page.get("next_cursor"):
            typer.echo(f"more: --cursor {page['next_cursor']}")

    _ask(options.target(server, data_dir, database, imports), show)


def _table(rows: list[JsonObject]) -> Table:
    table = Table(execution_column(), "workflow", "status", "%", "user", "created", box=None, pad_edge=False)
    for row in rows:
        percent = f"{row['percent']:.0f}"
        name = row["workflow"]["name"]
        user = one_line(row["user_id"] or "-")
        table.add_row(row["execution_id"], one_line(name), row["status"], percent, user, one_line(row["created_at"]))
    return table


def output(
    execution_id: options.ExecutionId,
    node_id: Annotated[str, typer.Argument(metavar="NODE")],
    item: Annotated[int | None, typer.Option("--item", min=0, help="Item of a foreach, from 0.")] = None,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Print the whole output of a node or item: text as it is, anything else as JSON."""

    async def show(client: Client) -> None:
        print_value(await client.output(execution_id, node_id, item))

    _ask(options.target(server, data_dir, database, imports), show)


def cancel(
    execution_id: options.ExecutionId,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Stop an execution: calls in flight are aborted, partial text and a checkpoint are kept."""

    async def steer(client: Client) -> None:
        await client.cancel(execution_id)
        typer.echo(f"cancelling {execution_id}")

    _ask(options.target(server, data_dir, database, imports), steer)


def pause(
    execution_id: options.ExecutionId,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Have an execution rest after the calls in flight; resume continues it."""

    async def steer(client: Client) -> None:
        await client.pause(execution_id)
        typer.echo(f"pausing {execution_id}")

    _ask(options.target(server, data_dir, database, imports), steer)


def signal(
    execution_id: options.ExecutionId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal that a node waits for.")],
    payload: Annotated[str | None, typer.Option("--payload", metavar="JSON", help="JSON, or @FILE.")] = None,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Send an execution the answer that it waits for."""

    async def steer(client: Client) -> None:
        await client.signal(execution_id, name, arguments.parse_payload(payload))
        typer.echo(f"sent {name} to {execution_id}")

    _ask(options.target(server, data_dir, database, imports), steer)


def delete(
    execution_id: options.ExecutionId,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Forget an execution that is at rest, with its outputs and checkpoint."""

    async def steer(client: Client) -> None:
        await client.delete(execution_id)
        typer.echo(f"deleted {execution_id}")

    _ask(options.target(server, data_dir, database, imports), steer)


def _ask(target: Target, question: Callable[[Client], Awaitable[None]]) -> None:
    async def answer() -> int:
        async with connect(target) as client:
            await question(client)
        return ExitCode.COMPLETED

    execute(answer())
