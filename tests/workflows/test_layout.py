"""Where nodes are drawn: below what they need, apart from each other, with few crossings."""

from __future__ import annotations

import time
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from offbook.workflows.layout import GAP, HEIGHT, WIDTH, Layout, lay_out

Needs = list[list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Needs:
    size = draw(st.integers(1, 25))
    return [sorted(draw(st.sets(st.integers(0, node - 1), max_size=3))) if node else [] for node in range(size)]


@given(graphs())
def test_nodes_are_below_what_they_need_and_never_overlap(needs: Needs) -> None:
    layout = lay_out(needs)
    for node, before in enumerate(needs):
        for need in before:
            assert layout.corners[need][1] + HEIGHT < layout.corners[node][1]
    for (x, y), (other_x, other_y) in combinations(layout.corners, 2):
        assert y != other_y or abs(x - other_x) >= WIDTH + GAP - 0.2
    for x, y in layout.corners:
        assert -0.2 <= x <= layout.width - WIDTH + 0.2
        assert 0 <= y <= layout.height - HEIGHT


@given(graphs())
def test_every_edge_goes_from_the_bottom_of_one_node_down_to_the_top_of_the_other(needs: Needs) -> None:
    layout = lay_out(needs)
    assert {(edge.source, edge.target) for edge in layout.edges} == {
        (need, node) for node, before in enumerate(needs) for need in before
    }
    for edge in layout.edges:
        first, last = edge.points[0], edge.points[-1]
        assert abs(first[0] - layout.corners[edge.source][0] - WIDTH / 2) < 0.2
        assert first[1] == layout.corners[edge.source][1] + HEIGHT
        assert last[1] == layout.corners[edge.target][1]
        heights = [y for _, y in edge.points]
        assert heights == sorted(heights)


@given(graphs())
def test_layout_of_a_graph_is_always_the_same(needs: Needs) -> None:
    assert lay_out(needs) == lay_out(needs)


def test_long_edges_go_around_the_nodes_between() -> None:
    layout = lay_out([[], [0], [1], [2], [0, 3]])
    (edge,) = [each for each in layout.edges if (each.source, each.target) == (0, 4)]
    for x, y in edge.points[1:-1]:
        for left, top in layout.corners:
            assert not (left < x < left + WIDTH and top < y < top + HEIGHT)


def test_crossings_that_need_not_be_are_removed() -> None:
    # Two chains, written so that the order of the document crosses them.
    layout = lay_out([[], [], [1], [0], [3], [2]])
    assert _crossings(layout) == 0


def test_chain_is_one_straight_line() -> None:
    layout = lay_out([[], [0], [1]])
    assert len({x for x, _ in layout.corners}) == 1
    assert layout.width == WIDTH


def test_two_hundred_nodes_take_a_moment_and_ten_thousand_edges_no_minute() -> None:
    began = time.thread_time()
    lay_out([[node - 1, node // 2] if node > 1 else [0] * node for node in range(200)])
    assert time.thread_time() - began < 5
    wide = lay_out([[], *([0] for _ in range(3000)), list(range(1, 3001))])
    assert len(wide.edges) == 6000


def test_empty_graph_is_an_empty_picture() -> None:
    assert lay_out([]) == Layout(0.0, 0.0, (), ())


def _crossings(layout: Layout) -> int:
    lines = [(edge.points[0], edge.points[-1]) for edge in layout.edges]
    return sum(
        (a[0] - c[0]) * (b[0] - d[0]) < 0
        for (a, b), (c, d) in combinations(lines, 2)
        if a[1] == c[1] and b[1] == d[1]
    )
