"""A worker's data folder: who owns it, and the worker id that stays with it."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from offbook.workflows.errors import OffbookError

try:
    import fcntl
except ImportError:  # Windows has no flock; there the folder is not locked
    fcntl = None  # type: ignore[assignment]


class DataFolderTaken(OffbookError):
    """Another process owns the data folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = folder
        self.owner = owner
        super().__init__(f"the data folder {folder} belongs to {owner or 'another process'}: stop it, or use another")


class DataFolderUnusable(OffbookError):
    """The data folder cannot be made, opened or written."""

    def __init__(self, folder: Path, error: OSError) -> None:
        self.folder = folder
        super().__init__(
            f"the data folder {folder} cannot be used ({error.strerror}): see to it, or name another with --data-dir"
        )


class DataFolder:
    """A folder that one process at a time owns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Create the folder if need be and own it.

        DataFolderTaken if another process does, DataFolderUnusable if nobody can.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise DataFolderUnusable(self.path, error) from error
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read().strip()
                lock.close()
                raise DataFolderTaken(self.path, owner) from None
        self._lock = lock
        # On a disk that is full the lock is as good without the name: a worker that goes on is what makes room.
        with suppress(OSError):
            lock.seek(0)
            lock.truncate()
            os.write(lock.fileno(), f"process {os.getpid()}".encode())

    def close(self) -> None:
        """Give the folder up."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def worker_id(self) -> str:
        """The same for every process that owns this folder, one after the other; DataFolderUnusable without one."""
        path = self.path / "worker_id"
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            pass
        # Whole or not at all: executions that were begun under half an id would be nobody's.
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(uuid.uuid4().hex)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            raise DataFolderUnusable(self.path, error) from error
        return self.worker_id
