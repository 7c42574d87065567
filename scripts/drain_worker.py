"""Drain a running Offbook worker and wait until it has gone: nothing new is admitted, what is live is checkpointed.

    python scripts/drain_worker.py --data-dir offbook-data --grace 30

`--grace` is how many seconds calls in flight have to finish; left out, it is the worker's own setting. Run again with
`--grace 0` it hurries. Ctrl-C ends the waiting, not the drain.
The server is the one named, or the one that owns the data folder. Its token is read from OFFBOOK_INTERNAL_TOKEN.
Exit codes: 0 gone, 1 refused or still there after --timeout, 2 usage, 3 no server.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import server
from plain_text import duration

POLL_SECONDS = 0.2
LIVE = ("queued", "running", "waiting", "recovering")
"""Statuses of executions that are not at rest yet."""
STORING_SECONDS = 60.0
"""How long storing may take beyond the grace before it is given up to wait for."""
USUAL_GRACE = 60.0
"""What is assumed of a worker's own grace."""


def main(arguments: list[str] | None = None) -> int:
    """Drain, wait, and return the exit code."""
    options = _parser().parse_args(arguments)
    return server.leave_with(lambda: _drain(options))


def _drain(options: argparse.Namespace) -> int:
    worker = Worker(server.find(options))
    began = time.monotonic()
    worker.asked.post("/drain", {} if options.grace is None else {"grace": options.grace})
    grace = "its own grace" if options.grace is None else f"a grace of {duration(options.grace)}"
    print(f"{worker} drains, with {grace}", flush=True)
    limit = began + (options.timeout if options.timeout is not None else _patience(options.grace))
    told = ""
    while not worker.has_gone():
        if time.monotonic() > limit:
            raise server.Refused(f"{worker} is still there after {duration(time.monotonic() - began)}")
        told = _tell(worker.what_is_left(), told)
        time.sleep(POLL_SECONDS)
    print(f"gone after {duration(time.monotonic() - began)}")
    return server.DONE


class Worker:
    """The process that is to go. One that is started after it, at the same address, is another."""

    def __init__(self, asked: server.Server) -> None:
        self.asked = asked
        self._uptime = _uptime(asked)

    def __str__(self) -> str:
        return self.asked.url + (f" (process {self.asked.pid})" if self.asked.pid else "")

    def has_gone(self) -> bool:
        """Say whether it has ended: its process, if that can be seen from here, else its address."""
        if self.asked.pid is not None:
            return not server.lives(self.asked.pid)
        try:
            before, self._uptime = self._uptime, _uptime(self.asked)
        except server.Unreachable as error:
            return error.gone
        except server.Refused:
            return False
        return self._uptime < before

    def what_is_left(self) -> str:
        """Say what it still has to bring to rest; empty if it says nothing any more."""
        try:
            counts: dict[str, Any] = self.asked.get("/readyz", may_be_unready=True).body["counts"]
        except (server.Refused, server.Unreachable, KeyError):
            return ""
        live = sum(counts["executions"].get(status, 0) for status in LIVE)
        return f"{live} executions to bring to rest, {counts['live_calls']} calls in flight"


def _uptime(asked: server.Server) -> float:
    """Return how many seconds the process that answers has been there."""
    return float(asked.get("/healthz").body["uptime_seconds"])


def _tell(news: str, told: str) -> str:
    """Print what is new; return what has been told."""
    if news and news != told:
        print(news, flush=True)
    return news or told


def _patience(grace: float | None) -> float:
    return (USUAL_GRACE if grace is None else grace) + STORING_SECONDS


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Drain a running Offbook worker and wait until it has gone.")
    server.add_options(parser)
    parser.add_argument("--grace", metavar="SECONDS", type=_seconds, help="what calls in flight have to finish")
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="how long to wait in all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
