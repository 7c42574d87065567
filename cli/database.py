"""Commands about the database's schema: bring it up to date, or say where it stands."""

from __future__ import annotations

from contextlib import ExitStack

import typer

from offbook.cli import options
from offbook.cli.exits import ExitCode
from offbook.cli.running import execute
from offbook.settings import EngineSettings

app = typer.Typer(help="The database's schema. An engine brings it up to date when it starts.", no_args_is_help=True)


@app.command()
def upgrade(
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Bring the schema up to date, creating the database if need be."""

    async def work() -> int:
        from offbook.persistence.folder import DataFolder
        from offbook.persistence.migrations import upgrade as upgrade_schema

        settings = EngineSettings.from_environment(data_dir=data_dir, database=database)
        with ExitStack() as stack:
            if settings.database is None:
                # The file belongs to whoever owns the folder: not under a server that runs.
                folder = DataFolder(settings.data_dir)
                folder.open()
                stack.callback(folder.close)
            typer.echo(f"schema {upgrade_schema(settings.database_url)}")
        return ExitCode.COMPLETED

    execute(work())


@app.command()
def current(
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
) -> None:
    """Print which schema the database has."""

    async def work() -> int:
        settings = EngineSettings.from_environment(data_dir=data_dir, database=database)
        if settings.database is None and not (settings.data_dir / "offbook.db").exists():
            typer.echo(f"there is no database in {settings.data_dir}")
            return ExitCode.NOT_FOUND
        from offbook.persistence.migrations import current_revision

        found = current_revision(settings.database_url)
        typer.echo(f"schema {found}" if found else "no schema")
        return ExitCode.COMPLETED

    execute(work())
