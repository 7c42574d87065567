"""Commands that have executions go on until they rest: run and resume. Ctrl-C stops them so that they can resume."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from offbook.cli import arguments, options
from offbook.cli.client import Client
from offbook.cli.connect import Target, command_line, connect
from offbook.cli.exits import DocumentRefused, ExitCode, ServerProblem, ServerUnreachable, UsageRefused, console
from offbook.cli.outcome import as_json_text, print_outcome
from offbook.cli.plans import print_plan
from offbook.cli.running import Interrupts, execute
from offbook.cli.watch import follow_until_interrupted, open_show
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import JsonObject

Begin = Callable[[Client], Awaitable[str]]
"""Starts or resumes an execution and returns its id."""


def run(
    workflow: Annotated[str, typer.Argument(metavar="FILE", help="Workflow document, or a registered name.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="Repeatable; NAME=@FILE takes a file's text."),
    ] = None,
    user: options.User = None,
    role: Annotated[str | None, typer.Option("--role", help="Role of the execution user.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Tier of the execution user.")] = None,
    labels: options.Labels = None,
    durability: Annotated[str | None, typer.Option("--durability", metavar="sync|async|exit")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="A repeat starts nothing.")
    ] = None,
    tokens: options.Tokens = None,
    money: options.Money = None,
    warn: options.Warn = False,
    watch: options.Watch = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Run a workflow to its end: here, or on a server. A budget takes the place of the workflow's."""
    named = tokens is not None or money is not None or warn
    budget = arguments.gather_budget(tokens, money, warn) if named else None

    async def begin(client: Client) -> str:
        reference, document = await workflow_of(client, workflow)
        return await client.start(
            reference,
            arguments.parse_inputs(inputs or (), document),
            user=arguments.parse_user(user, role, tier),
            labels=arguments.parse_labels(labels or ()),
            durability=durability,
            idempotency_key=idempotency_key,
            budget=budget,
        )

    target = options.target(server, data_dir, database, imports)
    execute(play_through(target, begin, watch=watch, detach=detach, as_json=as_json))


def resume(
    execution_id: options.ExecutionId,
    guidance: Annotated[str, typer.Option("--guidance", metavar="TEXT", help="What the failed node is told.")] = "",
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="Refused unless it is the user it runs for.")
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option("--workflow", metavar="FILE", help="Refused, with what differs, unless it is what it runs."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be kept and run, and its cost.")] = False,
    role: Annotated[str | None, typer.Option("--role", help="Role of another user.")] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Tier of another user.")] = None,
    as_other_user: Annotated[
        bool, typer.Option("--as-other-user", help="Let it go on on behalf of --user, whose it is from then on.")
    ] = False,
    watch: options.Watch = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    server: options.Server = None,
    data_dir: options.DataDir = options.DEFAULT_DATA_DIR,
    database: options.Database = None,
    imports: options.Imports = None,
) -> None:
    """Have an execution go on from what did not finish; what did is kept."""

    async def begin(client: Client) -> str:
        named = arguments.parse_user(user, role, tier)
        if named is None and (as_other_user or role or tier):
            raise UsageRefused("no user is named", hint="say as whom it is to go on: --user ID")
        runs = await workflow_to_run(client)
        await client.resume(execution_id, guidance=guidance, user=named, workflow=runs, as_other_user=as_other_user)
        return execution_id

    async def workflow_to_run(client: Client) -> str | JsonObject | None:
        return (await workflow_of(client, workflow))[0] if workflow is not None else None

    async def show_plan() -> int:
        async with connect(target) as client:
            found = await client.plan_resume(execution_id, await workflow_to_run(client))
        print_plan(found, as_json=as_json)
        return ExitCode.COMPLETED

    target = options.target(server, data_dir, database, imports)
    execute(show_plan() if plan else play_through(target, begin, watch=watch, detach=detach, as_json=as_json))


async def workflow_of(client: Client, reference: str) -> tuple[str | JsonObject, JsonObject]:
    """Return what to start, and its document; DocumentRefused, with lines, before anything is started."""
    if not arguments.is_file(reference):
        found = await client.workflow(reference)
        return found["fingerprint"], found["document"]
    text = arguments.read_text(Path(reference))
    problems = await client.validate(text)
    document = arguments.parse_document(text)
    if problems or document is None:
        raise DocumentRefused(reference, problems)
    return document, document


async def play_through(target: Target, begin: Begin, *, watch: bool, detach: bool, as_json: bool) -> int:
    """Have an execution begin and follow it until it rests; return the exit code."""
    execution_id = ""
    again = ""
    status: JsonObject | None = None
    with Interrupts() as interrupts:
        async with connect(target, starts=True) as client:
            if detach and not client.goes_on:
                raise UsageRefused("--detach needs a server", hint="start one with `offbook serve`, or use --server")
            execution_id = await begin(client)
            again = command_line("resume", execution_id, client=client)
            if not as_json:
                typer.echo(f"execution {execution_id}")
            if detach:
                return ExitCode.COMPLETED
            stop = _Stop(client, execution_id)
            try:
                with open_show(console(stderr=as_json), wanted=watch) as show:
                    status = await follow_until_interrupted(client, execution_id, show, interrupts, stop)
            except ServerUnreachable:
                look = command_line("status", execution_id, "--watch", client=client)
                typer.echo(f"lost sight of {execution_id}, which may go on; to look again: {look}", err=True)
                raise
    if status is not None and as_json:
        typer.echo(as_json_text(status))
    elif status is not None:
        print_outcome(status, drawn=watch and console().is_terminal)
    if status is not None and status["status"] == ExecutionStatus.COMPLETED:
        return ExitCode.COMPLETED
    typer.echo(f"to go on: {again}", err=True)
    return ExitCode.INTERRUPTED if interrupts.count else ExitCode.FAILED


class _Stop:
    """What Ctrl-C does to the execution that is followed."""

    def __init__(self, client: Client, execution_id: str) -> None:
        self._client = client
        self._execution_id = execution_id

    async def __call__(self, count: int) -> bool:
        """Return whether to go on following.

        An engine of our own stops, which saves the checkpoint. A server is asked to pause at the first time (the
        calls in flight are paid for), to cancel at the second, and left alone at the third.
        """
        if not self._client.goes_on:
            typer.echo("stopping: what is done is saved", err=True)
            return False
        try:
            if count == 1:
                typer.echo("pausing after the calls in flight; Ctrl-C again aborts them", err=True)
                await self._client.pause(self._execution_id)
            elif count == 2:
                typer.echo("aborting the calls in flight", err=True)
                await self._client.cancel(self._execution_id)
        except ServerProblem as refused:
            # It came to rest by itself meanwhile: what follows will show it.
            typer.echo(str(refused), err=True)
        return count < 3
