"""List the live actors of a running Offbook server: who supervises whom, and how each of them is. Changes nothing.

    python scripts/list_actors.py --data-dir offbook-data
    python scripts/list_actors.py --server http://127.0.0.1:8000 --json
    python scripts/list_actors.py --dead-letters

The server is the one named, or the one that owns the data folder. Its token is read from OFFBOOK_INTERNAL_TOKEN.
Exit codes: 0 listed, 1 refused, 2 usage, 3 no server.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import server
from plain_text import duration, shown, table

COLUMNS = (
    *("actor", "class", "execution id", "state", "mailbox", "high", "handled", "age"),
    *("node", "restarts", "last reason"),
)
NUMBERS = frozenset({"mailbox", "high", "handled", "age", "restarts"})
LETTER_COLUMNS = ("at", "reason", "execution id", "detail")
REASON_SHOWN = 60
"""Characters of an actor's last reason."""

Actor = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Print the actors, or the dead letters; return the exit code."""
    options = _parser().parse_args(arguments)
    return server.leave_with(lambda: _list(options))


def _list(options: argparse.Namespace) -> int:
    asked = server.find(options)
    listing = asked.get("/actors").body
    if "actors" not in listing:
        raise server.Unreachable(f"no Offbook server answers at {asked.url}: something else does")
    if options.json:
        wanted = (listing.get("dead_letters") or {}) if options.dead_letters else listing
        print(json.dumps(wanted, indent=2, ensure_ascii=False))
    else:
        print("\n".join(letter_lines(listing) if options.dead_letters else actor_lines(listing)))
    return server.DONE


def actor_lines(listing: dict[str, Any]) -> list[str]:
    """Return a row for each actor, below the one that supervises it, and a line of totals."""
    rows = [_row(actor, branch) for actor, branch in in_tree_order(listing["actors"])]
    return [*table(COLUMNS, rows, right=NUMBERS), f"{len(rows)} actors, {_letter_totals(listing)}"]


def letter_lines(listing: dict[str, Any]) -> list[str]:
    """Return a row for each dead letter that is kept, the newest first, and a line of totals."""
    latest = (listing.get("dead_letters") or {}).get("latest") or []
    rows = [tuple(shown(letter.get(key)) for key in ("at", "reason", "execution_id", "detail")) for letter in latest]
    return [*table(LETTER_COLUMNS, rows), f"{len(rows)} shown of {_letter_totals(listing)}"]


def in_tree_order(actors: list[Actor]) -> Iterator[tuple[Actor, str]]:
    """Yield each actor behind its supervisor, with the branch to draw before its name.

    Who is supervised by nobody that is listed stands at the left.
    """
    names = {actor.get("name") for actor in actors}
    children: dict[str | None, list[Actor]] = {}
    for actor in actors:
        parent = actor.get("parent")
        children.setdefault(parent if parent in names else None, []).append(actor)
    for root in children.get(None, ()):
        yield from _below(root, children, "", "")


def _below(
    actor: Actor, children: dict[str | None, list[Actor]], branch: str, indent: str
) -> Iterator[tuple[Actor, str]]:
    yield actor, branch
    supervised = children.get(actor.get("name"), [])
    for place, child in enumerate(supervised, 1):
        last = place == len(supervised)
        yield from _below(child, children, indent + ("└ " if last else "├ "), indent + ("  " if last else "│ "))


def _row(actor: Actor, branch: str) -> tuple[str, ...]:
    mailbox = actor.get("mailbox") or {}
    state = shown(actor.get("state"))
    return (
        branch + shown(actor.get("name")),
        shown(actor.get("class")),
        shown(actor.get("execution_id")),
        f"{state} (poison)" if actor.get("poisoned") else state,
        shown(mailbox.get("depth")),
        shown(mailbox.get("high_water")),
        shown(actor.get("messages_handled")),
        duration(actor.get("age_seconds")),
        shown(", ".join(actor.get("current_nodes") or ())),
        shown(actor.get("restarts")),
        shown(actor.get("last_reason"), REASON_SHOWN),
    )


def _letter_totals(listing: dict[str, Any]) -> str:
    letters = listing.get("dead_letters") or {}
    reasons = ", ".join(f"{shown(reason)} {count}" for reason, count in (letters.get("reasons") or {}).items())
    total = f"{letters.get('count', 0)} dead letters"
    return f"{total} ({reasons})" if reasons else total


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="List the live actors of a running Offbook server.")
    server.add_options(parser)
    parser.add_argument("--dead-letters", action="store_true", help="list what could not be handled instead")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
