"""Options that several commands have, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbook.cli.connect import DEFAULT_FOLDER, Target

ENGINE = "Which engine"

Server = Annotated[
    str | None,
    typer.Option("--server", envvar="OFFBOOK_SERVER", metavar="URL", help="Ask this server.", rich_help_panel=ENGINE),
]
DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="OFFBOOK_DATA_DIR",
        metavar="DIR",
        help="Use this data folder: the server that owns it, or an engine in this process.",
        rich_help_panel=ENGINE,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="OFFBOOK_DATABASE",
        metavar="URL",
        help="Database of the engine; SQLite in the data folder if not given.",
        rich_help_panel=ENGINE,
        show_envvar=True,
    ),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        help="Module that registers functions and node types. Repeatable; OFFBOOK_IMPORTS has commas between.",
        rich_help_panel=ENGINE,
    ),
]
ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="Execution id, 32 hex digits.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show bars, thinking and text while it runs.")]
Detach = Annotated[bool, typer.Option("--detach", help="Leave it to the server once it is accepted.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Repeatable.")]
User = Annotated[
    str | None,
    typer.Option("--user", envvar="OFFBOOK_USER", metavar="ID", help="The execution user: on whose behalf it runs."),
]
Tokens = Annotated[int | None, typer.Option("--tokens", min=0, help="Budget in tokens.")]
Money = Annotated[
    str | None,
    typer.Option("--money", metavar="AMOUNT", help="Budget in money, in the price table's currency: 1.50."),
]
Warn = Annotated[bool, typer.Option("--warn", help="Say so when the budget is used up; else calls wait for more.")]

DEFAULT_DATA_DIR = DEFAULT_FOLDER


def target(server: str | None, data_dir: Path, database: str | None, imports: list[str] | None) -> Target:
    """Gather the options that say which engine."""
    return Target(server, data_dir, database, tuple(imports or ()))
