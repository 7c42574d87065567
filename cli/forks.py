"""The command that forks an execution: edit anything, run only what that touches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from offbook.cli import arguments, options
from offbook.cli.client import Client
from offbook.cli.connect import connect
from offbook.cli.exits import ExitCode, UsageRefused
from offbook.cli.plans import print_plan
from offbook.cli.play import play_through, workflow_of
from offbook.cli.running import execute
from offbook.workflows.fork_request import ForkRequest
from offbook.workflows.values import JsonObject, JsonValue


def fork(
    execution_id: options.ExecutionId,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="Input that changes. Repeatable; NAME=@FILE."),
    ] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="FILE", help="Changed workflow: a document, or a name.")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="NODE=FILE",
            help="Output taken from a file: its text, or of a .json file its value. Repeatable; NODE[2]=FILE.",
        ),
    ] = None,
    guidance: Annotated[
        str, typer.Option("--guidance", metavar="TEXT", help="What nodes are told that had failed, or are changed.")
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be kept and run, and its cost.")] = False,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="For another user.")] = None,
    labels: options.Labels = None,
    watch: options.Watch = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Start an execution that keeps what it can of another one: only what an edit touches runs."""
    target = options.target(server, data_dir, database, imports)

    async def request(client: Client) -> ForkRequest:
        edited = _outputs(outputs or ())
        document: JsonObject = {}
        reference: str | JsonObject | None = None
        if workflow is not None:
            reference, document = await workflow_of(client, workflow)
        elif inputs:
            status = await client.status(execution_id)
            document = (await client.workflow(status["workflow"]["fingerprint"]))["document"]
        return ForkRequest(arguments.parse_inputs(inputs or (), document), reference, edited, guidance)

    async def begin(client: Client) -> str:
        return await client.fork(
            execution_id,
            await request(client),
            user=arguments.parse_user(user),
            labels=arguments.parse_labels(labels) if labels else None,
        )

    async def show_plan() -> int:
        async with connect(target) as client:
            found = await client.plan_fork(execution_id, await request(client))
        print_plan(found, as_json=as_json)
        return ExitCode.COMPLETED

    execute(show_plan() if plan else play_through(target, begin, watch=watch, detach=detach, as_json=as_json))


def _outputs(pairs: Sequence[str]) -> dict[str, JsonValue]:
    edited: dict[str, JsonValue] = {}
    for pair in pairs:
        node, separator, name = pair.partition("=")
        if not node or not separator or not name:
            raise UsageRefused(f"--output {pair!r} is not node=file")
        path = Path(name)
        text = arguments.read_text(path)
        try:
            edited[node.strip()] = json.loads(text) if path.suffix.lower() == ".json" else text
        except ValueError as error:
            raise UsageRefused(f"{path} is no JSON: {error}") from None
    return edited
