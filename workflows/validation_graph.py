"""Checks of a document's graph: ids, edges, cycles, nodes that can never start."""

from __future__ import annotations

import re

from offbook.workflows.document_view import DocumentView, NodeView
from offbook.workflows.graph import Ancestry, find_cycles
from offbook.workflows.report import Report, did_you_mean

_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")


def check_graph(view: DocumentView, report: Report) -> Ancestry:
    """Report what is wrong with ids and edges; return what is upstream of what, as far as it can be known."""
    _check_ids(view, report)
    _check_edges(view, report)
    needs = _readable_needs(view)
    cycles = find_cycles(needs)
    _report_cycles(view, cycles, report)
    ancestry = Ancestry(needs)
    for node in view.by_id.values():
        assert node.id is not None
        before = next((cycle for cycle in cycles if ancestry.is_after_any(node.id, cycle)), None)
        if before is not None and not ancestry.is_after(node.id, node.id):
            report.add(
                "unreachable",
                f"`{node.id}` can never start: it comes after the cycle {_written(before)}",
                node.path,
                node_id=node.id,
                hint="break the cycle",
            )
    return ancestry


def _check_ids(view: DocumentView, report: Report) -> None:
    taken = set(view.by_id)
    for node in view.nodes:
        if node.id is None:
            continue
        path = f"{node.path}.id"
        if not _ID.fullmatch(node.id):
            suggestion = _suggest_id(node.id, taken)
            taken.add(suggestion)
            report.add(
                "bad-id",
                f"`{node.id}` is no id: small letters, digits and _, beginning with a letter, at most 64",
                path,
                node_id=node.id,
                hint=f"write `{suggestion}`, and put the text in `label`",
            )
        first = view.by_id[node.id]
        if first is not node:
            suggestion = _suggest_id(f"{node.id}_2", taken)
            taken.add(suggestion)
            report.add(
                "duplicate-id",
                f"`{node.id}` is the id of {first.path} too",
                path,
                node_id=node.id,
                hint=f"write `{suggestion}`",
            )


def _suggest_id(written: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "_", written.lower()).strip("_")
    if not base or not base[0].isalpha():
        base = f"node_{base}".rstrip("_")
    base = base[:60]
    suggestion, number = base, 2
    while suggestion in taken:
        suggestion, number = f"{base}_{number}", number + 1
    return suggestion


def _check_edges(view: DocumentView, report: Report) -> None:
    for node in view.nodes:
        seen: set[str] = set()
        for need in node.needs:
            if need.node == node.id:
                report.add(
                    "self-edge",
                    f"`{need.node}` needs itself",
                    need.path,
                    node_id=node.id,
                    hint="remove it from `needs`",
                )
            elif need.node not in view.by_id:
                report.add(
                    "unknown-node",
                    f"`{node.name}` needs `{need.node}`, which does not exist",
                    need.path,
                    node_id=node.id,
                    hint=did_you_mean(need.node, view.by_id) or "add that node, or remove it from `needs`",
                )
            elif need.node in seen:
                report.add(
                    "duplicate-edge",
                    f"`{node.name}` needs `{need.node}` twice",
                    need.path,
                    node_id=node.id,
                    hint="keep one; join conditions with `or`",
                )
            seen.add(need.node)


def _readable_needs(view: DocumentView) -> dict[str, list[str]]:
    return {
        node_id: [need.node for need in node.needs if need.node in view.by_id and need.node != node_id]
        for node_id, node in view.by_id.items()
    }


def _report_cycles(view: DocumentView, cycles: list[list[str]], report: Report) -> None:
    for cycle in cycles:
        first, last = view.by_id[cycle[0]], cycle[-1]
        report.add(
            "cycle",
            f"these nodes wait for each other: {_written(cycle)}",
            _need_path(first, last),
            node_id=first.id,
            hint=f"remove `{last}` from the `needs` of `{first.id}`, or another edge of the cycle",
        )


def _need_path(node: NodeView, needed: str) -> str:
    return next((need.path for need in node.needs if need.node == needed), node.path)


def _written(cycle: list[str]) -> str:
    return " -> ".join([*cycle, cycle[0]])
