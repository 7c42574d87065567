"""`server.json`: written whole, believed only while its process lives."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from offbook.cli.server_file import NAME, ServerFile, read_server_file, remove_server_file


def test_file_is_read_back_and_private(tmp_path: Path) -> None:
    written = ServerFile("http://127.0.0.1:1", os.getpid(), "secret")
    written.write(tmp_path)
    assert read_server_file(tmp_path) == written
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_file_of_a_process_that_has_gone_is_not_believed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ServerFile("http://127.0.0.1:1", gone.pid).write(tmp_path)
    assert read_server_file(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"url": "x"}', '{"url": "x", "pid": "y"}', '{"url": "x", "pid": -1}']
)
def test_file_that_makes_no_sense_is_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    assert read_server_file(tmp_path) is None


def test_only_the_own_file_is_removed(tmp_path: Path) -> None:
    ServerFile("http://127.0.0.1:1", os.getppid()).write(tmp_path)
    remove_server_file(tmp_path)
    assert (tmp_path / NAME).exists()
    ServerFile("http://127.0.0.1:1", os.getpid()).write(tmp_path)
    remove_server_file(tmp_path)
    assert not (tmp_path / NAME).exists()
