"""The actor that records what happens to executions: takes all that waits in its mailbox as one transaction."""

from __future__ import annotations

from functools import partial
from typing import assert_never

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.relay import Relay, RelayedActor
from offbook.actors.storage_messages import AppendRecord, ForgetRecords, JournalMessage, RecordConfirmed
from offbook.persistence.group_journal import GroupJournal


class JournalActor(RelayedActor):
    """Writes records in groups on a thread of its own; while that is not possible it keeps them and says so."""

    most_gathered = 4000

    def __init__(self, relay: Relay, group: GroupJournal) -> None:
        super().__init__(relay)
        self._group = group

    def take(self, message: JournalMessage) -> None:
        gather(self._group, message)

    def refuse(self, message: JournalMessage, reason: str) -> None:
        if isinstance(message, AppendRecord):
            # Without this record those after it are of no use.
            message.gauge.lost = True
            if message.reply_to is not None:
                _confirm(message, message.seq, recorded=False)

    def flush(self) -> float | None:
        was_well = self._group.last_error is None
        delay = self._group.flush()
        fault = self._group.last_error
        if was_well and fault is not None:
            logger.error("journal cannot be written, records are kept", why=fault.detail)
        elif fault is None and not was_well:
            logger.info("journal can be written again")
        return delay


def gather(group: GroupJournal, message: JournalMessage) -> None:
    """Add a record to a group, or have records forgotten; whoever wants to know is told when it is on disk."""
    match message:
        case AppendRecord(reply_to=None):
            group.append(message.execution_id, message.seq, message.message, message.gauge, None)
        case AppendRecord():
            notify = partial(_confirm, message)
            group.append(message.execution_id, message.seq, message.message, message.gauge, notify)
        case ForgetRecords():
            group.forget(message.execution_id, message.through)
        case _:
            assert_never(message)


def _confirm(message: AppendRecord, seq: int, recorded: bool) -> None:
    assert message.reply_to is not None
    try:
        message.reply_to.tell(RecordConfirmed(seq, recorded))
    except ActorDeadError:
        logger.debug("nobody waits for this record any more", execution_id=message.execution_id)
