"""`server.json` in a data folder: where the process that owns the folder answers. Trusts nothing that is stale."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

NAME = "server.json"


@dataclass(frozen=True, slots=True)
class ServerFile:
    """Where a worker can be asked."""

    url: str
    pid: int
    token: str | None = None
    """Only of a server that a command opened for its own time; that of `serve` is never written down."""

    def write(self, folder: Path) -> None:
        """Put the file there whole or not at all, readable by its owner only."""
        fresh = folder / f"{NAME}.{self.pid}"
        data = {"url": self.url, "pid": self.pid} | ({"token": self.token} if self.token else {})
        with open(fresh, "w", encoding="utf-8", opener=_owner_only) as file:
            json.dump(data, file)
        fresh.replace(folder / NAME)


def read_server_file(folder: Path) -> ServerFile | None:
    """Return where the folder's owner answers; None if there is no file, or its process has gone."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
        found = ServerFile(str(data["url"]), int(data["pid"]), data.get("token"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if _lives(found.pid) else None


def remove_server_file(folder: Path) -> None:
    """Remove this process's file, and no other's."""
    found = read_server_file(folder)
    if found is not None and found.pid == os.getpid():
        (folder / NAME).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
