"""The slots of calls that are under way, and those that wait for one. Starts nothing itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offbook.actors.calls import Call


class Slots:
    """So many calls at once; the others in the order they came, those that go on before those that begin."""

    def __init__(self, most: int, begin: Callable[[Call], None]) -> None:
        """`begin(call)` hears of a call that has not begun, and now has a slot."""
        self._most = most
        self._begin = begin
        self._queue: deque[Call] = deque()
        self.taken = 0

    @property
    def queued(self) -> int:
        return len(self._queue)

    def ask(self, call: Call) -> None:
        """Give a call a slot, now or later."""
        if self.taken < self._most:
            self.taken += 1
            self._begin(call)
        else:
            self._queue.append(call)

    def leave(self, call: Call) -> None:
        """Have a call wait for no slot."""
        if call in self._queue:
            self._queue.remove(call)

    def give_back(self, call: Call) -> None:
        """A call is over, or waits for something else: the next one has its slot."""
        if call.aside is None:
            self.taken -= 1
        while self._queue and self.taken < self._most:
            self._give(self._queue.popleft())

    def step_aside(self, call: Call) -> None:
        """Have a call that is under way keep no slot."""
        self.give_back(call)
        call.aside = asyncio.get_running_loop().create_future()

    async def step_in(self, call: Call) -> None:
        """Wait for a slot again."""
        slot = call.aside
        if slot is None:
            return
        if self.taken < self._most:
            self._give(call)
            return
        self._queue.appendleft(call)
        try:
            await slot
        except asyncio.CancelledError:
            self.leave(call)
            raise

    def _give(self, call: Call) -> None:
        self.taken += 1
        slot, call.aside = call.aside, None
        if slot is None:
            self._begin(call)
        elif not slot.done():
            slot.set_result(None)
