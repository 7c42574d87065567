"""A run rebuilt from its journal: records folded through `Run.apply`, over what the database had. Does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offbook.workflows.checkpoint import base_run
from offbook.workflows.errors import IllegalTransition, NotResumable, OffbookError, StaleMessage
from offbook.workflows.message_codec import RecordUnreadable, decode
from offbook.workflows.messages import Recovered, SignalReceived, TakenUp
from offbook.workflows.plan import Plan
from offbook.workflows.records import JournalRecord, StoredExecution
from offbook.workflows.run import Run
from offbook.workflows.states import ExecutionStatus


class RecordSenseless(OffbookError):
    """A record can be read, and means nothing to its run: no version of ours wrote it for this workflow."""

    def __init__(self, seq: int, detail: str) -> None:
        self.seq = seq
        super().__init__(f"record {seq} means nothing to its execution: {detail}")


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of the records of one execution."""

    applied: int
    refused: int
    """Records that the run refuses as it did when they were new, or that its state has already."""
    broken_at: int | None
    """The first record that cannot be read or is missing; it and all after it are lost."""


def rebuild(stored: StoredExecution, plan: Plan, records: Sequence[JournalRecord]) -> tuple[Run, Folded]:
    """Build the run that a stored execution had become when its process went away: live, unless it was at rest."""
    run = base_run(stored, plan)
    try:
        folded = fold(run, records)
    except RecordSenseless as senseless:
        # What it did to the run before it failed is not known: those before it, over a fresh one.
        run = base_run(stored, plan)
        before = fold(run, [record for record in records if record.seq < senseless.seq])
        folded = Folded(before.applied, before.refused, senseless.seq)
    if not run.status.at_rest:
        run.status = ExecutionStatus.RECOVERING
    return run, folded


def claimed_epoch(stored: StoredExecution, run: Run) -> int:
    """Return the epoch of a resume that was stored and never begun; 0 if there is none."""
    claimed = not ExecutionStatus(stored.status).at_rest and stored.epoch > run.epoch
    return stored.epoch if claimed and run.status.resumable else 0


def fold(run: Run, records: Sequence[JournalRecord]) -> Folded:
    """Apply what was recorded after the state that this run was loaded with; effects are dropped.

    RecordSenseless for a record after which the run is not to be used.
    """
    applied = refused = 0
    for record in records:
        if record.seq <= run.journal_seq:
            refused += 1
            continue
        if record.seq != run.journal_seq + 1:
            return Folded(applied, refused, run.journal_seq + 1)
        try:
            message = decode(record.data)
        except RecordUnreadable:
            return Folded(applied, refused, record.seq)
        run.journal_seq = record.seq
        try:
            run.apply(message)
            applied += 1
        except IllegalTransition:
            if isinstance(message, SignalReceived):
                # Its node is not there yet: in `exit` what led to it was not recorded.
                run.signals[message.name] = message.payload
            elif isinstance(message, Recovered) and message.epoch > run.epoch:
                # In `exit` it rests earlier than it did: a cancel finds nothing in flight. That epoch was shown.
                run.apply(TakenUp(message.epoch, message.at))
            refused += 1
        except (StaleMessage, NotResumable):
            refused += 1
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise RecordSenseless(record.seq, f"{type(error).__name__}: {error}") from error
    return Folded(applied, refused, None)
