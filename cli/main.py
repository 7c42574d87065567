"""The `offbook` command: its parts put together. Each group of commands is a module beside this one."""

from __future__ import annotations

import typer

from offbook.cli import database, demo, executions, forks, keys, live, play, serve, spending, workflows
from offbook.cli.version import version

app = typer.Typer(
    name="offbook",
    help="Run long, expensive AI workflows: live status, two database writes, resume from what did not finish.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def show_version() -> None:
    """Print the version."""
    typer.echo(version())


app.command("run")(play.run)
app.command("status")(executions.status)
app.command("watch")(live.watch)
app.command("resume")(play.resume)
app.command("fork")(forks.fork)
app.command("cancel")(executions.cancel)
app.command("pause")(executions.pause)
app.command("signal")(executions.signal)
app.command("output")(executions.output)
app.command("list")(executions.list_executions)
app.command("delete")(executions.delete)
app.command("validate")(workflows.validate)
app.command("schema")(workflows.schema)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="keys")
app.command("usage")(spending.usage)
app.add_typer(spending.app, name="budget")
app.add_typer(database.app, name="db")
app.command("demo")(demo.demo)
app.command("version")(show_version)


def main() -> None:
    """Run the command line; the exit code says how it went (`offbook.cli.exits.ExitCode`)."""
    app()
