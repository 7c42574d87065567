"""Commands about the keys that users have for model providers. A key is never an argument: others see those."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.table import Table

from offbook.cli import options
from offbook.cli.client import Client
from offbook.cli.connect import Target, connect
from offbook.cli.exits import ExitCode, UsageRefused, console
from offbook.cli.outcome import as_json_text
from offbook.cli.running import execute

app = typer.Typer(help="Keys of users for model providers, stored under a master key.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="A name in OFFBOOK_PROVIDERS.")]
User = Annotated[
    str | None, typer.Option("--user", envvar="OFFBOOK_USER", metavar="ID", help="Whose key it is.", show_envvar=True)
]


@app.command("set")
def set_key(
    provider: Provider,
    user: User = None,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Store a key, typed at a prompt or read from standard input, in place of the one before."""

    async def put() -> int:
        whose = _named(user)
        key = _read_key()
        async with connect(options.target(server, data_dir, database, None)) as client:
            await client.put_key(whose, provider, key)
        typer.echo(f"stored a key of {user} for {provider}")
        return ExitCode.COMPLETED

    execute(put())


@app.command("list")
def list_keys(
    user: User = None,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Show for which providers a user has keys, and since when."""

    async def show(client: Client) -> int:
        keys = await client.list_keys(_named(user))
        if as_json:
            typer.echo(as_json_text({"keys": keys}))
        else:
            table = Table("provider", "since", box=None, pad_edge=False)
            for each in keys:
                table.add_row(each["provider"], each["created_at"])
            console().print(table)
        return ExitCode.COMPLETED

    _ask(options.target(server, data_dir, database, None), show)


@app.command()
def delete(
    provider: Provider,
    user: User = None,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Forget a user's key for a provider."""

    async def forget(client: Client) -> int:
        await client.delete_key(_named(user), provider)
        typer.echo(f"deleted the key of {user} for {provider}")
        return ExitCode.COMPLETED

    _ask(options.target(server, data_dir, database, None), forget)


@app.command()
def rotate(
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Seal every stored key anew, under the first master key. Exit code 1 if one could not be opened."""

    async def reseal(client: Client) -> int:
        done = await client.rotate_keys()
        typer.echo(f"sealed {done['resealed']} keys under the first master key")
        for each in done["unreadable"]:
            typer.echo(f"no master key opens that of {each['user_id']} for {each['provider']}", err=True)
        return ExitCode.FAILED if done["unreadable"] else ExitCode.COMPLETED

    _ask(options.target(server, data_dir, database, None), reseal)


@app.command()
def master() -> None:
    """Print a new master key, for OFFBOOK_MASTER_KEY or a line of the file OFFBOOK_MASTER_KEY_FILE."""
    from offbook.persistence.key_vault import new_master_key

    typer.echo(new_master_key())


def _named(user: str | None) -> str:
    if not user:
        raise UsageRefused("no user is named", hint="say whose key it is: --user ID, or OFFBOOK_USER")
    return user


def _read_key() -> str:
    """Ask for a key without showing it, or take all of standard input if nobody sits there."""
    key = typer.prompt("key", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    if not key.strip():
        raise UsageRefused("there is no key on standard input", hint="offbook keys set PROVIDER --user ID < FILE")
    return str(key).strip()


def _ask(target: Target, question: Callable[[Client], Awaitable[int]]) -> None:
    async def answer() -> int:
        async with connect(target) as client:
            return await question(client)

    execute(answer())
