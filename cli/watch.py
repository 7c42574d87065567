"""Following an execution until it is at rest: its events in, a live display or lines out. Steers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from types import TracebackType
from typing import Protocol, Self

import orjson
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from offbook.cli.client import Client
from offbook.cli.display import render
from offbook.cli.exits import ServerUnreachable
from offbook.cli.running import Interrupts
from offbook.cli.watched import Change, Watched
from offbook.workflows.values import JsonObject

FRAMES_PER_SECOND = 8
FIRST_DELAY = 0.5
LONGEST_DELAY = 5.0
"""Seconds between two tries to reach a server that is away."""


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

    def __init__(self, console: Console, draw: Callable[[Watched], RenderableType]) -> None:
        self._watched: Watched | None = None
        self._draw = draw
        # Drawn so often a second, however much more often there is news.
        self._live = Live(
            console=console, refresh_per_second=FRAMES_PER_SECOND, transient=False, get_renderable=self._picture
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, watched: Watched, changes: list[Change]) -> None:
        self._watched = watched

    def _picture(self) -> RenderableType:
        return self._draw(self._watched) if self._watched is not None else ""


def open_show(
    console: Console, *, wanted: bool, draw: Callable[[Watched], RenderableType] = render
) -> AbstractContextManager[Show]:
    """Give what fits the output: a live display on a terminal, lines elsewhere, nothing if it is not wanted."""
    if not wanted:
        return nullcontext(Silent())
    if console.is_terminal:
        return Screen(console, draw)
    return nullcontext(Lines(stderr=console.stderr))


async def follow(
    client: Client,
    execution_id: str,
    show: Show,
    *,
    watched: Watched | None = None,
    until: Callable[[Watched], bool] = lambda watched: False,
    patient: bool = False,
) -> JsonObject:
    """Show an execution until it is at rest and stored, or until something else is so; return its whole status.

    `watched`: what has been shown of it already. `patient`: wait for a server that goes away to come back.
    """
    watched = watched or Watched()
    last = ""
    delay = FIRST_DELAY
    heard = over = False
    while not over:
        try:
            async with aclosing(client.events(execution_id, last)) as events:
                async for event in events:
                    last, delay = event.id, FIRST_DELAY
                    if event.name == "gap":
                        # What was missed is in the snapshot after it.
                        continue
                    heard = True
                    show.update(watched, watched.hear(event.name, orjson.loads(event.data)))
                    over = event.name == "end" or watched.settled or until(watched)
                    if over:
                        break
        except ServerUnreachable:
            if not patient or not heard:
                raise
            show.update(watched, [Change(None, "the server is away: trying again")])
        if not over:
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
    status = await client.status(execution_id)
    show.update(watched, watched.apply(status))
    return status


async def follow_until_interrupted(
    client: Client,
    execution_id: str,
    show: Show,
    interrupts: Interrupts,
    on_interrupt: Callable[[int], Awaitable[bool]],
    *,
    patient: bool = False,
) -> JsonObject | None:
    """Follow; at each Ctrl-C ask `on_interrupt(count)` whether to go on. None if it said no."""
    following = asyncio.create_task(follow(client, execution_id, show, patient=patient))
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
