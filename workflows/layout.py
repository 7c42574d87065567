"""Where the nodes of a graph are drawn: in layers from top to bottom, with few crossings. Draws nothing itself.

Sugiyama's method: each node below all that it needs, edges that pass layers through places of their own, the order
in a layer by where the neighbours are, and then the horizontal positions that are nearest to the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH = 176.0
HEIGHT = 56.0
GAP = 28.0
"""Between two nodes of a layer."""
LAYER_GAP = 52.0
LANE = 14.0
"""What an edge takes of a layer that it passes."""
ORDER_SWEEPS = 8
POSITION_SWEEPS = 12
MAX_PLACES = 20_000
"""Nodes and passing edges; a graph with more has its long edges drawn straight."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """An edge from one node (its index) to another, and the points it goes through, from top to bottom."""

    source: int
    target: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A picture's size, the left upper corner of each node, and the edges."""

    width: float
    height: float
    corners: tuple[Point, ...]
    edges: tuple[DrawnEdge, ...]


def lay_out(needs: Sequence[Sequence[int]]) -> Layout:
    """Place the nodes of a graph without cycles; `needs[i]` has the indexes of those right before node i."""
    if not needs:
        return Layout(0.0, 0.0, (), ())
    return _Drawing(needs).finish()


class _Drawing:
    """Places are nodes (0 to n - 1) and, after them, what long edges take of the layers that they pass."""

    def __init__(self, needs: Sequence[Sequence[int]]) -> None:
        self._needs = needs
        self._layer = _layers(needs)
        self._above: list[list[int]] = [[] for _ in needs]
        self._below: list[list[int]] = [[] for _ in needs]
        self._lanes: dict[tuple[int, int], list[int]] = {}
        span = sum(self._layer[node] - self._layer[need] - 1 for node, before in enumerate(needs) for need in before)
        for node, before in enumerate(needs):
            for need in before:
                self._connect(need, node, passing=len(needs) + span <= MAX_PLACES)
        self._order: list[list[int]] = [[] for _ in range(max(self._layer) + 1)]
        for place, layer in enumerate(self._layer):
            self._order[layer].append(place)

    def _connect(self, source: int, target: int, *, passing: bool) -> None:
        lanes = []
        last = source
        if passing:
            for layer in range(self._layer[source] + 1, self._layer[target]):
                lane = len(self._layer)
                self._layer.append(layer)
                self._above.append([last])
                self._below.append([])
                self._below[last].append(lane)
                lanes.append(lane)
                last = lane
        self._above[target].append(last)
        self._below[last].append(target)
        self._lanes[source, target] = lanes

    def finish(self) -> Layout:
        self._reduce_crossings()
        middles = self._middles()
        left = min(middles[place] - self._width(place) / 2 for place in range(len(middles)))
        middles = [middle - left for middle in middles]
        pitch = HEIGHT + LAYER_GAP
        nodes = range(len(self._needs))
        edges = []
        for (source, target), lanes in self._lanes.items():
            points = [(middles[source], self._layer[source] * pitch + HEIGHT)]
            for lane in lanes:
                top = self._layer[lane] * pitch
                points += [(middles[lane], top), (middles[lane], top + HEIGHT)]
            points.append((middles[target], self._layer[target] * pitch))
            edges.append(DrawnEdge(source, target, tuple((round(x, 1), y) for x, y in points)))
        return Layout(
            width=round(max(middles[place] + self._width(place) / 2 for place in range(len(middles))), 1),
            height=len(self._order) * pitch - LAYER_GAP,
            corners=tuple((round(middles[node] - WIDTH / 2, 1), self._layer[node] * pitch) for node in nodes),
            edges=tuple(edges),
        )

    def _width(self, place: int) -> float:
        return WIDTH if place < len(self._needs) else LANE

    # The order within layers

    def _reduce_crossings(self) -> None:
        best, fewest = [list(row) for row in self._order], self._crossings()
        for sweep in range(ORDER_SWEEPS):
            if not fewest:
                break
            self._sweep(downward=sweep % 2 == 0)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self._order], crossings
        self._order = best

    def _sweep(self, *, downward: bool) -> None:
        rows = range(1, len(self._order)) if downward else range(len(self._order) - 2, -1, -1)
        for row in rows:
            fixed = self._order[row - 1 if downward else row + 1]
            where = {place: index for index, place in enumerate(fixed)}
            neighbours = self._above if downward else self._below
            now = {place: index for index, place in enumerate(self._order[row])}

            def wanted(
                place: int,
                where: dict[int, int] = where,
                neighbours: list[list[int]] = neighbours,
                now: dict[int, int] = now,
            ) -> float:
                seen = [where[each] for each in neighbours[place] if each in where]
                return sum(seen) / len(seen) if seen else float(now[place])

            self._order[row].sort(key=wanted)

    def _crossings(self) -> int:
        return sum(self._crossings_below(row) for row in range(len(self._order) - 1))

    def _crossings_below(self, row: int) -> int:
        """Count pairs of edges that cross: inversions, counted with a Fenwick tree."""
        where = {place: index for index, place in enumerate(self._order[row + 1])}
        ends = [
            end
            for place in self._order[row]
            for end in sorted(where[each] for each in self._below[place] if each in where)
        ]
        tree = [0] * (len(where) + 1)
        crossings = 0
        for seen, end in enumerate(ends):
            at_most, index = 0, end + 1
            while index:
                at_most += tree[index]
                index &= index - 1
            crossings += seen - at_most
            index = end + 1
            while index < len(tree):
                tree[index] += 1
                index += index & -index
        return crossings

    # Horizontal positions

    def _middles(self) -> list[float]:
        middles = [0.0] * len(self._layer)
        offsets = []
        for row in self._order:
            offset = self._offsets(row)
            offsets.append(offset)
            for place, at in zip(row, offset, strict=True):
                middles[place] = at - offset[-1] / 2
        layers = range(len(self._order))
        for sweep in range(POSITION_SWEEPS):
            for layer in layers if sweep % 2 == 0 else reversed(layers):
                self._settle(self._order[layer], offsets[layer], middles)
        return middles

    def _offsets(self, row: list[int]) -> list[float]:
        """How far right of the first place each place of a row is at least."""
        offsets = [0.0]
        for before, place in pairwise(row):
            offsets.append(offsets[-1] + (self._width(before) + self._width(place)) / 2 + GAP)
        return offsets

    def _settle(self, row: list[int], offsets: list[float], middles: list[float]) -> None:
        """Move a row as near to its neighbours as its order lets it: least squares, by pooling what collides."""
        pools: list[tuple[float, float, int]] = []
        for place, offset in zip(row, offsets, strict=True):
            around = self._above[place] + self._below[place]
            # A lane keeps straight rather than a node keeps to the middle of what it leads to.
            weight = float(len(around)) * (1.0 if place < len(self._needs) else 4.0) or 0.1
            wanted = sum(middles[each] for each in around) / len(around) if around else middles[place]
            pool = ((wanted - offset) * weight, weight, 1)
            while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
                total, heavy, count = pools.pop()
                pool = (total + pool[0], heavy + pool[1], count + pool[2])
            pools.append(pool)
        at = iter(zip(row, offsets, strict=True))
        for total, weight, count in pools:
            for _ in range(count):
                place, offset = next(at)
                middles[place] = total / weight + offset


def _layers(needs: Sequence[Sequence[int]]) -> list[int]:
    """Return the layer of each node: one below the lowest of those it needs."""
    layers = [-1] * len(needs)
    for start in range(len(needs)):
        stack = [start]
        while stack:
            node = stack[-1]
            missing = [need for need in needs[node] if layers[need] < 0]
            if missing:
                stack.extend(missing)
                continue
            layers[node] = 1 + max((layers[need] for need in needs[node]), default=-1)
            stack.pop()
    return layers
