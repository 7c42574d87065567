"""The demo: a novella whose model is lost in the middle of a chapter, and which is finished by another process.

Each step is a function of its own; `_play` is the order of them.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from offbook.cli.client import HttpClient
from offbook.cli.demo_stage import Stage, Worker, novella
from offbook.cli.demo_writers import LocalWriter, Provider, ScriptedWriter, Writer
from offbook.cli.exits import ExitCode, console
from offbook.cli.outcome import describe_receipt, print_error
from offbook.cli.running import execute
from offbook.cli.watch import Show, follow, open_show
from offbook.cli.watched import Change, Watched
from offbook.workflows.errors import OffbookError
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue

PREMISE = (
    "The keeper of the lighthouse on Karli Road finds one morning that the lamp has been writing letters, in a hand "
    "like her own, to a ship that sank forty years ago. That night an answer comes with the tide."
)
TITLE = "The Lamp on Karli Road"
CHAPTERS = 3
CHAPTERS_NODE = "chapters"
LOST_ITEM = 1
"""The chapter in which the model is lost, from 0."""
LOST_AFTER = 150
"""Characters of it that are written then."""
USER = ExecutionUser("demo", "user", "")


class DemoFailed(OffbookError):
    """The demo did not go as it was meant to."""


def demo(
    provider: Annotated[
        Provider, typer.Option("--provider", help="The local model, or a script that plays one in seconds.")
    ] = Provider.LOCAL,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", help="Data folder of the demo's workers.")
    ] = Path("offbook-data/demo"),
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the book.")] = Path(
        "output/demo"
    ),
) -> None:
    """Write a short book, lose the model in the middle of chapter 2, and go on in a new process."""
    execute(_show_to_the_end(provider, Stage(data_dir, output)))


async def _show_to_the_end(provider: Provider, stage: Stage) -> int:
    """Play the demo; SIGTERM ends it as Ctrl-C does, with all that it started."""
    playing = asyncio.current_task()
    assert playing is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    try:
        await _play(provider, stage)
    except asyncio.CancelledError:
        return ExitCode.INTERRUPTED
    return ExitCode.COMPLETED


async def _play(provider: Provider, stage: Stage) -> None:
    began = time.monotonic()
    document = novella()
    writer: Writer = LocalWriter(stage.data_dir / "model.log") if provider is Provider.LOCAL else ScriptedWriter()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(writer.close)
        _step("The model starts")
        typer.echo(await writer.start())
        async with stage.worker(writer.providers) as worker:
            _step(f"The novella begins: {TITLE}")
            execution_id = await _start(worker, writer, stage, document)
            lost = await _write_until_the_model_is_lost(worker.client, writer, execution_id)
            _step("The checkpoint")
            kept = await _show_checkpoint(worker.client, stage, execution_id, lost)
        _step("The model starts again, and a new worker")
        typer.echo(f"worker {worker.child.pid} has ended with code {await worker.child.stop()}")
        typer.echo(await writer.start())
        async with stage.worker(writer.providers) as worker:
            await _show_what_the_new_worker_knows(worker, execution_id)
            _step("The novella goes on")
            finished = await _resume(worker.client, execution_id)
            _step("The receipt")
            await _show_receipt(worker.client, execution_id, finished, kept)
    _step("The book")
    _show_book(finished["result"], time.monotonic() - began)


async def _start(worker: Worker, writer: Writer, stage: Stage, document: JsonObject) -> str:
    typer.echo(f"worker {worker.child.pid} serves {worker.child.ready_line.split()[-1]}")
    execution_id = await worker.client.start(
        writer.direct(document, CHAPTERS_NODE, LOST_ITEM),
        {
            "premise": PREMISE,
            "title": TITLE,
            "author": writer.model,
            "chapters": CHAPTERS,
            "model": writer.model,
            "folder": str(stage.output.resolve()),
        },
        user=USER,
        labels={"demo": "novella"},
        durability=None,
        idempotency_key=None,
    )
    typer.echo(f"execution {execution_id}, for the user {USER.id}; the model will be lost in chapter {LOST_ITEM + 1}")
    return execution_id


async def _write_until_the_model_is_lost(client: HttpClient, writer: Writer, execution_id: str) -> JsonObject:
    """Show the novella being written, take the model away in a chapter, return the failed execution's status."""
    with open_show(console(), wanted=True) as show:
        status = await follow(client, execution_id, _LoseInChapter(show, writer.lose))
    if status["status"] != ExecutionStatus.FAILED:
        raise DemoFailed(f"execution {execution_id} was to fail, and it is {status['status']}: try again")
    return status


class _LoseInChapter:
    """Shows what comes, and takes the model away once, when the chapter (or a later one) is partly written."""

    def __init__(self, show: Show, lose: Callable[[], None]) -> None:
        self._show = show
        self._lose = lose
        self._lost = False

    def update(self, watched: Watched, changes: list[Change]) -> None:
        self._show.update(watched, changes)
        if not self._lost and _is_partly_written(watched):
            self._lost = True
            self._lose()


def _is_partly_written(watched: Watched) -> bool:
    return any(
        item >= LOST_ITEM and len(watched.latest_text("text", node_id=CHAPTERS_NODE, item=item)) >= LOST_AFTER
        for item in watched.running_items(CHAPTERS_NODE)
    )


async def _show_checkpoint(
    client: HttpClient, stage: Stage, execution_id: str, status: JsonObject
) -> dict[str, JsonValue]:
    """Show what is stored; return the chapters that are kept, by their place."""
    if not console().is_terminal:
        # There the live display has just shown it.
        print_error(status["error"])
    checkpoint = await client.checkpoint(execution_id)
    kept: dict[str, JsonValue] = checkpoint["item_outputs"].get(CHAPTERS_NODE, {})
    chapters = ", ".join(f"{int(item) + 1} ({len(str(text).split())} words)" for item, text in kept.items())
    facts = {
        "execution user": checkpoint["execution_user"]["id"],
        "failed node": f"{checkpoint['failed_node']}, chapter {status['error']['item'] + 1}",
        "completed nodes": ", ".join(checkpoint["completed_nodes"]),
        "chapters kept": chapters or "none",
        "stored in": str(stage.data_dir / "offbook.db"),
        "written": f"in {status['db_ops']['writes']} database writes, {status['db_ops']['reads']} reads",
    }
    for name, fact in facts.items():
        typer.echo(f"{name:<16} {fact}")
    return kept


async def _show_what_the_new_worker_knows(worker: Worker, execution_id: str) -> None:
    status = await worker.client.status(execution_id)
    typer.echo(
        f"worker {worker.child.pid} knows the execution from its {status['source']}: {status['status']}, "
        f"for {status['user_id']}, {status['progress']['percent']:.0f}% done"
    )


async def _resume(client: HttpClient, execution_id: str) -> JsonObject:
    """Have the execution go on, show it to its end, return its status."""
    await client.resume(execution_id, guidance="", user=None)
    with open_show(console(), wanted=True) as show:
        status = await follow(client, execution_id, show)
    if status["status"] != ExecutionStatus.COMPLETED:
        if status["error"]:
            print_error(status["error"])
        raise DemoFailed(f"execution {execution_id} was to complete, and it is {status['status']}")
    return status


async def _show_receipt(
    client: HttpClient, execution_id: str, status: JsonObject, kept: dict[str, JsonValue]
) -> None:
    """Show what was kept, and check it: no kept chapter may have been written again."""
    typer.echo(describe_receipt(status["receipt"]))
    for item, text in kept.items():
        if await client.output(execution_id, CHAPTERS_NODE, int(item)) != text:
            raise DemoFailed(f"chapter {int(item) + 1} was kept, and it has been written again")
        typer.echo(f"chapter {int(item) + 1} is word for word the one that was kept")
    operations, usage = status["db_ops"], status["usage"]
    typer.echo(
        f"in all {usage['input_tokens']} tokens in, {usage['output_tokens']} out; "
        f"{operations['writes']} database writes, {operations['reads']} reads"
    )


def _show_book(result: JsonObject, seconds: float) -> None:
    typer.echo(f"{result['words']} words in {seconds:.0f} s")
    for kind in ("markdown", "html"):
        if not Path(result[kind]).is_file():
            raise DemoFailed(f"{result[kind]} was to be the book, and there is no such file")
        typer.echo(result[kind])


def _step(title: str) -> None:
    typer.secho(f"\n{title}", bold=True)
