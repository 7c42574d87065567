"""Graphs as mappings from each node to those it needs: cycles, and what is upstream. Knows no documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

Needs = Mapping[str, Sequence[str]]
"""Each node to those that come right before it; all of them are keys."""


def find_cycles(needs: Needs) -> list[list[str]]:
    """Return one cycle for each knot of nodes that wait for each other: a shortest one, in running order.

    [a, b, c] stands for a -> b -> c -> a; it begins with the first of the knot in the order of `needs`. A node that
    needs only itself is the cycle [a].
    """
    place = {node: index for index, node in enumerate(needs)}
    cycles = []
    for knot in _knots(needs):
        first = min(knot, key=place.__getitem__)
        if len(knot) > 1 or first in needs[first]:
            cycles.append(_cycle_through(first, set(knot), needs))
    return sorted(cycles, key=lambda cycle: place[cycle[0]])


class Ancestry:
    """What each node waits for, directly or not; in a cycle, each node waits for itself too."""

    def __init__(self, needs: Needs) -> None:
        self._place = {node: index for index, node in enumerate(needs)}
        self._bits: dict[str, int] = {}
        # A knot comes after every knot that it needs.
        for knot in _knots(needs):
            before = 0
            for node in knot:
                for need in needs[node]:
                    before |= 1 << self._place[need] | self._bits.get(need, 0)
            for node in knot:
                self._bits[node] = before

    def is_after(self, node: str, other: str) -> bool:
        """Whether a node waits for another."""
        return bool(self._bits[node] >> self._place[other] & 1)

    def is_after_any(self, node: str, others: Iterable[str]) -> bool:
        """Whether a node waits for at least one of the others."""
        bits = self._bits[node]
        return any(bits >> self._place[other] & 1 for other in others)


def _cycle_through(first: str, knot: set[str], needs: Needs) -> list[str]:
    """Search backwards from the first node until it is met again, nearest first."""
    after: dict[str, str] = {}
    queue = [first]
    for node in queue:
        for need in needs[node]:
            if need == first:
                cycle = [first]
                while node != first:
                    cycle.append(node)
                    node = after[node]
                return cycle
            if need in knot and need not in after:
                after[need] = node
                queue.append(need)
    raise AssertionError("a knot has a cycle through each of its nodes")


def _knots(needs: Needs) -> Iterator[list[str]]:
    """Yield the strongly connected components, each after those it needs (Tarjan's algorithm, without recursion)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in needs:
        if root in order:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(root, needs, order, lowest, stack, on_stack, work)
        while work:
            node, rest = work[-1]
            need = next(rest, None)
            if need is not None:
                if need not in order:
                    _enter(need, needs, order, lowest, stack, on_stack, work)
                elif need in on_stack:
                    lowest[node] = min(lowest[node], order[need])
                continue
            work.pop()
            if work:
                parent = work[-1][0]
                lowest[parent] = min(lowest[parent], lowest[node])
            if lowest[node] == order[node]:
                knot: list[str] = []
                while not knot or knot[-1] != node:
                    knot.append(stack.pop())
                on_stack.difference_update(knot)
                yield knot[::-1]


def _enter(
    node: str,
    needs: Needs,
    order: dict[str, int],
    lowest: dict[str, int],
    stack: list[str],
    on_stack: set[str],
    work: list[tuple[str, Iterator[str]]],
) -> None:
    order[node] = lowest[node] = len(order)
    stack.append(node)
    on_stack.add(node)
    work.append((node, iter(needs[node])))
