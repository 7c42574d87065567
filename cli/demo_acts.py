"""The three acts of the demo, a worker each: the model is lost, the worker is lost, the book is finished.

Each step of an act is a function of its own; what is kept from act to act is shown and checked by `demo_evidence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import typer

from offbook.cli.client import HttpClient
from offbook.cli.demo_evidence import (
    Calls,
    Chapters,
    DemoFailed,
    check_calls,
    check_chapters,
    check_receipt,
    count_calls,
    describe_chapters,
    fetch_chapters,
    show_facts,
)
from offbook.cli.demo_moments import has_begun, is_in_the_middle
from offbook.cli.demo_stage import Stage, Worker
from offbook.cli.demo_writers import Writer
from offbook.cli.exits import console
from offbook.cli.outcome import print_error
from offbook.cli.watch import follow, open_show
from offbook.cli.watched import Watched
from offbook.workflows.states import ExecutionStatus
from offbook.workflows.values import ExecutionUser, JsonObject

PREMISE = (
    "The keeper of the lighthouse on Karli Road finds one morning that the lamp has been writing letters, in a hand "
    "like her own, to a ship that sank forty years ago. That night an answer comes with the tide."
)
TITLE = "The Lamp on Karli Road"
NODE = "chapters"
CHAPTERS = 3
MODEL_LOST_IN = 1
"""The chapter, from 0, in which the model is killed."""
WORKER_LOST_IN = 2
"""The chapter in which the worker is killed."""
RECORD_LOOKS = 200
"""How often the journal is looked at before the worker is killed."""
USER = ExecutionUser("demo", "user", "")


@dataclass(frozen=True, slots=True)
class Cut:
    """What there was when the worker was killed."""

    kept: Chapters
    calls: dict[int, Calls]
    """By chapter."""
    written: int
    """Characters of the chapter that was being written."""


async def lose_the_model(stage: Stage, writer: Writer, document: JsonObject) -> tuple[str, Chapters]:
    """Start the novella, take its model away in a chapter; return the failed execution and the chapters it has."""
    async with stage.worker(writer.providers) as worker:
        step(f"The novella begins: {TITLE}")
        execution_id = await _start(worker, writer, stage, document)
        failed = await _write_until_the_model_is_lost(worker.client, writer, execution_id)
        step("The checkpoint")
        kept = await _show_checkpoint(worker.client, stage, execution_id, failed)
    typer.echo(f"worker {worker.child.pid} has ended with code {await worker.child.stop()}")
    return execution_id, kept


async def lose_the_worker(stage: Stage, writer: Writer, execution_id: str, kept: Chapters) -> Cut:
    """Resume the execution from its checkpoint, kill its worker in a chapter; return what there was then."""
    step("The model starts again, and a new worker")
    typer.echo(await writer.start())
    async with stage.worker(writer.providers) as worker:
        status = await worker.client.status(execution_id)
        typer.echo(f"worker {worker.child.pid} knows the execution from its {status['source']}: {_how_far(status)}")
        step("The novella goes on")
        await _resume(worker.client, execution_id, kept)
        cut = await _write_until_the_worker_is_killed(worker, execution_id)
        step(f"The worker is killed in the middle of chapter {WORKER_LOST_IN + 1}")
        check_chapters(kept, cut.kept)
        _show_what_is_left(worker, stage, cut)
    return cut


async def finish(stage: Stage, writer: Writer, execution_id: str, cut: Cut) -> JsonObject:
    """Start a worker over what the killed one left, and wait; return the status of the completed execution."""
    step("Another worker starts on the same data folder")
    async with stage.worker(writer.providers) as worker:
        status = await worker.client.status(execution_id)
        typer.echo(f"worker {worker.child.pid} has taken it up from the journal: {_how_far(status)}")
        step("The novella goes on by itself")
        finished = await _write_to_the_end(worker.client, execution_id)
        step("The receipt")
        check_receipt(finished, kept_items=len(cut.kept), repeated_calls=1)
        await _show_what_was_written_again(worker.client, execution_id, finished, cut)
    return finished


def step(title: str) -> None:
    """Print what comes next."""
    typer.secho(f"\n{title}", bold=True)


async def _start(worker: Worker, writer: Writer, stage: Stage, document: JsonObject) -> str:
    typer.echo(f"worker {worker.child.pid} serves {worker.child.ready_line.split()[-1]}")
    execution_id = await worker.client.start(
        writer.direct(document, NODE, MODEL_LOST_IN),
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
    typer.echo(f"execution {execution_id}, for the user {USER.id}")
    typer.echo(f"the model will be lost in chapter {MODEL_LOST_IN + 1}, the worker in chapter {WORKER_LOST_IN + 1}")
    return execution_id


async def _write_until_the_model_is_lost(client: HttpClient, writer: Writer, execution_id: str) -> JsonObject:
    """Show the novella being written, take the model away in a chapter, return the failed execution's status."""
    watched = Watched()
    middle = partial(is_in_the_middle, node_id=NODE, chapter=MODEL_LOST_IN)
    with open_show(console(), wanted=True) as show:
        await follow(client, execution_id, show, watched=watched, until=middle)
        writer.lose()
        status = await follow(client, execution_id, show, watched=watched)
    if status["status"] != ExecutionStatus.FAILED:
        raise DemoFailed(f"execution {execution_id} was to fail, and it is {status['status']}: try again")
    return status


async def _show_checkpoint(client: HttpClient, stage: Stage, execution_id: str, status: JsonObject) -> Chapters:
    """Show what is stored; return the chapters that are kept."""
    if not console().is_terminal:
        # There the live display has just shown it.
        print_error(status["error"])
    checkpoint = await client.checkpoint(execution_id)
    stored = checkpoint["item_outputs"].get(NODE, {})
    kept: Chapters = {int(chapter): text for chapter, text in stored.items()}
    show_facts(
        {
            "execution user": checkpoint["execution_user"]["id"],
            "failed node": f"{checkpoint['failed_node']}, chapter {status['error']['item'] + 1}",
            "completed nodes": ", ".join(checkpoint["completed_nodes"]),
            "chapters kept": describe_chapters(kept),
            "stored in": str(stage.data_dir / "offbook.db"),
            "written": f"in {status['db_ops']['writes']} database writes, {status['db_ops']['reads']} reads",
        }
    )
    return kept


async def _resume(client: HttpClient, execution_id: str, kept: Chapters) -> None:
    """Have the execution go on from its checkpoint, and show with what."""
    await client.resume(execution_id, guidance="", user=None)
    check_receipt(await client.status(execution_id), kept_items=len(kept), repeated_calls=0)


async def _write_until_the_worker_is_killed(worker: Worker, execution_id: str) -> Cut:
    """Show the novella being written, and kill its worker in a chapter: no handler of its runs."""
    client, watched = worker.client, Watched()
    begun = partial(has_begun, node_id=NODE, chapter=WORKER_LOST_IN)
    middle = partial(is_in_the_middle, node_id=NODE, chapter=WORKER_LOST_IN)
    with open_show(console(), wanted=True) as show:
        await follow(client, execution_id, show, watched=watched, until=begun)
        kept = await fetch_chapters(client, execution_id, NODE, range(WORKER_LOST_IN))
        status = await _until_recorded(
            client, await follow(client, execution_id, show, watched=watched, until=middle)
        )
        await worker.child.kill()
    if not middle(watched):
        raise DemoFailed(f"execution {execution_id} was to be cut off, and it is {status['status']}: try again")
    calls = {chapter: count_calls(status, NODE, chapter) for chapter in range(CHAPTERS)}
    return Cut(kept, calls, len(watched.latest_text("text", node_id=NODE, item=WORKER_LOST_IN)))


async def _until_recorded(client: HttpClient, status: JsonObject) -> JsonObject:
    """Wait until all that was finished is on disk; written behind, a record comes some milliseconds later."""
    for _ in range(RECORD_LOOKS):
        if not status["journal"]["lag_ms"]:
            return status
        status = await client.status(status["execution_id"])
    raise DemoFailed(f"the journal of execution {status['execution_id']} stays behind: {status['journal']}")


def _show_what_is_left(worker: Worker, stage: Stage, cut: Cut) -> None:
    typer.echo(f"worker {worker.child.pid} got SIGKILL: nothing in it could save anything")
    show_facts(
        {
            "chapters kept": describe_chapters(cut.kept),
            "cut off": f"chapter {WORKER_LOST_IN + 1}, after {cut.written} characters",
            "recorded in": str(stage.data_dir / "journal.db"),
        }
    )


async def _write_to_the_end(client: HttpClient, execution_id: str) -> JsonObject:
    """Show an execution that nobody has to tell anything, and return its status when it has completed."""
    with open_show(console(), wanted=True) as show:
        status = await follow(client, execution_id, show)
    if status["status"] != ExecutionStatus.COMPLETED:
        if status["error"]:
            print_error(status["error"])
        raise DemoFailed(f"execution {execution_id} was to complete, and it is {status['status']}")
    return status


async def _show_what_was_written_again(client: HttpClient, execution_id: str, status: JsonObject, cut: Cut) -> None:
    """Show the calls for each chapter, and check that only the one that was cut off has been asked for again."""
    check_chapters(cut.kept, await fetch_chapters(client, execution_id, NODE, range(WORKER_LOST_IN)))
    for chapter in range(CHAPTERS):
        calls, is_kept = count_calls(status, NODE, chapter), chapter in cut.kept
        check_calls(cut.calls[chapter], calls, chapter, repeats=0 if is_kept else 1)
        what = "kept, word for word" if is_kept else f"cut off after {cut.written} characters, written again"
        typer.echo(f"{f'chapter {chapter + 1}':<16} {calls!s:<20} {what}")
    operations, usage = status["db_ops"], status["usage"]
    typer.echo(
        f"in all {usage['input_tokens']} tokens in, {usage['output_tokens']} out; "
        f"{operations['writes']} database writes, {operations['reads']} reads"
    )


def _how_far(status: JsonObject) -> str:
    return f"{status['status']}, for {status['user_id']}, {status['progress']['percent']:.0f}% done"
