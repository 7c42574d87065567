"""Cycles and ancestry of graphs, against plain definitions of both."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from offbook.workflows.graph import Ancestry, find_cycles

Graph = dict[str, list[str]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) for name in names}


@st.composite
def acyclic_graphs(draw: st.DrawFn) -> Graph:
    names = [f"n{i}" for i in range(draw(st.integers(1, 12)))]
    before = {
        name: draw(st.lists(st.sampled_from(names[:i]), max_size=3, unique=True)) if i else []
        for i, name in enumerate(names)
    }
    return {name: before[name] for name in draw(st.permutations(names))}


def reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    stack = list(graph[start])
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(graph[node])
    return found


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_ancestry_is_what_can_be_reached(graph: Graph) -> None:
    ancestry = Ancestry(graph)
    for node in graph:
        assert {other for other in graph if ancestry.is_after(node, other)} == reached(graph, node)
        assert ancestry.is_after_any(node, graph) == bool(reached(graph, node))


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_each_cycle_is_one_and_each_knot_has_one(graph: Graph) -> None:
    cycles = find_cycles(graph)
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        for node, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert node in graph[following]
    in_knots = {node for node in graph if node in reached(graph, node)}
    named = {node for cycle in cycles for node in cycle}
    assert named <= in_knots
    for node in in_knots:
        knot = {other for other in reached(graph, node) if node in reached(graph, other)}
        assert sum(bool(knot & set(cycle)) for cycle in cycles) == 1


@settings(max_examples=100, deadline=None)
@given(acyclic_graphs())
def test_graph_without_cycle_has_none(graph: Graph) -> None:
    assert find_cycles(graph) == []


@settings(max_examples=100, deadline=None)
@given(acyclic_graphs(), st.data())
def test_edge_back_makes_a_cycle(graph: Graph, data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(sorted(graph)))
    upstream = sorted(reached(graph, node))
    if not upstream:
        return
    root = data.draw(st.sampled_from(upstream))
    graph[root] = [*graph[root], node]
    assert any(root in cycle or node in cycle for cycle in find_cycles(graph))


def test_shortest_cycle_is_named() -> None:
    graph = {"a": ["d", "b"], "b": ["a"], "c": ["b"], "d": ["c"]}
    assert find_cycles(graph) == [["a", "b"]]


def test_long_line_needs_no_recursion() -> None:
    graph = {f"n{i}": [f"n{i - 1}"] if i else [] for i in range(20_000)}
    assert find_cycles(graph) == []
    assert Ancestry(graph).is_after("n19999", "n0")
    graph["n0"] = ["n19999"]
    assert len(find_cycles(graph)[0]) == 20_000
