"""The only place that writes to the database: takes all that waits in its mailbox as one transaction."""

from __future__ import annotations

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.messages import StoreWrite, WriteDone, WriteFailed
from offbook.actors.relay import Relay, RelayedActor
from offbook.persistence.group_commit import GroupCommit


class PersistenceActor(RelayedActor):
    """Commits writes in groups on a thread of its own; while the database is away it keeps what must be kept."""

    def __init__(self, relay: Relay, group: GroupCommit) -> None:
        super().__init__(relay)
        self._group = group
        self._log = logger.bind(actor="persistence")

    def take(self, message: StoreWrite) -> None:
        gather(self._group, message)

    def flush(self) -> float | None:
        delay = self._group.flush()
        if delay is not None:
            self._log.warning(
                "database is away, writes are kept",
                waiting=self._group.pending,
                retry_in=delay,
                why=str(self._group.last_error),
            )
        return delay


def gather(group: GroupCommit, message: StoreWrite) -> None:
    """Add a write to a group; its sender is told what became of it."""
    write, reply_to = message.write, message.reply_to

    def reply(answer: WriteDone | WriteFailed) -> None:
        if reply_to is None:
            return
        try:
            reply_to.tell(answer)
        except ActorDeadError:
            logger.debug("nobody waits for this write any more", write=type(write).__name__)

    def fail(error: Exception) -> None:
        reply(WriteFailed(write, error))

    group.add(
        write,
        on_done=lambda result: reply(WriteDone(write, result)),
        on_refused=None if message.keep_trying else fail,
        on_error=fail,
    )
