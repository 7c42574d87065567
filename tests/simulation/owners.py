"""Whose an execution may be, as a client knows it who lets other users go on with it. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pykka import ActorDeadError

from offbook.workflows.errors import NotResumable

EVERY = 3
"""Which resumes are as another user: one of so many, so that seeds are played as they were without them."""


@dataclass(slots=True)
class Owners:
    """Users in the order in which they were named, from the first whose it may still be."""

    possible: list[str]
    doubtful: dict[str, int] = field(default_factory=dict)
    """Users as whom a resume failed, and in which process: in that one it is not theirs."""

    def ask(
        self, user: str, incarnation: Callable[[], int]
    ) -> tuple[Callable[[], None], Callable[[BaseException], None]]:
        """Name a user; return what is to hear that the resume was accepted, and that it was not."""
        self.possible.append(user)

        def accepted() -> None:
            # What was asked before it was answered before it, or is never answered.
            self.possible = self.possible[self.possible.index(user) :]

        def refused(error: BaseException) -> None:
            if isinstance(error, NotResumable):
                self.possible.remove(user)
            elif not isinstance(error, ActorDeadError):
                # It may have been on its way to the journal when its actor crashed: then it goes on so.
                self.doubtful[user] = incarnation()

        return accepted, refused

    def may_be(self, user: str, incarnation: int) -> bool:
        """Say whether it may be this user's in the end, in this process."""
        return user in self.possible and self.doubtful.get(user) != incarnation
