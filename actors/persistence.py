"""The only place that writes to the database: takes all that waits in its mailbox as one transaction."""

from __future__ import annotations

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.relay import Relay, RelayedActor
from offbook.actors.storage_messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.surroundings import Teller
from offbook.persistence.group_commit import GroupCommit
from offbook.workflows.errors import StorageUnavailable


class PersistenceActor(RelayedActor):
    """Commits writes in groups on a thread of its own; while the database is away it keeps what must be kept."""

    def __init__(self, relay: Relay, group: GroupCommit) -> None:
        super().__init__(relay)
        self._group = group
        self._log = logger.bind(actor="persistence")

    def take(self, message: StoreWrite) -> None:
        gather(self._group, message)

    def refuse(self, message: StoreWrite, reason: str) -> None:
        if isinstance(message, StoreWrite) and message.reply_to is not None:
            error = StorageUnavailable(f"this write cannot be taken: {reason}")
            _tell(message.reply_to, WriteFailed(message.write, error))

    def flush(self) -> float | None:
        was_well = self._group.last_error is None
        delay = self._group.flush()
        away = self._group.last_error
        if was_well and away is not None:
            self._log.warning("database is away, writes are kept", waiting=self._group.pending, why=away.detail)
        elif away is None and not was_well:
            self._log.info("database is back")
        return delay


def gather(group: GroupCommit, message: StoreWrite) -> None:
    """Add a write to a group; its sender is told what became of it."""
    write, reply_to = message.write, message.reply_to

    def reply(answer: WriteDone | WriteFailed) -> None:
        if reply_to is not None:
            _tell(reply_to, answer)

    def fail(error: Exception) -> None:
        reply(WriteFailed(write, error))

    group.add(
        write,
        on_done=lambda result: reply(WriteDone(write, result)),
        on_refused=None if message.keep_trying else fail,
        on_error=fail,
    )


def _tell(reply_to: Teller, answer: WriteDone | WriteFailed) -> None:
    try:
        reply_to.tell(answer)
    except ActorDeadError:
        logger.debug("nobody waits for this write any more", write=type(answer.write).__name__)
