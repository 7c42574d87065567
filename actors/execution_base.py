"""What every part of an execution's actor uses: its state, who waits for it, whom it tells. Changes no run."""

from __future__ import annotations

import asyncio
from types import TracebackType

from loguru import logger
from pykka import ActorDeadError

from offbook.actors.execution_messages import RetireExecution, StatusAnswer
from offbook.actors.loop import LoopActor, LoopFuture
from offbook.actors.publisher import Publisher
from offbook.actors.purse import Purse
from offbook.actors.recorder import Recorder
from offbook.actors.storage_messages import StoreWrite
from offbook.actors.supervisor_messages import ExecutionCrashed, SupervisorMessage
from offbook.actors.surroundings import Surroundings
from offbook.persistence.group_journal import JournalGauge
from offbook.workflows.messages import CancelRequested, PauseRequested, ResumeRequested
from offbook.workflows.records import Write
from offbook.workflows.run import Run


class ExecutionBase(LoopActor):
    """The state of an actor, and what its parts share."""

    registered = False
    _publisher: Publisher | None = None
    """There is one while somebody watches."""
    _retiring: RetireExecution | None = None
    """That it may leave memory, once nobody watches any more."""

    def __init__(
        self, run: Run, around: Surroundings, *, inserted: bool, saved: bool, gauge: JournalGauge | None = None
    ) -> None:
        """Take over a run; say whether the database has its row, and whether it has its present state.

        `gauge`: that of the actor before this one, if it crashed.
        """
        super().__init__()
        self._run = run
        self._around = around
        self._shown = run.status
        self._answer: StatusAnswer | None = None
        """The status as it is now, once somebody has asked for it."""
        self._changes: list[tuple[int, LoopFuture, float]] | None = None
        """Who waits for a later revision than which, and until when."""
        self._rest_waiters: list[LoopFuture] | None = None
        self._pending: LoopFuture | None = None
        """Who waits for the insert or claim that is under way."""
        self._resuming: ResumeRequested | None = None
        """What happens once the claim that is under way is stored."""
        self._deferred: list[tuple[str, CancelRequested | PauseRequested, LoopFuture]] = []
        """Commands that came while a claim was under way."""
        self._begin = False
        self._timer: asyncio.TimerHandle | None = None
        self._inserted = inserted
        self._saved = saved
        self._veiled: list[tuple[int | None, LoopFuture]] = []
        """Who asked for the status before what it would show was on disk."""
        self._recorder = Recorder(run, around, self.actor_ref, gauge)
        self._purse: Purse | None = None
        """What it asks its user's account; None while no budget is about it."""
        self._last_save = 0
        """Which save has the state as it is now; those before it do not make it stored."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancel_timer()
        if self._pending is not None and exception_value is not None:
            self._pending.set_exception((type(exception_value), exception_value, traceback))
        self._let_go()
        reason = f"{type(exception_value).__name__}: {exception_value}"
        self._tell_supervisor(
            ExecutionCrashed(
                self.actor_ref,
                self._run.execution_id,
                self._run,
                self._inserted,
                reason,
                claimed=self._resuming.epoch if self._resuming is not None else 0,
                gauge=self._recorder.gauge,
            )
        )

    def on_stop(self) -> None:
        self._cancel_timer()
        self._let_go()

    def _let_go(self) -> None:
        """Nobody is to wait for an actor that is no more."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()
        self._resolve_changes(everything=True)
        waiters, self._rest_waiters = self._rest_waiters, None
        veiled, self._veiled = self._veiled, []
        deferred, self._deferred = self._deferred, []
        self._recorder.abandon()
        for future in [*(waiters or ()), *(each[1] for each in veiled), *(each[2] for each in deferred)]:
            future.set_exception((ActorDeadError, ActorDeadError(f"{self} not found"), None))

    def _refuse(self, reason: str, detail: str) -> None:
        around = self._around
        around.dead_letters.add(around.clock(), reason, self._run.execution_id, detail)
        logger.debug("message refused", execution_id=self._run.execution_id, reason=reason, why=detail)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_and_wait(self, write: Write) -> LoopFuture:
        future: LoopFuture = LoopFuture()
        self._pending = future
        self._around.persistence.tell(StoreWrite(write, self.actor_ref))
        return future

    def _take_pending(self) -> LoopFuture:
        future, self._pending = self._pending, None
        assert future is not None
        return future

    def _resolve_changes(self, *, everything: bool = False) -> None:
        waiting, self._changes = self._changes, None
        revision = self._run.revision
        left = []
        for each in waiting or ():
            since, future, _ = each
            if everything or revision > since:
                future.set(revision)
            else:
                left.append(each)
        self._changes = left or None

    def _resolve_rest(self) -> None:
        waiters, self._rest_waiters = self._rest_waiters, None
        for future in waiters or ():
            future.set(self._run.revision)

    def _tell_supervisor(self, message: SupervisorMessage) -> None:
        try:
            self._around.supervisor.tell(message)
        except ActorDeadError:
            logger.warning("supervisor is gone", execution_id=self._run.execution_id, message=type(message).__name__)
