"""A journal that a killed worker left is cut and damaged at many places: recovery starts each time.

It loses at most what was written after the damage, invents nothing, and says where it had to give up.
"""

from __future__ import annotations

import asyncio
import queue
import random
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from offbook.actors.catalogue import Catalogue
from offbook.actors.recovery import WorkerRecovery
from offbook.actors.supervisor_messages import ExecutionsLoaded, UnfinishedFound
from offbook.nodes.providers import provider_registry
from offbook.nodes.registry import NodeRegistry
from offbook.persistence.journal import SqlJournal
from offbook.persistence.sql_store import SqlStore
from tests.chaos.audit import audit
from tests.chaos.campaign import SOAK, begin_life, open_scene

SAMPLES = 100
"""Cuts in each of the two files."""
FLIPS = 60
BOOKS = 40
CALLS = 250
"""How many calls are made before the worker is killed."""
PATIENCE = 60.0
JOURNAL = "journal.db"
LOG = "journal.db-wal"

pytestmark = pytest.mark.timeout(7200 if SOAK else 900)


@dataclass(frozen=True, slots=True)
class Found:
    """What recovery made of a journal."""

    outputs: dict[str, dict[str, Any]]
    """Of each execution: each output, an item's under `node[item]`."""
    seqs: dict[str, int]
    """Up to which record each was rebuilt."""
    said: list[str]
    """Warnings and errors, with their fields."""

    @property
    def records(self) -> int:
        return sum(self.seqs.values())


class Recording:
    """The data folder of a killed worker, and a way to have copies of it recovered."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self._scratch = scratch
        self.worker_id = (folder / "worker_id").read_text()
        self._store = SqlStore.open(f"sqlite:///{folder / 'offbook.db'}")
        self._catalogue = Catalogue(
            NodeRegistry.with_builtins(provider_registry({"counted": {"base_url": "http://x/v1"}}))
        )
        self._pool = ThreadPoolExecutor(1)
        self._numbers = iter(range(10**9))

    def close(self) -> None:
        self._pool.shutdown()
        self._store.close()

    def bytes_of(self, name: str) -> bytes:
        file = self.folder / name
        return file.read_bytes() if file.exists() else b""

    def recover(self, *, journal: bytes, log: bytes) -> Found:
        """Have these two files recovered, as a worker does at its start."""
        folder = self._scratch / str(next(self._numbers))
        folder.mkdir()
        (folder / JOURNAL).write_bytes(journal)
        if log:
            (folder / LOG).write_bytes(log)
        with listening() as said:
            opened = SqlJournal.in_folder(folder, self.worker_id)
            recovery = WorkerRecovery(self._store.reader, opened, self._catalogue, self.worker_id, self._pool)
            unfinished: queue.SimpleQueue[UnfinishedFound] = queue.SimpleQueue()
            recovery.find(unfinished.put)
            found = unfinished.get(timeout=PATIENCE)
            assert found.error is None
            loaded: queue.SimpleQueue[ExecutionsLoaded] = queue.SimpleQueue()
            recovery.load(found.execution_ids, loaded.put)
            answer = loaded.get(timeout=PATIENCE)
            # And it can be written.
            opened.commit([], {})
        opened.close()
        shutil.rmtree(folder)
        assert answer.error is None
        outputs: dict[str, dict[str, Any]] = {}
        seqs: dict[str, int] = {}
        for each in answer.loaded:
            assert each.error is None, each.error
            assert each.run is not None
            outputs[each.execution_id] = _outputs(each.run)
            seqs[each.execution_id] = each.run.journal_seq
        return Found(outputs, seqs, said)


def _outputs(run: Any) -> dict[str, Any]:
    found = dict(run.outputs)
    for node, work in zip(run.plan.nodes, run.works, strict=True):
        for item, each in enumerate(work.items or ()):
            if each.status == "completed":
                found[f"{node.id}[{item}]"] = each.output
    return found


@contextmanager
def listening() -> Iterator[list[str]]:
    """Note what is logged as a warning or worse."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(f"{message.record['message']} {message.record['extra']}"), level=30)
    try:
        yield said
    finally:
        logger.remove(sink)


async def kill_with_books_under_way(folder: Path) -> None:
    """Leave the folder of a worker that was killed in the middle of its work."""
    async with open_scene(folder, durability="async") as scene:
        await begin_life(scene)
        await scene.lives.serves()
        scene.clients.keep(BOOKS)
        await scene.until_computed(CALLS)
        await scene.lives.kill()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of one killed worker, to be copied."""
    folder = tmp_path_factory.mktemp("recorded")
    asyncio.run(kill_with_books_under_way(folder))
    return folder / "data"


@pytest.fixture
def recording(recorded: Path, tmp_path: Path) -> Iterator[Recording]:
    shutil.copytree(recorded, tmp_path / "data")
    recording = Recording(tmp_path / "data", tmp_path)
    yield recording
    recording.close()


@pytest.fixture
def settled(recording: Recording) -> Recording:
    """A recording whose log is in the journal's main file, as after a checkpoint of SQLite's."""
    connection = sqlite3.connect(recording.folder / JOURNAL)
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    connection.close()
    assert recording.bytes_of(LOG) == b""
    return recording


def commits_in(log: bytes) -> list[int]:
    """Return where each transaction of a log ends: SQLite marks the last frame of each."""
    frame_bytes = 24 + int.from_bytes(log[8:12], "big")
    ends = []
    for start in range(32, len(log) - frame_bytes + 1, frame_bytes):
        if log[start + 8 : start + 16] != log[16:24]:
            break
        if int.from_bytes(log[start + 4 : start + 8], "big"):
            ends.append(start + frame_bytes)
    return ends


def check_is_part_of(found: Found, whole: Found) -> None:
    """Nothing is invented: each output is one that was recorded, and none is there without those before it."""
    assert set(found.seqs) <= set(whole.seqs)
    for execution_id, outputs in found.outputs.items():
        assert outputs.items() <= whole.outputs[execution_id].items()
        assert found.seqs[execution_id] <= whole.seqs[execution_id]


def test_log_that_is_cut_loses_what_was_written_after_the_cut(recording: Recording) -> None:
    journal, log = recording.bytes_of(JOURNAL), recording.bytes_of(LOG)
    ends = commits_in(log)
    assert len(ends) > 5
    written = ends[-1]
    # The kill itself may have come in the middle of a write.
    whole = recording.recover(journal=journal, log=log[:written])
    assert whole.said == []
    left = recording.recover(journal=journal, log=log)
    assert (left.seqs, left.outputs) == (whole.seqs, whole.outputs)
    chance = random.Random("cuts")
    cuts = sorted({0, 1, 31, 32, 33, written - 1, *chance.sample(range(written), SAMPLES)})
    if SOAK:
        cuts = sorted({*cuts, *range(ends[-4], written)})
    # What was there after each commit: SQLite's own word for what a cut may not lose.
    references: dict[int, Found] = {}
    reported = 0
    for cut in cuts:
        found = recording.recover(journal=journal, log=log[:cut])
        check_is_part_of(found, whole)
        kept = max((end for end in ends if end <= cut), default=0)
        if kept not in references:
            references[kept] = recording.recover(journal=journal, log=log[:kept])
            assert references[kept].said == [], "a log that ends with a commit was called broken"
        assert (found.seqs, found.outputs) == (references[kept].seqs, references[kept].outputs), cut
        if cut > kept:
            reported += 1
            assert any("breaks off" in each and f"'position': {kept}," in each for each in found.said), (
                cut,
                kept,
                found.said,
            )
    sizes = [found.records for _, found in sorted(references.items())]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    print(f"\n{len(cuts)} cuts of a log of {written} bytes and {len(ends)} commits; {reported} were reported")


def test_log_that_is_damaged_in_the_middle_loses_what_was_written_after_it(recording: Recording) -> None:
    journal, log = recording.bytes_of(JOURNAL), recording.bytes_of(LOG)
    whole = recording.recover(journal=journal, log=log)
    ends = commits_in(log)
    chance = random.Random("flips in the log")
    # Also where a frame says of which round of the log it is: SQLite takes one that says another for its end.
    rounds = [end + byte for end in (ends[len(ends) // 2], ends[-2]) for byte in range(8, 16)]
    for at in sorted({*chance.sample(range(ends[-1]), FLIPS), *rounds}):
        damaged = bytearray(log)
        damaged[at] ^= 1 << chance.randrange(8)
        found = recording.recover(journal=journal, log=bytes(damaged))
        check_is_part_of(found, whole)
        if found.seqs == whole.seqs:
            continue  # a byte that says nothing
        before = max((end for end in ends if end <= at), default=0)
        assert found.records >= recording.recover(journal=journal, log=log[:before]).records
        assert any("breaks off" in each for each in found.said), at


def test_file_that_is_cut_is_put_aside_and_what_can_be_read_of_it_kept(settled: Recording) -> None:
    journal = settled.bytes_of(JOURNAL)
    whole = settled.recover(journal=journal, log=b"")
    assert whole.said == []
    chance = random.Random("cuts of the file")
    cuts = {0, 1, 99, 100, 4096, len(journal) - 1, *chance.sample(range(len(journal)), SAMPLES)}
    if SOAK:
        cuts |= set(range(max(0, len(journal) - 3 * 4096), len(journal)))
    kept = []
    for cut in sorted(cuts):
        found = settled.recover(journal=journal[:cut], log=b"")
        check_is_part_of(found, whole)
        kept.append(found.records)
        if found.records < whole.records and cut > 0:
            assert any("journal is corrupt" in each and "'position'" in each for each in found.said), (
                cut,
                found.said,
            )
    some = kept[:: len(kept) // 10]
    print(f"\n{len(cuts)} cuts of a file of {len(journal)} bytes; records kept: {some} of {whole.records}")
    # The longer the file, the more of its records: all of a segment or nothing of it.
    assert kept[0] == 0
    assert max(kept[len(kept) // 2 :]) == max(kept) > 0


def test_file_that_is_damaged_in_the_middle_loses_no_more_than_it_says(settled: Recording) -> None:
    journal = settled.bytes_of(JOURNAL)
    whole = settled.recover(journal=journal, log=b"")
    chance = random.Random("flips in the file")
    lost = []
    for at in sorted(chance.sample(range(len(journal)), FLIPS)):
        damaged = bytearray(journal)
        damaged[at] ^= 1 << chance.randrange(8)
        found = settled.recover(journal=bytes(damaged), log=b"")
        check_is_part_of(found, whole)
        if found.seqs != whole.seqs:
            lost.append(whole.records - found.records)
            assert any("journal" in each for each in found.said), at
    assert lost, "no flip hit anything"
    print(f"\nof {FLIPS} flipped bits {len(lost)} cost records: {sorted(lost)} of {whole.records}")


@pytest.mark.parametrize(("name", "share"), [(LOG, 0.3), (JOURNAL, 0.6)])
async def test_worker_over_a_cut_journal_completes_every_book(tmp_path: Path, name: str, share: float) -> None:
    """A real process, from the kill to the end; repeats are allowed for what was cut off, losses are not."""
    async with open_scene(tmp_path, durability="async") as scene:
        await begin_life(scene)
        await scene.lives.serves()
        scene.clients.keep(BOOKS)
        await scene.until_computed(CALLS)
        await scene.lives.kill()
        file = tmp_path / "data" / name
        if name == JOURNAL:
            sqlite3.connect(file).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with file.open("r+b") as opened:
            opened.truncate(int(file.stat().st_size * share))
        await begin_life(scene)
        await scene.lives.serves()
        scene.clients.steer_again()
        # What is recorded from here on comes after what was cut, and has to be found among what was left of that.
        await scene.until_computed(scene.outside.ledger.computations + CALLS // 2)
        await scene.lives.kill()
        await begin_life(scene)
        await scene.lives.serves()
        ended = await scene.clients.finish()
        verdict = audit(scene.outside.ledger, scene.clients, ended, await scene.clients.listed(), "exit")
        print(f"\n{name} cut at {share:.0%}: {verdict}")
    assert not verdict.faults, "\n".join(verdict.faults[:20])
    assert verdict.repeats
