"""What the demo shows of what was kept, and holds it to: chapters word for word, attempts, calls, the book."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from offbook.cli.client import HttpClient
from offbook.cli.outcome import describe_receipt
from offbook.workflows.errors import OffbookError
from offbook.workflows.states import StepKind
from offbook.workflows.values import JsonObject, JsonValue

REPEATED = "repeated"
"""What the step of an attempt says that a crash had cut off."""

Chapters = dict[int, JsonValue]
"""Texts by their place, from 0."""


class DemoFailed(OffbookError):
    """The demo did not go as it was meant to."""


@dataclass(frozen=True, slots=True)
class Calls:
    """How often a chapter was asked for, as the steps of its execution tell."""

    attempts: int = 0
    repeats: int = 0
    """Attempts that a crash cut off and that were made again, under the same number."""

    def __str__(self) -> str:
        return f"attempt {self.attempts}" + (", repeated" if self.repeats else "")


def count_calls(status: JsonObject, node_id: str, chapter: int) -> Calls:
    """Count the calls for one item of a foreach."""
    texts = [
        step["text"]
        for step in status["processing_steps"]
        if (step["kind"], step["node_id"], step["item"]) == (StepKind.STARTED, node_id, chapter)
    ]
    repeats = texts.count(REPEATED)
    return Calls(len(texts) - repeats, repeats)


async def fetch_chapters(client: HttpClient, execution_id: str, node_id: str, chapters: range) -> Chapters:
    """Ask for the texts of chapters that are finished."""
    return {chapter: await client.output(execution_id, node_id, chapter) for chapter in chapters}


def describe_chapters(kept: Chapters) -> str:
    """Say in a few words which chapters there are: `1 (180 words)`."""
    return ", ".join(f"{chapter + 1} ({len(str(text).split())} words)" for chapter, text in kept.items()) or "none"


def show_facts(facts: dict[str, str]) -> None:
    """Print names and what is to be said of them, in two columns."""
    for name, fact in facts.items():
        typer.echo(f"{name:<16} {fact}")


def check_receipt(status: JsonObject, *, kept_items: int, repeated_calls: int) -> None:
    """Print the receipt; DemoFailed if it is not what a resume or a recovery had to do."""
    receipt = status["receipt"] or {}
    found = (receipt.get("kept_items"), receipt.get("repeated_calls"))
    if found != (kept_items, repeated_calls):
        wanted = f"{kept_items} chapters were to be kept and {repeated_calls} calls repeated"
        raise DemoFailed(f"{wanted}; the receipt says {found[0]} and {found[1]}")
    typer.echo(describe_receipt(receipt))


def check_chapters(kept: Chapters, now: Chapters) -> None:
    """DemoFailed if a chapter that was kept has other words now."""
    for chapter, text in kept.items():
        if now[chapter] != text:
            raise DemoFailed(f"chapter {chapter + 1} was kept, and it has been written again")


def check_calls(before: Calls, after: Calls, chapter: int, *, repeats: int) -> None:
    """DemoFailed unless a chapter has the attempts that it had at the crash, and so many repeats."""
    if after != Calls(before.attempts, before.repeats + repeats):
        raise DemoFailed(f"chapter {chapter + 1} was at {before} at the crash, and it is at {after}")


def show_book(result: JsonObject, seconds: float) -> None:
    """Print how long the book is and where; DemoFailed if it is not there."""
    typer.echo(f"{result['words']} words in {seconds:.0f} s")
    for kind in ("markdown", "html"):
        if not Path(result[kind]).is_file():
            raise DemoFailed(f"{result[kind]} was to be the book, and there is no such file")
        typer.echo(result[kind])
