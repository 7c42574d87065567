"""Resuming an execution as another user: when that may be, and that it is told. Changes no run itself."""

from __future__ import annotations

from loguru import logger

from offbook.actors.execution_messages import ResumeExecution
from offbook.workflows.errors import ExecutionUserMissing, Forbidden, NotResumable
from offbook.workflows.messages import ResumeRequested
from offbook.workflows.run import Run
from offbook.workflows.values import ExecutionUser


def user_to_be(run: Run, message: ResumeExecution, under_way: ResumeRequested | None) -> ExecutionUser | None:
    """Return on whose behalf a resume lets a run go on, if that changes; None if it stays as it is.

    Of the user that it has, neither role nor tier change on the way. Forbidden for another one unless that is meant,
    NotResumable if it goes on already, or is about to, on somebody else's behalf than is asked for.
    """
    if run.user is None:
        raise ExecutionUserMissing(run.execution_id)
    other = message.user if message.user is not None and message.user.id != run.user.id else None
    if other is not None and not message.as_other_user:
        raise Forbidden(run.execution_id, "it runs on behalf of another user, and is resumed only for that one")
    if under_way is not None and under_way.user != other:
        raise NotResumable(run.execution_id, run.status, "it is being resumed, on behalf of another user")
    if under_way is None and other is not None and not run.status.at_rest:
        advice = f"it goes on, on behalf of {run.user.id}: pause or cancel it first"
        raise NotResumable(run.execution_id, run.status, advice)
    return other


def audit(run: Run, resuming: ResumeRequested) -> None:
    """Log that a run, which is as it was, goes on as another user from here on."""
    if resuming.user is not None:
        logger.bind(audit=True).info(
            "execution resumed as another user",
            execution_id=run.execution_id,
            epoch=resuming.epoch,
            was=run.user.id if run.user else None,
            user=resuming.user.id,
        )
