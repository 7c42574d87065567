"""How far a worker is with its drain: which executions are still to be stored. Interrupts none of them."""

from __future__ import annotations

from collections.abc import Iterable

from loguru import logger

from offbook.actors.directory import Entry
from offbook.actors.loop import LoopFuture
from offbook.workflows.states import Durability


class Drain:
    """The end of a worker, from the first request on."""

    def __init__(self, execution_ids: Iterable[str]) -> None:
        self._left = set(execution_ids)
        self._total = len(self._left)
        self.aborts = False
        """Whether the calls in flight are aborted, and not waited for."""
        self.finished = LoopFuture()
        """Resolved with how many were checkpointed."""
        self._check()

    @property
    def total(self) -> int:
        return self._total

    def stored(self, execution_id: str) -> None:
        """An execution is at rest and stored, or is none any more."""
        self._left.discard(execution_id)
        self._check()

    def _check(self) -> None:
        if not self._left and not self.finished.done():
            self.finished.set(self._total)


def tell_how_it_goes_on(entries: Iterable[Entry]) -> None:
    """Say in the log what the next start has of the executions that could not be stored."""
    left = [entry.run.durability for entry in entries if entry.accepted and not entry.saved]
    unrecorded = left.count(Durability.EXIT)
    if len(left) > unrecorded:
        logger.error("the next start goes on from the journal", executions=len(left) - unrecorded)
    if unrecorded:
        logger.error(
            "the next start goes on from the last checkpoint, or begins again: there is no journal of these",
            executions=unrecorded,
        )
