"""Say of one execution where it stands and what it waits for: for the person on call. Changes nothing.

    python scripts/why_stuck.py 0f3c... --data-dir offbook-data
    python scripts/why_stuck.py 0f3c... --server http://127.0.0.1:8000 --look 10 --json

It is looked at for --look seconds, so that what moves is not taken for stuck.
The server is the one named, or the one that owns the data folder. Its token is read from OFFBOOK_INTERNAL_TOKEN.
Exit codes: 0 told, 1 refused or no such execution, 2 usage, 3 no server.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any
from urllib.parse import quote

import server
from findings import Findings, Seen
from plain_text import duration, shown

LOOK_SECONDS = 2.0
TEXT_SHOWN = 70
"""Characters of streamed text: its end says more than its beginning."""


def main(arguments: list[str] | None = None) -> int:
    """Print what is found; return the exit code."""
    options = _parser().parse_args(arguments)
    return server.leave_with(lambda: _tell(options))


def _tell(options: argparse.Namespace) -> int:
    findings = Findings(look(server.find(options), options.execution_id, options.look))
    if options.json:
        print(json.dumps(findings.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(findings)))
    return server.DONE


def look(asked: server.Server, execution_id: str, seconds: float) -> Seen:
    """Ask for everything that says something of an execution, and wait so long for news of it."""
    path = f"/status/{quote(execution_id, safe='')}"
    first = asked.get(path).body
    began = time.monotonic()
    if seconds:
        asked.get(f"{path}?since={first['revision']}&wait={seconds:g}", wait=seconds)
    looked = time.monotonic() - began
    status = asked.get(path)
    actors = asked.get(f"/actors?search={quote(execution_id, safe='')}&limit=1").body
    actor = next((each for each in actors["actors"] if each.get("execution_id") == first["execution_id"]), None)
    ready = asked.get("/readyz", may_be_unready=True).body
    counts, limits = actors.get("counts") or {}, actors.get("limits") or []
    return Seen(status.body, status.at, first["revision"], looked, actor, counts, ready, limits)


def lines(findings: Findings) -> list[str]:
    """Write the findings for people: facts in two columns, then what follows from them."""
    facts = [(name, fact) for name, fact in _facts(findings) if fact]
    return [*(f"{name:<13} {fact}" for name, fact in facts), "", *findings.conclusions()]


def _facts(findings: Findings) -> list[tuple[str, str]]:
    status, actor = findings.seen.status, findings.seen.actor
    journal, progress = status["journal"], status["progress"]
    return [
        (
            "execution",
            f"{status['execution_id']}, {shown(status['workflow']['name'])}, for {shown(status['user_id'])}",
        ),
        ("status", f"{status['status']}, {_since(findings)}, epoch {status['epoch']}, from {status['source']}"),
        ("progress", f"{progress['percent']:.1f}%, {progress['completed']} of {progress['total']} nodes"),
        *(("now", f"{where}, {where.describe(findings.now)}") for where in findings.current()),
        ("last step", _last_step(findings)),
        ("news", findings.news()),
        ("waits for", findings.waits_for()),
        ("error", _error(status.get("error"))),
        ("actor", _actor(actor) if actor else "none: it is not in this worker's memory"),
        (
            "journal",
            f"{journal['state']}, {journal['records']} records, {journal['bytes']} bytes, "
            f"{journal['lag_ms']:.0f} ms behind ({status['durability']})",
        ),
        ("database", _database(findings)),
        ("worker", _worker(findings)),
    ]


def _since(findings: Findings) -> str:
    for field, word in (("finished_at", "ended"), ("started_at", "started"), ("created_at", "accepted")):
        seconds = findings.seconds_since(field)
        if seconds is not None:
            return f"{word} {duration(seconds)} ago"
    return "at no known time"


def _last_step(findings: Findings) -> str:
    step = findings.last_step()
    if step is None:
        return "none"
    where = f"{step['node_id']}[{step['item']}]" if step["item"] is not None else step["node_id"] or "execution"
    text = shown(step["text"][-TEXT_SHOWN:]) if step["text"] else ""
    said = f": {text}" if text else ""
    return f"{duration(findings.seconds_since_last_step())} ago, {where} {step['kind']}{said}"


def _error(error: dict[str, Any] | None) -> str:
    if not error:
        return ""
    item = f"[{error['item']}]" if error.get("item") is not None else ""
    return f"{error['type']} in {shown(error.get('node_id'))}{item}: {shown(error['message'])}"


def _actor(actor: dict[str, Any]) -> str:
    mailbox = actor["mailbox"]
    words = [
        f"{actor['state']}, mailbox {mailbox['depth']} (high {mailbox['high_water']})",
        f"{shown(actor['messages_handled'])} messages handled",
        f"{actor['restarts']} restarts",
    ]
    if actor["last_reason"]:
        words.append(f"the last one: {shown(actor['last_reason'])}")
    return ", ".join(words)


def _database(findings: Findings) -> str:
    status = findings.seen.status
    writes, reads = status["db_ops"]["writes"], status["db_ops"]["reads"]
    saved = "checkpoint saved" if status["checkpoint"]["saved"] else "no checkpoint"
    return f"{shown(findings.seen.ready['database'])}, {saved}, {writes} writes, {reads} reads"


def _worker(findings: Findings) -> str:
    ready, counts = findings.seen.ready, findings.seen.counts
    return (
        f"{ready['status']}, journal {ready['journal']}, {ready['recovering']} executions to recover, "
        f"{counts['live_calls']} calls in flight, {counts['queued_calls']} queued, {counts['abandoned']} abandoned"
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 60:
        raise ValueError(text)
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Say of one execution where it stands and what it waits for.")
    parser.add_argument("execution_id", metavar="ID")
    server.add_options(parser)
    parser.add_argument(
        "--look", metavar="SECONDS", type=_seconds, default=LOOK_SECONDS, help="how long to look, up to 60"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
