"""What must be true once all is over: nothing lost, nothing stuck, nothing repeated that promise 2 says is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from offbook.workflows.values import JsonObject
from tests.chaos.book import CONCURRENCY, Call, expected_calls, expected_result, precedes
from tests.chaos.clients import Clients
from tests.chaos.ledger import Computation, Ledger

LAG_SECONDS = 0.05
"""The lag bound of `async`."""
SLACK_SECONDS = 0.25
"""What a busy machine may put between an answer being given and the worker taking it in."""


@dataclass(slots=True)
class Verdict:
    """What was found, and figures to print."""

    faults: list[str] = field(default_factory=list)
    books: int = 0
    cancelled: int = 0
    computations: int = 0
    repeats: int = 0
    widest_lag: float = 0.0
    """Seconds: how long before a later call began the oldest answer was given that was computed again."""

    def counts(self) -> dict[str, int]:
        """Return what may be added up over several campaigns."""
        return {
            "books": self.books,
            "cancelled": self.cancelled,
            "computations": self.computations,
            "repeats": self.repeats,
        }

    def __str__(self) -> str:
        return (
            f"{self.books} books, {self.cancelled} of them cancelled, {self.computations} computations, "
            f"{self.repeats} repeats, widest lag {1000 * self.widest_lag:.0f} ms"
        )


def audit(
    ledger: Ledger, clients: Clients, ended: dict[int, JsonObject], listed: set[str], durability: str
) -> Verdict:
    """Hold what the outside saw and what the clients were promised against what there is now."""
    verdict = Verdict(books=len(clients.accepted), computations=ledger.computations)
    faults = verdict.faults
    for number, execution_id in clients.accepted.items():
        calls = ledger.books.get(number, [])
        for fault in _check_book(number, execution_id, calls, ledger, clients, ended[number]):
            faults.append(f"book {number} ({execution_id}): {fault}")
        for fault in _check_repeats(calls, durability, verdict):
            faults.append(f"book {number} ({execution_id}): {fault}")
        faults.extend(_check_receipt(number, calls, ended[number], durability))
    accepted = set(clients.accepted.values())
    if listed != accepted:
        faults.append(f"{len(listed - accepted)} executions nobody started, {len(accepted - listed)} lost")
    unknown = set(ledger.books) - set(clients.accepted)
    if unknown:
        faults.append(f"books {sorted(unknown)} were computed and never accepted")
    verdict.cancelled = sum(1 for each in ended.values() if each["status"] == "cancelled")
    return verdict


def _check_book(
    number: int, execution_id: str, calls: list[Computation], ledger: Ledger, clients: Clients, status: JsonObject
) -> Iterator[str]:
    """Yield what is wrong with a book's end."""
    ids = ledger.execution_ids.get(number, {execution_id})
    if ids != {execution_id}:
        yield f"computed under {ids}"
    if number in clients.cancelled:
        if status["status"] != "cancelled":
            yield f"its cancel was accepted, and it is {status['status']}"
        life = clients.cancelled[number]
        if any(each.life > life for each in calls):
            yield "computed in a life after the one in which its cancel was accepted"
        return
    if status["status"] == "cancelled":
        return  # the answer to the cancel was lost
    if status["status"] != "completed":
        yield f"is {status['status']}: {status['error']}"
        return
    if status["result"] != expected_result(number):
        yield f"has the result {str(status['result'])[:300]}"
    made = {each.call for each in calls}
    expected = expected_calls(number)
    if made != expected:
        yield f"calls missing {expected - made}, calls too many {made - expected}"
    if (
        status["node_results"]["chapters"]["items"]["completed"]
        != status["node_results"]["chapters"]["items"]["total"]
    ):
        yield "its status does not count all chapters"


def _check_repeats(calls: list[Computation], durability: str, verdict: Verdict) -> Iterator[str]:
    """Yield each call that was computed again though its output was recorded, or had to be."""
    lives: dict[Call, set[int]] = {}
    for position, each in enumerate(calls):
        before = lives.setdefault(each.call, set())
        if each.life in before:
            yield f"{each.call} was computed twice in one life"
        if before:
            verdict.repeats += 1
            if durability != "exit":
                yield from _check_repeat(position, calls, durability, verdict)
        before.add(each.life)
    if durability == "sync":
        yield from _check_in_flight(calls)


def _check_repeat(position: int, calls: list[Computation], durability: str, verdict: Verdict) -> Iterator[str]:
    """Hold one repeat against the calls that began before it and needed its output.

    In `sync` there may be none: their start says that the output was on disk. In `async` they began within the lag.
    """
    repeat = calls[position]
    first = next(each for each in calls if each.call == repeat.call and each.life < repeat.life)
    after = [each for each in calls[:position] if each.life < repeat.life and precedes(repeat.call, each.call)]
    for later in after:
        if durability == "sync":
            yield f"{repeat.call} was computed again though {later.call} had begun"
        elif first.ended_at is not None and later.life == first.life:
            lag = later.begun_at - first.ended_at
            verdict.widest_lag = max(verdict.widest_lag, lag)
            if lag > LAG_SECONDS + SLACK_SECONDS:
                yield f"{repeat.call} was computed again though {later.call} had begun {lag:.3f} s after it"


def _check_in_flight(calls: list[Computation]) -> Iterator[str]:
    """Chapters run so many at a time: no more of them can have been in flight at one kill."""
    for life in sorted({each.life for each in calls}):
        earlier = {each.call for each in calls if each.life < life}
        again = [each.call for each in calls if each.life == life and each.call in earlier]
        chapters = [call for call in again if call.node == "chapters"]
        if len(chapters) > CONCURRENCY:
            yield f"{len(chapters)} chapters were computed again in life {life}, and only {CONCURRENCY} run at a time"


def _check_receipt(number: int, calls: list[Computation], status: JsonObject, durability: str) -> Iterator[str]:
    """In `sync` the engine knows of every repeat that the outside saw."""
    seen: set[Call] = set()
    repeats = 0
    for each in calls:
        repeats += each.call in seen
        seen.add(each.call)
    reported = status["receipt"]["repeated_calls"] if status["receipt"] else 0
    if durability == "sync" and status["status"] == "completed" and reported < repeats:
        yield f"book {number}: {repeats} calls were repeated, and its receipt says {reported}"
