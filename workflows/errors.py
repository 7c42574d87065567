"""Every error that Offbook raises on purpose. Classes carry data and build their message; they know no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offbook.workflows.values import JsonObject


class OffbookError(Exception):
    """Base of all errors that Offbook raises on purpose."""


class ConfigurationRefused(OffbookError):
    """What a worker is set to cannot be used: whoever starts it has to change it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a workflow document or with inputs."""

    code: str
    """Stable kebab-case word: `cycle`, `unknown-node`, `missing-model`, ..."""
    message: str
    path: str = ""
    """Where in the document: `nodes[2].config.prompt`, `inputs.premise`."""
    node_id: str | None = None
    line: int | None = None
    """Line in the text the document was read from, from 1; None if it was not text."""
    hint: str = ""

    def to_json(self) -> JsonObject:
        return {
            "code": self.code,
            "path": self.path,
            "node_id": self.node_id,
            "line": self.line,
            "message": self.message,
            "hint": self.hint,
        }


class ValidationFailed(OffbookError):
    """A workflow, its inputs or a signal's payload are refused, with every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "; ".join(
            p.message if p.message.startswith(p.path) else f"{p.path}: {p.message}" for p in self.problems
        )
        super().__init__(f"{len(self.problems)} problem(s): {lines}")


class ExecutionNotFound(OffbookError):
    """No execution has this id, or it is not the caller's."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"no execution {execution_id}: check the id, or list executions")


class WorkflowNotFound(OffbookError):
    """No workflow has this name or fingerprint."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"no workflow {reference!r}: register it with POST /workflows, or send the document")


class NodeNotFound(OffbookError):
    """The execution's workflow has no such node or item, or it has no output yet."""

    def __init__(self, execution_id: str, node_id: str, detail: str) -> None:
        self.execution_id = execution_id
        self.node_id = node_id
        super().__init__(f"execution {execution_id}, node {node_id}: {detail}")


class CheckpointNotFound(OffbookError):
    """The execution has no checkpoint."""

    def __init__(self, execution_id: str) -> None:
        self.execution_id = execution_id
        super().__init__(
            f"execution {execution_id} has no checkpoint: there is one after a failure, a pause, "
            "a cancel or a shutdown, until the resumed execution has completed"
        )


class ExecutionUserMissing(OffbookError):
    """An execution is started or resumed without anybody on whose behalf it runs."""

    def __init__(self, execution_id: str | None, node_ids: Sequence[str] = ()) -> None:
        self.execution_id = execution_id
        self.node_ids = tuple(node_ids)
        subject = f"execution {execution_id}" if execution_id else "this execution"
        needed = f" (needed by {', '.join(self.node_ids)})" if self.node_ids else ""
        super().__init__(
            f'{subject} has no execution user{needed}: send "user": {{"id": ...}} or the X-Offbook-User header'
        )


class Forbidden(OffbookError):
    """The caller may not do this, perhaps to an execution."""

    def __init__(self, execution_id: str | None, detail: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"execution {execution_id}: {detail}" if execution_id else detail)


class BudgetNotFound(OffbookError):
    """The user has no budget of this scope and unit."""

    def __init__(self, user_id: str, scope: str, unit: str) -> None:
        self.user_id = user_id
        super().__init__(
            f"{user_id} has no {scope} budget in {unit}: GET /users/{user_id}/budgets lists those there are"
        )


class NotResumable(OffbookError):
    """The execution is in a state from which nothing can be resumed."""

    def __init__(self, execution_id: str, status: str, detail: str = "") -> None:
        self.execution_id = execution_id
        self.status = status
        super().__init__(
            f"execution {execution_id} is {status} and cannot be resumed"
            + (f": {detail}" if detail else ": there is nothing left to do")
        )


class CommandRefused(OffbookError):
    """A cancel, pause, signal or delete does not fit the execution's state."""

    def __init__(self, execution_id: str, command: str, status: str, detail: str) -> None:
        self.execution_id = execution_id
        self.command = command
        self.status = status
        super().__init__(f"execution {execution_id} is {status}: cannot {command}: {detail}")


class IdempotencyConflict(OffbookError):
    """An Idempotency-Key was used before with another request."""

    def __init__(self, key: str, execution_id: str) -> None:
        self.key = key
        self.execution_id = execution_id
        super().__init__(
            f"Idempotency-Key {key!r} belongs to execution {execution_id}, which was started with another "
            "request: use a new key for a new request"
        )


class OverCapacity(OffbookError):
    """The worker runs and queues as many executions as it may."""

    def __init__(self, live: int, queued: int, retry_after: float) -> None:
        self.live = live
        self.queued = queued
        self.retry_after = retry_after
        super().__init__(
            f"{live} executions are live and {queued} queued, which is this worker's limit: "
            f"try again in {retry_after:.0f} s"
        )


class Draining(OffbookError):
    """The worker is shutting down and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("this worker is draining and takes no new executions: send the request to another")


class StorageUnavailable(OffbookError):
    """Database, journal or worker cannot take this now."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"storage cannot be used now: {detail}; nothing was started, try again")


class StatusUnavailable(OffbookError):
    """An actor did not answer in time."""

    def __init__(self, execution_id: str, seconds: float) -> None:
        self.execution_id = execution_id
        super().__init__(f"execution {execution_id} did not answer within {seconds:g} s: try again")


class StaleMessage(OffbookError):
    """A message from another epoch or attempt than the current one; it changes nothing."""


class IllegalTransition(OffbookError):
    """A message that the run's present state does not allow; it changes nothing."""

    def __init__(self, execution_id: str, status: str, message: str) -> None:
        self.execution_id = execution_id
        super().__init__(f"execution {execution_id} is {status}: {message} is not allowed")
