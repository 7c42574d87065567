"""Records gathered into one transaction, kept while the journal cannot be written. Knows no actor and no SQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from offbook.workflows.errors import StorageUnavailable
from offbook.workflows.message_codec import encode
from offbook.workflows.messages import RunMessage
from offbook.workflows.records import JournalRecord, JournalStore

FIRST_DELAY = 0.1
MAX_DELAY = 5.0
DEFAULT_BUDGET = 4 * 1024**3
SIZE_EVERY = 256
"""Flushes between two looks at how large the journal is."""
MAX_KEPT_BYTES = 256 * 1024 * 1024
"""Bytes of records that are kept in memory while the journal cannot be written."""


class JournalGauge:
    """How far the journal is with one execution. Written by the journal's thread, read by anybody."""

    __slots__ = ("appended", "bytes", "confirmed", "lost", "saved", "since")

    def __init__(self, seq: int = 0, saved: int | None = None, size: int = 0) -> None:
        """Begin with what is on disk already: the last record, the last that is in the database too, bytes since."""
        self.appended = seq
        """The last record that was handed over."""
        self.confirmed = seq
        """The last record that is on disk."""
        self.saved = seq if saved is None else saved
        """The last record that is in the database too."""
        self.bytes = size
        """Bytes in the journal since the last checkpoint."""
        self.since = 0.0
        """No record that is not on disk was handed over before this time (seconds, the worker's clock)."""
        self.lost = False
        """Whether records were given up; nothing more is recorded before the next checkpoint."""


@dataclass(slots=True)
class _Waiting:
    execution_id: str
    seq: int
    message: RunMessage
    gauge: JournalGauge
    notify: Callable[[int, bool], None] | None
    data: bytes | None = None
    told: bool = False


class GroupJournal:
    """Commits all records that wait, and all that is to be forgotten, as one transaction."""

    def __init__(
        self,
        store: JournalStore,
        *,
        clock: Callable[[], float],
        budget: int = DEFAULT_BUDGET,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        """`budget`: bytes of journal past which `fault` says that it is full; what is live is still recorded."""
        self._budget = budget
        self._full = False
        self._flushes = 0
        self._store = store
        self._clock = clock
        self._max_kept_bytes = max_kept_bytes
        self._waiting: list[_Waiting] = []
        self._forget: dict[str, int] = {}
        self._failures = 0
        self.last_error: StorageUnavailable | None = None
        """Why the journal could not be written the last time; None while it can."""
        self.given_up = 0
        """Records that were neither written nor kept."""

    @property
    def fault(self) -> str | None:
        """Say why nothing new should rely on this journal; None while all is well."""
        if self.last_error is not None:
            return self.last_error.detail
        return f"it has more than {self._budget} bytes" if self._full else None

    @property
    def pending(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to write, and nothing to forget either."""
        return not self._waiting and not self._forget

    def append(
        self,
        execution_id: str,
        seq: int,
        message: RunMessage,
        gauge: JournalGauge,
        notify: Callable[[int, bool], None] | None,
    ) -> None:
        """Have a message recorded with the next flush.

        `notify(seq, recorded)` hears when it is on disk, or, once, that this is delayed because the journal cannot
        be written; then again when it is.
        """
        if gauge.lost:
            self.given_up += 1
            if notify is not None:
                notify(seq, False)
            return
        self._waiting.append(_Waiting(execution_id, seq, message, gauge, notify))

    def forget(self, execution_id: str, through: int) -> None:
        """Have the records of an execution up to a seq deleted: what they say is stored elsewhere."""
        self._forget[execution_id] = max(through, self._forget.get(execution_id, 0))
        kept = []
        for each in self._waiting:
            if each.execution_id == execution_id and each.seq <= through:
                self._confirm(each, len(each.data or b""))
            else:
                kept.append(each)
        self._waiting = kept

    def flush(self) -> float | None:
        """Write what waits; return in how many seconds to try again if that is not possible, else None."""
        if self.idle and self.last_error is None:
            return None
        taken_at = self._clock()
        batch, forget = self._waiting, self._forget
        records = []
        for each in batch:
            if each.data is None:
                each.data = encode(each.message)
            records.append(JournalRecord(each.execution_id, each.seq, each.data))
        try:
            self._store.commit(records, forget)
        except StorageUnavailable as away:
            if records and forget:
                self._only_forget()
            return self._keep(away)
        self._forget = {}
        self._failures = 0
        self.last_error = None
        self._flushes += 1
        if self._full or self._flushes % SIZE_EVERY == 0:
            self._full = self._store.size() > self._budget
        told = 0
        try:
            for each in batch:
                told += 1
                each.gauge.since = taken_at
                self._confirm(each, len(each.data or b""))
        finally:
            # After a crash those that nobody was told of are written again, which changes nothing.
            del self._waiting[:told]
        return None

    def _only_forget(self) -> None:
        """Make room on a disk that may be full: what is not needed any more goes without anything new."""
        with suppress(StorageUnavailable):
            self._store.commit([], self._forget)
            self._forget = {}

    def _confirm(self, each: _Waiting, size: int) -> None:
        gauge = each.gauge
        gauge.bytes += size
        gauge.confirmed = max(gauge.confirmed, each.seq)
        if each.notify is not None:
            each.notify(each.seq, True)

    def _keep(self, error: StorageUnavailable) -> float:
        self.last_error = error
        self._give_up_excess()
        delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 10))
        self._failures += 1
        for each in self._waiting:
            if each.notify is not None and not each.told:
                each.told = True
                each.notify(each.seq, False)
        return delay

    def _give_up_excess(self) -> None:
        """Past what memory may hold, an execution's records end: a later one without those before is of no use."""
        held = 0
        kept = []
        for each in self._waiting:
            held += len(each.data or b"")
            if each.gauge.lost or held > self._max_kept_bytes:
                each.gauge.lost = True
                self.given_up += 1
                if each.notify is not None and not each.told:
                    each.notify(each.seq, False)
            else:
                kept.append(each)
        self._waiting = kept
