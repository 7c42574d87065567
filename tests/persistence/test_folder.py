"""A data folder belongs to one process at a time; the second is told who has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offbook.persistence.folder import DataFolder, DataFolderTaken, DataFolderUnusable
from offbook.settings import EngineSettings, SettingRefused

OWNER = """
import sys
from pathlib import Path
from offbook.persistence.folder import DataFolder

folder = DataFolder(Path(sys.argv[1]))
folder.open()
print(folder.worker_id, flush=True)
sys.stdin.read()
"""


def own_in_another_process(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Have another process own a folder; return it and its worker id."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    folder.open()
    second = subprocess.run(
        [sys.executable, "-c", OWNER, str(folder.path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert f"process {os.getpid()}" in second.stderr
    assert str(folder.path) in second.stderr
    folder.close()


def test_folder_of_a_killed_process_is_free_and_keeps_its_worker_id(tmp_path: Path) -> None:
    owner, worker_id = own_in_another_process(tmp_path)
    with owner:
        folder = DataFolder(tmp_path)
        with pytest.raises(DataFolderTaken) as taken:
            folder.open()
        assert taken.value.owner == f"process {owner.pid}"
        assert taken.value.folder == tmp_path
        owner.send_signal(signal.SIGKILL)
    folder.open()
    assert len(worker_id) == 32
    assert folder.worker_id == worker_id
    folder.close()


def test_folder_that_was_given_up_can_be_opened_again(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.open()
    with pytest.raises(DataFolderTaken):
        second.open()
    first.close()
    first.close()
    second.open()
    assert first.worker_id == second.worker_id
    second.close()


def test_refused_process_leaves_the_owners_name_in_the_lock(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open()
    for _ in range(2):
        with pytest.raises(DataFolderTaken, match=f"process {os.getpid()}"):
            DataFolder(tmp_path).open()
    folder.close()


def test_two_folders_have_two_worker_ids(tmp_path: Path) -> None:
    folders = [DataFolder(tmp_path / name) for name in "ab"]
    for folder in folders:
        folder.open()
    assert folders[0].worker_id != folders[1].worker_id
    assert sorted(each.name for each in folders[0].path.iterdir()) == ["lock", "worker_id"]
    for folder in folders:
        folder.close()


def test_worker_id_that_was_begun_and_not_finished_is_no_worker_id(tmp_path: Path) -> None:
    (tmp_path / "worker_id.new").write_text("4f")
    folder = DataFolder(tmp_path)
    folder.open()
    assert len(folder.worker_id) == 32
    folder.close()


def test_folder_that_cannot_be_made_or_written_is_told_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for there in (file, file / "below"):
        with pytest.raises(DataFolderUnusable, match=f"{there} cannot be used .*--data-dir"):
            DataFolder(there).open()
    (tmp_path / "worker_id.new").mkdir()
    folder = DataFolder(tmp_path)
    folder.open()
    with pytest.raises(DataFolderUnusable, match="directory"):
        _ = folder.worker_id
    folder.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes there")
def test_folder_on_a_disk_that_is_full_can_be_owned(tmp_path: Path) -> None:
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    )
    folder = DataFolder(tmp_path)
    folder.open()
    worker_id = folder.worker_id
    folder.close()
    process = subprocess.Popen(
        [sys.executable, "-c", limited + OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate("")
    assert (process.returncode, out.strip()) == (0, worker_id)


@pytest.mark.parametrize("worker_id", ["writer-1", "pod.eu:7", "a" * 64])
def test_worker_may_be_named_by_a_setting(worker_id: str) -> None:
    assert EngineSettings.from_environment({"OFFBOOK_WORKER_ID": worker_id}).worker_id == worker_id


@pytest.mark.parametrize("worker_id", ["two words", "a" * 65, "ü"])
def test_worker_is_not_named_by_what_would_not_fit_its_column(worker_id: str) -> None:
    with pytest.raises(SettingRefused, match="at most 64 letters"):
        EngineSettings.from_environment({"OFFBOOK_WORKER_ID": worker_id})
