"""What is printed of how an execution stands: result, error, receipt, wait. Decides no exit code."""

from __future__ import annotations

import json

import typer

from offbook.cli.display import count, render_error
from offbook.cli.exits import console
from offbook.cli.watched import describe_wait
from offbook.workflows.values import JsonObject, JsonValue


def print_outcome(status: JsonObject, *, drawn: bool = False) -> None:
    """Print how an execution stands, and what it gave; `drawn`: a live display has shown the error already."""
    usage = status["usage"]
    tokens = f"{usage['input_tokens']} in, {usage['output_tokens']} out tokens"
    progress = status["progress"]
    typer.echo(
        f"{status['status']}: {progress['completed']} of {progress['total']} nodes, {tokens}, "
        f"{count(status['db_ops']['writes'], 'database write')}, {count(status['db_ops']['reads'], 'read')}"
    )
    if status.get("waiting"):
        typer.echo(f"waiting for {describe_wait(status['waiting'])}")
    if status.get("receipt"):
        typer.echo(describe_receipt(status["receipt"]))
    if status.get("error") and not drawn:
        print_error(status["error"])
    if status["result"] is not None:
        print_value(status["result"])


def describe_receipt(receipt: JsonObject) -> str:
    """Say in one line what a resume kept and what it repeated."""
    saved = receipt["saved"]
    cost = saved.get("cost")
    money = f", {cost['amount']} {cost['currency']}" if cost else ""
    return (
        f"kept {receipt['kept_nodes']} nodes and {receipt['kept_items']} items, repeated "
        f"{receipt['repeated_calls']} calls; saved {saved['tokens']} tokens{money}, {saved['seconds']:.1f} s"
    )


def print_error(error: JsonObject) -> None:
    """Print what failed: as a frame on a terminal, as lines elsewhere."""
    out = console()
    if out.is_terminal:
        out.print(render_error(error))
        return
    where = error.get("node_id") or "execution"
    item = f"[{error['item']}]" if error.get("item") is not None else ""
    typer.echo(f"error: {where}{item}: {error['type']}: {error['message']}")
    hint = error.get("hint")
    if hint and "POST /" not in hint:
        typer.echo(f"hint: {hint}")


def print_value(value: JsonValue) -> None:
    """Print an output: text as it is, anything else as JSON."""
    typer.echo(value if isinstance(value, str) else as_json_text(value))


def as_json_text(value: JsonValue) -> str:
    """Write a value as JSON for people and programs alike."""
    return json.dumps(value, indent=2, ensure_ascii=False)
