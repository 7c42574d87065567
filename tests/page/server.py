"""A `offbook serve` process for the page, and a client of it. Knows no browser."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import tests
from offbook.workflows.values import JsonObject, JsonValue

ROOT = Path(tests.__file__).parent.parent
PATIENCE = 60.0
"""Seconds that a server may take for what is waited for."""


class Refused(Exception):
    """The server answered with a problem."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class Server:
    """A server over a data folder: may be killed and started again at the same address."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._variables = variables
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OFFBOOK_")}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "offbook.cli", "serve", "--port", str(self._port)),
                *("--data-dir", str(self.folder), "--drain-grace", "0.1"),
            ],
            env={**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self._variables},
            stdout=subprocess.PIPE,
            stderr=(self.folder.parent / f"{self.folder.name}.log").open("a"),
            text=True,
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        assert ready, "the server did not start"
        self.url = self._process.stdout.readline().split()[-1]
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        process.send_signal(number)
        process.wait(PATIENCE)
        process.stdout.close()

    def call(self, method: str, path: str, body: JsonValue = None, **headers: str) -> Any:
        """Send a request; return what it answers, Refused if that is a problem."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                text = response.read()
        except urllib.error.HTTPError as refused:
            raise Refused(refused.code, json.loads(refused.read() or b"null")) from None
        return json.loads(text) if text else None

    def begin(self, workflow: JsonObject | str, inputs: JsonObject | None = None, **fields: Any) -> str:
        """Start an execution on behalf of Ada; return its id."""
        body = {"workflow": workflow, "inputs": inputs or {}, "user": {"id": "ada"}, **fields}
        return str(self.call("POST", "/executions", body)["execution_id"])

    def until(self, execution_id: str, *statuses: str) -> JsonObject:
        """Follow an execution until it has one of these statuses."""
        until = time.monotonic() + PATIENCE
        payload: JsonObject = self.call("GET", f"/status/{execution_id}")
        while payload["status"] not in statuses:
            assert time.monotonic() < until, f"it is {payload['status']}: {payload['error']}"
            self.call("GET", f"/status/{execution_id}?since={payload['revision']}&wait=5")
            payload = self.call("GET", f"/status/{execution_id}")
        return payload
