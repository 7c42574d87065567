"""The demo: a novella that loses its model in chapter 2 and its worker in chapter 3, and is finished all the same."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from offbook.cli.demo_acts import finish, lose_the_model, lose_the_worker, step
from offbook.cli.demo_evidence import show_book
from offbook.cli.demo_stage import Stage, novella
from offbook.cli.demo_writers import LocalWriter, Provider, ScriptedWriter, Writer
from offbook.cli.exits import ExitCode
from offbook.cli.running import execute


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
    """Write a short book: lose the model in chapter 2, kill the worker in chapter 3, finish it all the same."""
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
        step("The model starts")
        typer.echo(await writer.start())
        execution_id, kept = await lose_the_model(stage, writer, document)
        cut = await lose_the_worker(stage, writer, execution_id, kept)
        finished = await finish(stage, writer, execution_id, cut)
    step("The book")
    show_book(finished["result"], time.monotonic() - began)
