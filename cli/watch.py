"""Following an execution until it is at rest: long polls in, a live display or lines out. Steers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol, Self

import typer
from rich.console import Console
from rich.live import Live

from offbook.cli.client import Client
from offbook.cli.display import render
from offbook.cli.running import Interrupts
from offbook.cli.watched import Change, Watched
from offbook.workflows.values import JsonObject

POLL_SECONDS = 30.0
"""How long one question waits for news."""
FRAMES_PER_SECOND = 8


class Show(Protocol):
    """Where what changes is shown."""

    def update(self, watched: Watched, changes: list[Change]) -> None: ...


class Silent:
    """Shows nothing."""

    def update(self, watched: Watched, changes: list[Change]) -> None:
        return


class Lines:
    """Prints one line for each change of a node: for logs and pipes."""

    def __init__(self, *, stderr: bool) -> None:
        self._stderr = stderr

    def update(self, watched: Watched, changes: list[Change]) -> None:
        for change in changes:
            typer.echo(f"{change.node_id or 'execution'}: {change.text}", err=self._stderr)


class Screen:
    """Redraws a live display: for terminals."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=FRAMES_PER_SECOND, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, watched: Watched, changes: list[Change]) -> None:
        self._live.update(render(watched))


def open_show(console: Console, *, wanted: bool) -> AbstractContextManager[Show]:
    """Give what fits the output: a live display on a terminal, lines elsewhere, nothing if it is not wanted."""
    if not wanted:
        return nullcontext(Silent())
    if console.is_terminal:
        return Screen(console)
    return nullcontext(Lines(stderr=console.stderr))


async def follow(
    client: Client,
    execution_id: str,
    show: Show,
    *,
    watched: Watched | None = None,
    until: Callable[[Watched], bool] = lambda watched: False,
) -> JsonObject:
    """Show an execution until it is at rest and stored, or until something else is so; return its whole status.

    `watched`: what has been shown of it already.
    """
    watched = watched or Watched()
    show.update(watched, watched.apply(await client.status(execution_id)))
    while not (watched.settled or until(watched)):
        answer = await client.status(execution_id, since=watched.revision, wait=POLL_SECONDS)
        show.update(watched, watched.apply(answer))
        if not (watched.settled or until(watched)):
            # Text streams faster than anybody reads: what comes meanwhile is in the next answer.
            await asyncio.sleep(1 / FRAMES_PER_SECOND)
    return await client.status(execution_id)


async def follow_until_interrupted(
    client: Client,
    execution_id: str,
    show: Show,
    interrupts: Interrupts,
    on_interrupt: Callable[[int], Awaitable[bool]],
) -> JsonObject | None:
    """Follow; at each Ctrl-C ask `on_interrupt(count)` whether to go on. None if it said no."""
    following = asyncio.create_task(follow(client, execution_id, show))
    try:
        while True:
            noticed = asyncio.create_task(interrupts.next())
            try:
                await asyncio.wait({following, noticed}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    return following.result()
                if not await on_interrupt(noticed.result()):
                    return None
            finally:
                noticed.cancel()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
