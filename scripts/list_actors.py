"""List the live actors of a running Offbook server, as a table or as JSON. Needs nothing but Python.

    python scripts/list_actors.py --server http://127.0.0.1:8000 --json

The server is the one named, or the one that owns the data folder. Its token is read from OFFBOOK_INTERNAL_TOKEN.
Exit codes: 0 listed, 1 refused, 2 usage, 3 no server.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

DEFAULT_SERVER = "http://127.0.0.1:8000"
TIMEOUT_SECONDS = 15.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment: what is asked is mostly on this machine."""
COLUMNS = ("class", "name", "execution id", "state", "mailbox", "high", "handled", "age", "node", "restarts")
RIGHT = frozenset({"mailbox", "high", "handled", "age", "restarts"})


def main(arguments: list[str] | None = None) -> int:
    """Print the actors; return the exit code."""
    options = _parser().parse_args(arguments)
    server, token = _server(options.server, options.data_dir)
    try:
        listing = fetch(server, token)
    except urllib.error.HTTPError as error:
        print(f"error: {server} answered {error.code}: {_detail(error)}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"error: no Offbook server answers at {server}: {error}", file=sys.stderr)
        return 3
    if options.json:
        print(json.dumps(listing, indent=2, ensure_ascii=False))
    else:
        print("\n".join(table(listing)))
    return 0


def fetch(server: str, token: str | None) -> dict[str, Any]:
    """Return `GET /actors` of a server; OSError if it does not answer, ValueError if it is not Offbook's."""
    request = urllib.request.Request(f"{server.rstrip('/')}/actors", headers={"Accept": "application/json"})
    if token:
        request.add_header("X-Internal-Auth", token)
    with DIRECT.open(request, timeout=TIMEOUT_SECONDS) as response:
        listing = json.load(response)
    if not isinstance(listing, dict) or "actors" not in listing:
        raise ValueError("something else answers there")
    return listing


def table(listing: dict[str, Any]) -> list[str]:
    """Return the lines of a table, a row for each actor, and a line of totals."""
    rows = [_row(actor) for actor in listing["actors"]]
    widths = [max(len(row[index]) for row in [COLUMNS, *rows]) for index in range(len(COLUMNS))]
    lines = [_line(row, widths) for row in [COLUMNS, *rows]]
    letters = listing.get("dead_letters") or {}
    reasons = ", ".join(f"{_shown(reason)} {count}" for reason, count in (letters.get("reasons") or {}).items())
    total = f"{len(rows)} actors, {letters.get('count', 0)} dead letters"
    return [*lines, f"{total} ({reasons})" if reasons else total]


def _row(actor: dict[str, Any]) -> tuple[str, ...]:
    mailbox = actor.get("mailbox") or {}
    return (
        _shown(actor.get("class")),
        _shown(actor.get("name")),
        _shown(actor.get("execution_id")),
        _shown(actor.get("state")),
        _shown(mailbox.get("depth")),
        _shown(mailbox.get("high_water")),
        _shown(actor.get("messages_handled")),
        _age(actor.get("age_seconds")),
        _shown(", ".join(actor.get("current_nodes") or ())),
        _shown(actor.get("restarts")),
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (
        text.rjust(width) if name in RIGHT else text.ljust(width)
        for name, text, width in zip(COLUMNS, row, widths, strict=True)
    )
    return "  ".join(cells).rstrip()


def _shown(value: object) -> str:
    """Write a cell; what is unknown or empty is a dash, and nothing can break a line."""
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else "?" for character in text) or "-"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _server(named: str | None, data_dir: Path) -> tuple[str, str | None]:
    token = os.environ.get("OFFBOOK_INTERNAL_TOKEN")
    if named:
        return named, token
    try:
        owner = json.loads((data_dir / "server.json").read_text(encoding="utf-8"))
        return str(owner["url"]), owner.get("token") or token
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_SERVER, token


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return error.reason


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="List the live actors of a running Offbook server.")
    parser.add_argument("--server", metavar="URL", default=os.environ.get("OFFBOOK_SERVER"), help="ask this server")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("OFFBOOK_DATA_DIR", "offbook-data")),
        help="ask the server that owns this data folder",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
