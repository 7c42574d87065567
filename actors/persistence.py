"""The only place that writes to the database: takes all that waits in its mailbox as one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from loguru import logger
from pykka import ActorDeadError, ActorRef, ThreadingActor

from offbook.actors.messages import FlushWrites, PersistenceMessage, StoreWrite, WriteDone, WriteFailed
from offbook.persistence.group_commit import GroupCommit

MAX_GATHERED = 1000
"""Writes gathered before they are committed even if more wait."""


class PersistenceActor(ThreadingActor):
    """Commits writes in groups on a thread of its own; while the database is away it keeps what must be kept."""

    use_daemon_thread = True

    def __init__(self, group: GroupCommit, *, later: Callable[[float, Callable[[], None]], None]) -> None:
        """`later(seconds, function)` calls a function after a while, from any thread."""
        super().__init__()
        self._group = group
        self._later = later
        self._retry_armed = False
        self._log = logger.bind(actor="persistence")

    def on_receive(self, message: PersistenceMessage) -> None:
        match message:
            case StoreWrite():
                self._add(message)
            case FlushWrites():
                self._retry_armed = False
            case _:
                assert_never(message)
        if self._group.pending >= MAX_GATHERED or self.actor_inbox.empty():
            self._flush()

    def on_stop(self) -> None:
        self._flush()

    def _add(self, message: StoreWrite) -> None:
        write, reply_to = message.write, message.reply_to

        def reply(answer: WriteDone | WriteFailed) -> None:
            if reply_to is None:
                return
            try:
                reply_to.tell(answer)
            except ActorDeadError:
                self._log.debug("nobody waits for this write any more", write=type(write).__name__)

        def fail(error: Exception) -> None:
            reply(WriteFailed(write, error))

        self._group.add(
            write,
            on_done=lambda result: reply(WriteDone(write, result)),
            on_refused=None if message.keep_trying else fail,
            on_error=fail,
        )

    def _flush(self) -> None:
        delay = self._group.flush()
        if delay is None or self._retry_armed:
            return
        self._log.warning(
            "database is away, writes are kept",
            waiting=self._group.pending,
            retry_in=delay,
            why=str(self._group.last_error),
        )
        self._retry_armed = True
        self._later(delay, self._wake)

    def _wake(self) -> None:
        if self.actor_ref.is_alive():
            self.actor_ref.tell(FlushWrites())
