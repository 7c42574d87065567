"""Who sends a request: a user, who sees and steers only their own executions, or an operator."""

from __future__ import annotations

from dataclasses import dataclass

from offbook.workflows.values import ExecutionUser


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    user_id: str | None = None
    """None: an operator."""
    role: str = "user"
    tier: str = ""

    @property
    def is_operator(self) -> bool:
        return self.user_id is None

    def may_see(self, user_id: str | None) -> bool:
        """Whether executions of this user are the caller's to see and steer."""
        return self.user_id is None or self.user_id == user_id

    def as_execution_user(self) -> ExecutionUser | None:
        return ExecutionUser(self.user_id, self.role, self.tier) if self.user_id is not None else None


OPERATOR = Caller()
