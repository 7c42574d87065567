"""What of an execution goes to the journal, and what has to wait until it is on disk. Starts and stores nothing."""

from __future__ import annotations

from typing import Any

from pykka import ActorDeadError, ActorRef

from offbook.actors.loop import LoopFuture
from offbook.actors.storage_messages import AppendRecord, ForgetRecords, RecordConfirmed
from offbook.actors.surroundings import Surroundings, Teller
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.effects import DecideEdges, Effect, ExpandItems, StartNode
from offbook.workflows.message_codec import COMMANDS
from offbook.workflows.messages import (
    BudgetSet,
    CancelRequested,
    NodeBegan,
    NodeHeld,
    NodeProgressed,
    PauseRequested,
    Recovered,
    ResumeRequested,
    RunMessage,
    SignalReceived,
    TakenUp,
)
from offbook.workflows.run import Run
from offbook.workflows.states import Durability
from offbook.workflows.values import JsonObject

LAG_RECORDS = 256
LAG_SECONDS = 0.05
"""How far the journal may be behind an execution in `async` before nothing new starts until it has caught up."""

STARTS = (StartNode, DecideEdges, ExpandItems)
"""Effects that wait, where anything does, for the record of what led to them."""

_OPENINGS = (Recovered, TakenUp, ResumeRequested)
"""Messages that may open an epoch."""
_ANSWERED = (SignalReceived, CancelRequested, PauseRequested, ResumeRequested, BudgetSet)
"""Messages whose sender is answered once they are on disk."""


class Recorder:
    """The journal of one execution, as its actor uses it. Without a journal nothing is recorded and nothing waits."""

    __slots__ = (
        "_around",
        "_asked",
        "_gauge",
        "_held",
        "_journal",
        "_ref",
        "_run",
        "_unanswered",
        "_veil",
    )

    def __init__(self, run: Run, around: Surroundings, ref: ActorRef[Any], gauge: JournalGauge | None = None) -> None:
        """`gauge`: that of the actor or process before this one; what an actor recorded may not be on disk yet."""
        self._run = run
        self._around = around
        self._ref = ref
        self._journal: Teller | None = around.journal
        self._gauge = (gauge or JournalGauge(run.journal_seq)) if around.journal is not None else None
        self._held: list[tuple[int, Effect]] | None = None
        """What starts once a record is on disk."""
        self._asked = gauge.appended if gauge is not None else 0
        """The last record whose confirmation was asked for: commands are among those."""
        self._unanswered: list[tuple[int, LoopFuture, object, bool]] | None = None
        """Whose command is answered, with what, once a record is on disk, and whether nothing less will do."""
        self._veil = 0
        """The record without which nothing may be shown, while it may not be on disk."""
        if gauge is not None and (run.epoch > 1 or run.status.at_rest):
            self._veil = gauge.appended

    @property
    def gauge(self) -> JournalGauge | None:
        """How far the journal is; for the actor that comes after this one."""
        return self._gauge

    def record(self, message: RunMessage) -> int:
        """Have a message recorded; return the record that what starts next has to wait for, or 0."""
        journal, gauge, run = self._journal, self._gauge, self._run
        if journal is None or gauge is None or self._is_only_shown(message):
            return 0
        if run.durability == Durability.EXIT and not _is_command(message):
            return 0
        seq = run.journal_seq = run.journal_seq + 1
        now = self._around.clock()
        if gauge.appended <= gauge.confirmed:
            gauge.since = now
        gauge.appended = seq
        behind = seq - gauge.confirmed > LAG_RECORDS or now - gauge.since > LAG_SECONDS
        wait = run.durability == Durability.SYNC or (run.durability == Durability.ASYNC and behind)
        opens = run.epoch > 1 and isinstance(message, _OPENINGS)
        # What rests and is cancelled stays in its epoch: if the cancel is lost, it must not have been shown.
        opens = opens or (run.status.at_rest and isinstance(message, CancelRequested))
        if opens:
            self._veil = seq
        notify = wait or opens or isinstance(message, _ANSWERED)
        if notify:
            self._asked = seq
        journal.tell(AppendRecord(run.execution_id, seq, message, gauge, self._ref if notify else None))
        return seq if wait else 0

    def _is_only_shown(self, message: RunMessage) -> bool:
        """Whether nothing that is kept follows from a message.

        That a call waits for a limit and has not been made is worth a record, so that it is not charged after a kill.
        In `sync` the record that it is made after all would have to be on disk first: there it counts as made.
        """
        match message:
            case NodeProgressed():
                return True
            case NodeHeld():
                return message.again or self._run.durability != Durability.ASYNC
            case NodeBegan():
                return self._run.durability != Durability.ASYNC
            case _:
                return False

    @property
    def is_degraded(self) -> bool:
        """Whether what happens now may not be found again after a kill."""
        gauge = self._gauge
        return gauge is not None and (gauge.lost or self._around.journal_fault() is not None)

    @property
    def is_veiled(self) -> bool:
        """Whether nothing may be shown yet: after a crash the epoch would begin again, and count from its start."""
        if not self._veil:
            return False
        gauge = self._gauge
        if gauge is None:
            return False
        if gauge.confirmed < self._veil and not gauge.lost and not self._around.journal_fault():
            return True
        self._veil = 0
        return False

    @property
    def is_late(self) -> bool:
        """Whether nothing may start now, though what led to it did not have to wait, or has waited."""
        gauge, run = self._gauge, self._run
        if gauge is None or run.durability != Durability.ASYNC or gauge.lost or self._around.journal_fault():
            return False
        behind = gauge.appended - max(gauge.confirmed, gauge.saved)
        return behind > LAG_RECORDS or (behind > 0 and self._around.clock() - gauge.since > LAG_SECONDS)

    def hold(self, seq: int, effect: Effect) -> None:
        """Keep an effect until a record is on disk."""
        if self._held is None:
            self._held = []
        self._held.append((seq, effect))

    def confirm(self, message: RecordConfirmed) -> list[Effect]:
        """Answer those who waited for a record, and return the effects that did.

        If it is delayed, those too: live executions go on, and say so.
        """
        held, self._held = self._held, None
        ready: list[Effect] = []
        for seq, effect in held or ():
            if seq <= message.seq:
                ready.append(effect)
            else:
                self.hold(seq, effect)
        self._answer(message.seq, on_disk=message.recorded)
        if message.seq >= self._veil and not message.recorded:
            self._veil = 0
        return ready

    def take_held(self) -> list[Effect]:
        """Return the effects that wait, in order, and forget them."""
        held, self._held = self._held, None
        return [effect for _, effect in held or ()]

    def when_recorded(self, value: object = None, *, strict: bool = True) -> LoopFuture:
        """Return a future of a value, resolved when the last command is on disk.

        Not `strict`: or when the journal cannot be written. It may be a command that was heard before; what
        happened since is nobody's to wait for, and no confirmation of it comes.
        """
        future = LoopFuture()
        gauge = self._gauge
        if gauge is None or max(gauge.confirmed, gauge.saved) >= self._asked:
            future.set(value)
        else:
            if self._unanswered is None:
                self._unanswered = []
            self._unanswered.append((self._asked, future, value, strict))
        return future

    def stored(self, through: int) -> None:
        """The database has what the records up to here say: the journal may forget them."""
        journal, gauge = self._journal, self._gauge
        if journal is None or gauge is None or through <= gauge.saved:
            return
        gauge.saved = through
        gauge.bytes = 0
        if through == self._run.journal_seq:
            gauge.lost = False
        journal.tell(ForgetRecords(self._run.execution_id, through))
        self._answer(through, on_disk=True)

    def forget_everything(self) -> None:
        """Another worker has this execution: what is recorded here must never be folded over its state."""
        if self._journal is not None:
            self._journal.tell(ForgetRecords(self._run.execution_id, self._run.journal_seq))

    def abandon(self) -> None:
        """The actor is no more: nobody is to wait for it."""
        unanswered, self._unanswered = self._unanswered, None
        for _, future, _, _ in unanswered or ():
            future.set_exception((ActorDeadError, ActorDeadError(f"{self._ref} not found"), None))

    def figures(self) -> JsonObject | None:
        """Return state, records and bytes since the last checkpoint, and lag in ms; None without a journal."""
        gauge = self._gauge
        if gauge is None:
            return None
        # What is in the database is neither behind nor kept, whatever the journal is still at.
        behind = gauge.appended > max(gauge.confirmed, gauge.saved)
        records = self._run.journal_seq - gauge.saved
        return {
            "state": "degraded" if self.is_degraded else "ok",
            "records": records,
            "bytes": gauge.bytes if records else 0,
            "lag_ms": round(1000 * max(0.0, self._around.clock() - gauge.since), 3) if behind else 0.0,
        }

    def _answer(self, seq: int, *, on_disk: bool) -> None:
        unanswered, self._unanswered = self._unanswered, None
        for each in unanswered or ():
            waits_for, future, value, strict = each
            if waits_for <= seq and (on_disk or not strict):
                future.set(value)
            else:
                self._unanswered = self._unanswered or []
                self._unanswered.append(each)


def _is_command(message: RunMessage) -> bool:
    """Whether a message is recorded in `exit` too. That a first epoch begins needs no record: its row says so."""
    return isinstance(message, COMMANDS) and not (type(message) is Recovered and message.epoch == 1)
