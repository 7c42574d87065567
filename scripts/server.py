"""What the scripts share: finding an Offbook server, asking it, and leaving with an exit code. Prints only errors.

Needs nothing but Python, and imports nothing of Offbook's, so that the folder can be copied to any machine.
"""

from __future__ import annotations

import argparse
import email.utils
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DONE, REFUSED, USAGE, NO_SERVER, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""
DEFAULT_SERVER = "http://127.0.0.1:8000"
DEFAULT_FOLDER = Path("offbook-data")
TIMEOUT_SECONDS = 15.0
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment: what is asked is mostly on this machine."""


class Refused(Exception):
    """The server answered, and not with what was asked for."""


class Unreachable(Exception):
    """No Offbook server answers. `gone`: nobody listens at its address, which is more than silence."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object, and when it was given by the clock of the server."""

    body: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask."""

    url: str
    token: str | None = None
    pid: int | None = None
    """Its process, if it owns a data folder on this machine."""

    def get(self, path: str, *, may_be_unready: bool = False, wait: float = 0.0) -> Answer:
        """Ask for an object; `may_be_unready`: it is good with status 503 too."""
        return self._ask(urllib.request.Request(self.url + path), may_be_unready=may_be_unready, wait=wait)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        data = json.dumps(body).encode()
        return self._ask(urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}))

    def _ask(self, request: urllib.request.Request, *, may_be_unready: bool = False, wait: float = 0.0) -> Answer:
        request.add_header("Accept", "application/json")
        if self.token:
            request.add_header("X-Internal-Auth", self.token)
        try:
            with DIRECT.open(request, timeout=TIMEOUT_SECONDS + wait) as response:
                return _read(response)
        except urllib.error.HTTPError as error:
            with error:
                if may_be_unready and error.code == 503:
                    return _read(error)
                raise Refused(f"{self.url} answered {error.code}: {_detail(error)}") from None
        except urllib.error.URLError as error:
            gone = isinstance(error.reason, ConnectionRefusedError)
            raise Unreachable(f"no Offbook server answers at {self.url}: {error.reason}", gone=gone) from None
        except (OSError, ValueError) as error:
            raise Unreachable(f"no Offbook server answers at {self.url}: {error}") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server is meant."""
    parser.add_argument("--server", metavar="URL", default=os.environ.get("OFFBOOK_SERVER"), help="ask this server")
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        type=Path,
        default=os.environ.get("OFFBOOK_DATA_DIR"),
        help=f"ask the server that owns this data folder ({DEFAULT_FOLDER})",
    )


def find(options: argparse.Namespace) -> Server:
    """Return the server that is named, or the one that owns the data folder, or the one at the default address.

    Unreachable if a folder is named and no process owns it: at the address that it had there may be another's now.
    """
    token = os.environ.get("OFFBOOK_INTERNAL_TOKEN")
    owner = _owner(options.data_dir or DEFAULT_FOLDER, token)
    if options.server:
        url = options.server.rstrip("/")
        return owner if owner is not None and owner.url == url else Server(url, token)
    if owner is None and options.data_dir is not None:
        raise Unreachable(f"no Offbook server owns {options.data_dir}; one on another machine is named by --server")
    return owner or Server(DEFAULT_SERVER, token)


def lives(pid: int) -> bool:
    """Say whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def leave_with(work: Callable[[], int]) -> int:
    """Do the work of a script; return its exit code, or that of what went wrong, which is told."""
    try:
        return work()
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except Unreachable as error:
        print(f"error: {error}", file=sys.stderr)
        return NO_SERVER
    except KeyboardInterrupt:
        return INTERRUPTED


def _owner(folder: Path, token: str | None) -> Server | None:
    try:
        owner = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        found = Server(str(owner["url"]).rstrip("/"), owner.get("token") or token, int(owner["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.pid and lives(found.pid) else None


def _read(response: Any) -> Answer:
    """Read a response; ValueError if it is no JSON object."""
    body = json.load(response)
    if not isinstance(body, dict):
        raise ValueError("something else answers there")
    date = email.utils.parsedate_to_datetime(response.headers["Date"]) if response.headers["Date"] else None
    return Answer(body, date.timestamp() if date else time.time())


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return error.reason
