"""What the outside saw of the computations: each call, when and in which life of the worker. Asks no engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.book import Call


@dataclass(slots=True)
class Computation:
    """One time that a call was made."""

    call: Call
    life: int
    begun_at: float
    ended_at: float | None = None


class Ledger:
    """Every computation of every book, in the order in which they began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.life = 0
        """Counts the processes that were the worker, one after the other."""
        self.books: dict[int, list[Computation]] = {}
        self.execution_ids: dict[int, set[str]] = {}
        """Under which execution ids the calls of a book came: there must be one."""
        self.on_begin: Callable[[int, str, Call], None] = lambda number, execution_id, call: None
        self.on_end: Callable[[int, str, Call], None] = lambda number, execution_id, call: None

    @property
    def computations(self) -> int:
        return sum(len(each) for each in self.books.values())

    def begin(self, number: int, key: str, life: int) -> None:
        """A call was made under this idempotency key."""
        execution_id, call = read_key(key)
        self.books.setdefault(number, []).append(Computation(call, life, self._clock()))
        self.execution_ids.setdefault(number, set()).add(execution_id)
        self.on_begin(number, execution_id, call)

    def end(self, number: int, key: str, life: int) -> None:
        """The call gave its answer."""
        execution_id, call = read_key(key)
        for computation in reversed(self.books[number]):
            if computation.call == call and computation.life == life:
                computation.ended_at = self._clock()
                break
        self.on_end(number, execution_id, call)


def read_key(key: str) -> tuple[str, Call]:
    """Read `EXECUTION-NODE[-ITEM]-ATTEMPT`."""
    execution_id, node, *rest = key.split("-")
    item = int(rest[0]) if len(rest) == 2 else None
    return execution_id, Call(node, item, int(rest[-1]))
