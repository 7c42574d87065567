"""Commands about money: what a user spent, and what users and executions may spend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from offbook.cli import arguments, options
from offbook.cli.client import Client
from offbook.cli.connect import Target, connect
from offbook.cli.exits import ExitCode, UsageRefused, console
from offbook.cli.outcome import as_json_text
from offbook.cli.running import execute
from offbook.workflows.values import JsonObject

app = typer.Typer(help="What users, and single executions, may spend.", no_args_is_help=True)

UserArgument = Annotated[str | None, typer.Argument(metavar="USER", envvar="OFFBOOK_USER", show_envvar=True)]
UserOption = Annotated[str | None, typer.Option("--user", metavar="ID", help="Whose budget it is.")]
ExecutionOption = Annotated[str | None, typer.Option("--execution", metavar="ID", help="Or the execution's.")]
Scope = Annotated[str, typer.Option("--scope", help="Of a user: day, month or total.")]


def usage(
    user: UserArgument = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day in UTC: 2026-11-23.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, included.")] = None,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Show what a user used: tokens and money, by day and by model, and what resumes saved."""

    async def show(client: Client, whose: str) -> None:
        report = await client.usage(whose, first, last)
        if as_json:
            typer.echo(as_json_text(report))
            return
        typer.echo(f"{report['user_id']}: {_words(report)}, {report['executions']} executions")
        typer.echo(f"saved by going on where something had stopped: {_words(report['saved'])}")
        for name, rows in (("day", report["by_day"]), ("model", report["by_model"])):
            table = Table(name, "tokens in", "out", "cost", box=None, pad_edge=False)
            for row in rows:
                tokens = (str(row["input_tokens"]), str(row["output_tokens"]))
                table.add_row(row[name] or "(not named)", *tokens, _money(row))
            console().print(table)

    _ask(options.target(server, data_dir, database, None), show, lambda: _named(user))


@app.command("list")
def list_budgets(
    user: UserArgument = None,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Show a user's budgets, and what is spent of each."""

    async def show(client: Client, whose: str) -> None:
        found = await client.budgets(whose)
        if as_json:
            typer.echo(as_json_text(found))
            return
        table = Table("scope", "of", "spent", "in flight", "", "mode", box=None, pad_edge=False)
        for each in found["budgets"]:
            unit = "tokens" if "tokens" in each else found["currency"]
            amount = each["tokens"] if "tokens" in each else each["money"]
            table.add_row(each["scope"], str(amount), str(each["spent"]), str(each["in_flight"]), unit, each["mode"])
        console().print(table)

    _ask(options.target(server, data_dir, database, None), show, lambda: _named(user))


@app.command("set")
def set_budget(
    user: UserOption = None,
    execution: ExecutionOption = None,
    scope: Scope = "total",
    tokens: options.Tokens = None,
    money: options.Money = None,
    warn: options.Warn = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Set what a user may spend in a day, a month or all in all, or what one execution may."""
    budget = arguments.gather_budget(tokens, money, warn)

    async def put(client: Client, whose: str) -> None:
        if user:
            await client.put_budget(whose, {"scope": scope, **budget})
        else:
            await client.set_execution_budget(whose, budget)
        typer.echo(f"set a budget of {whose}")

    _ask(options.target(server, data_dir, database, None), put, lambda: _one(user, execution))


@app.command()
def delete(
    user: UserOption = None,
    execution: ExecutionOption = None,
    scope: Scope = "total",
    unit: Annotated[str, typer.Option("--unit", help="Of a user: tokens or money.")] = "tokens",
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Forget a budget: what waited for it goes on."""

    async def forget(client: Client, whose: str) -> None:
        if user:
            await client.delete_budget(whose, scope, unit)
        else:
            await client.set_execution_budget(whose, {})
        typer.echo(f"deleted a budget of {whose}")

    _ask(options.target(server, data_dir, database, None), forget, lambda: _one(user, execution))


def _words(report: JsonObject) -> str:
    tokens = report.get("tokens", report.get("input_tokens", 0) + report.get("output_tokens", 0))
    return f"{tokens} tokens, {_money(report)}" if report["cost"] else f"{tokens} tokens"


def _money(report: JsonObject) -> str:
    cost: Any = report["cost"]
    if not cost:
        return "-"
    return f"{cost['amount']} {cost['currency']}" + (" and more" if cost["partial"] else "")


def _named(user: str | None) -> str:
    if not user:
        raise UsageRefused("no user is named", hint="offbook usage USER, or OFFBOOK_USER")
    return user


def _one(user: str | None, execution: str | None) -> str:
    if bool(user) is bool(execution):
        raise UsageRefused("whose budget is not clear", hint="give either --user ID or --execution ID")
    return user or execution or ""


def _ask(target: Target, question: Callable[[Client, str], Awaitable[None]], whose: Callable[[], str]) -> None:
    async def answer() -> int:
        named = whose()
        async with connect(target) as client:
            await question(client, named)
        return ExitCode.COMPLETED

    execute(answer())
