"""Commands about workflow documents: validate and schema. They need no data folder and start nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import aiohttp
import typer

from offbook.cli import arguments, options
from offbook.cli.client import HttpClient
from offbook.cli.connect import TOKEN_VARIABLE
from offbook.cli.exits import ExitCode, console, count_problems, problem_table
from offbook.cli.imports import import_modules
from offbook.cli.outcome import as_json_text
from offbook.cli.running import execute
from offbook.workflows.values import JsonObject

if TYPE_CHECKING:
    from offbook.nodes.registry import NodeRegistry


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Workflow document, YAML or JSON.")],
    as_json: options.AsJson = False,
    server: options.Server = None,
    imports: options.Imports = None,
) -> None:
    """Name everything that is wrong with a workflow, with lines. Exit code 1 if anything is."""

    async def check() -> int:
        text = arguments.read_text(file)
        problems = await _ask_server(server, text) if server else _problems(text, imports or ())
        if as_json:
            typer.echo(as_json_text({"valid": not problems, "errors": problems}))
        elif problems:
            typer.echo(f"{file}: {count_problems(problems)}")
            console().print(problem_table(problems))
        else:
            typer.echo(f"{file}: valid")
        return ExitCode.FAILED if problems else ExitCode.COMPLETED

    execute(check())


def schema(server: options.Server = None, imports: options.Imports = None) -> None:
    """Print the JSON Schema of workflow documents, for editors."""

    async def show() -> int:
        if server:
            async with aiohttp.ClientSession() as session:
                found = await HttpClient(session, server, os.environ.get(TOKEN_VARIABLE)).schema()
        else:
            from offbook.workflows.schema import workflow_schema

            found = workflow_schema(_registry(imports or ()))
        typer.echo(as_json_text(found))
        return ExitCode.COMPLETED

    execute(show())


async def _ask_server(server: str, text: str) -> list[JsonObject]:
    async with aiohttp.ClientSession() as session:
        return await HttpClient(session, server, os.environ.get(TOKEN_VARIABLE)).validate(text)


def _problems(text: str, imports: Sequence[str]) -> list[JsonObject]:
    from offbook.workflows.errors import ValidationFailed
    from offbook.workflows.loading import load_workflow

    try:
        load_workflow(text, types=_registry(imports))
    except ValidationFailed as refused:
        return [problem.to_json() for problem in refused.problems]
    return []


def _registry(imports: Sequence[str]) -> NodeRegistry:
    """Know the node types that an engine with the same settings would know."""
    from offbook.nodes.providers import provider_registry
    from offbook.nodes.registry import NodeRegistry
    from offbook.settings import EngineSettings

    settings = EngineSettings.from_environment(imports=tuple(imports) or None)
    import_modules(settings.imports)
    registry = NodeRegistry.with_builtins(provider_registry(settings.providers))
    registry.load_plugins()
    registry.load_checks()
    return registry
