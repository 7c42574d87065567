"""Exit codes, and how an error is told to a person. Never a traceback for what was to be expected."""

from __future__ import annotations

import sys
from enum import IntEnum

import typer
from rich.console import Console
from rich.table import Table

from offbook.web.settings import BindRefused
from offbook.workflows.errors import (
    BudgetNotFound,
    CheckpointNotFound,
    ConfigurationRefused,
    ExecutionNotFound,
    ExecutionUserMissing,
    NodeNotFound,
    OffbookError,
    ValidationFailed,
    WorkflowNotFound,
)
from offbook.workflows.key_errors import KeyNotFound, MasterKeyRefused, UserNotFound
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject

UNWRAPPED = 10_000
"""Columns of an output that is no terminal: lines are never broken, so that they can be searched."""


class ExitCode(IntEnum):
    """What a command tells the shell."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    INTERRUPTED = 130


class UsageRefused(OffbookError):
    """An argument of the command line cannot be used."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


class DocumentRefused(OffbookError):
    """A workflow document cannot be started."""

    def __init__(self, source: str, problems: list[JsonObject]) -> None:
        self.problems = problems
        """{code, path, node_id, line, message, hint} each."""
        super().__init__(f"{source} has {len(problems)} problem(s)")


class ServerProblem(OffbookError):
    """A server refused a request with a problem."""

    def __init__(self, name: str, detail: str, errors: list[JsonObject]) -> None:
        self.name = name
        """The last part of its type: `not-found`."""
        self.errors = errors
        """Of `validation-failed`: {code, path, node_id, line, message, hint} each."""
        super().__init__(detail)


class ServerUnreachable(OffbookError):
    """No server answers where one should be."""

    def __init__(self, url: str, detail: str) -> None:
        self.url = url
        super().__init__(f"no Offbook server answers at {url}: {detail}")


USAGE_ERRORS = (UsageRefused, ExecutionUserMissing, BindRefused, ConfigurationRefused, MasterKeyRefused)
NOT_FOUND_ERRORS = (
    *(ExecutionNotFound, WorkflowNotFound, NodeNotFound, CheckpointNotFound),
    *(KeyNotFound, BudgetNotFound, UserNotFound),
)
NAMES = {ExecutionUserMissing: "execution-user-missing"}
HINTS = {
    "execution-user-missing": "name the one on whose behalf it runs: --user ID, or OFFBOOK_USER",
    "unauthorized": "set OFFBOOK_INTERNAL_TOKEN to the server's token",
    "not-found": "`offbook list` shows the executions",
}


def console(*, stderr: bool = False) -> Console:
    """Open standard output (or error) for tables: as wide as the terminal, or unbroken where it is none."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, markup=False, width=None if stream.isatty() else UNWRAPPED)


def exit_code_of(error: OffbookError) -> ExitCode:
    """Return what the shell is told of an error."""
    if isinstance(error, USAGE_ERRORS):
        return ExitCode.USAGE
    if isinstance(error, NOT_FOUND_ERRORS):
        return ExitCode.NOT_FOUND
    if isinstance(error, ServerProblem):
        codes = {"not-found": ExitCode.NOT_FOUND, "execution-user-missing": ExitCode.USAGE}
        return codes.get(error.name, ExitCode.FAILED)
    return ExitCode.FAILED


def exit_code_at(status: str) -> ExitCode:
    """Return what the shell is told of an execution that is at rest."""
    return ExitCode.COMPLETED if status == ExecutionStatus.COMPLETED else ExitCode.FAILED


def tell(error: OffbookError) -> None:
    """Say on standard error what went wrong and what to do about it."""
    problems = problems_of(error)
    if problems:
        typer.secho(
            f"error: {len(problems)} problem{'s' if len(problems) > 1 else ''}", fg="red", bold=True, err=True
        )
        console(stderr=True).print(problem_table(problems))
        return
    typer.secho(f"error: {error}", fg="red", bold=True, err=True)
    hint = hint_of(error)
    if hint:
        typer.secho(f"hint: {hint}", fg="cyan", err=True)


def problems_of(error: OffbookError) -> list[JsonObject]:
    """Return what a validation found; empty for other errors."""
    if isinstance(error, ValidationFailed):
        return [problem.to_json() for problem in error.problems]
    if isinstance(error, DocumentRefused):
        return error.problems
    return error.errors if isinstance(error, ServerProblem) else []


def hint_of(error: OffbookError) -> str:
    """Return what to do about an error; empty if its message says it."""
    own: str = getattr(error, "hint", "")
    if own:
        return own
    if isinstance(error, ServerProblem):
        if error.name == "not-found" and not str(error).startswith("no execution "):
            # A key or a budget is in no list of executions.
            return ""
        return HINTS.get(error.name, "")
    if isinstance(error, ExecutionNotFound):
        return HINTS["not-found"]
    return next((HINTS[name] for kind, name in NAMES.items() if isinstance(error, kind)), "")


def count_problems(problems: list[JsonObject]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def problem_table(problems: list[JsonObject]) -> Table:
    """Show problems as a table: line, node, code, what is wrong, what to do."""
    table = Table("line", "node", "code", "problem", "hint", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for problem in problems:
        line = problem.get("line")
        table.add_row(
            str(line) if line is not None else "-",
            problem.get("node_id") or "-",
            problem.get("code", ""),
            problem.get("message", ""),
            problem.get("hint") or "",
        )
    return table
