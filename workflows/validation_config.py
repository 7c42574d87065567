"""Checks of what nodes are and how they are set: types, configs, foreach, signals."""

from __future__ import annotations

from offbook.workflows.document import CONTAINER_TYPE, ForeachConfig
from offbook.workflows.document_view import BodyView, DocumentView, NodeView
from offbook.workflows.errors import Problem
from offbook.workflows.graph import Ancestry
from offbook.workflows.item_counts import MAX_ITEMS
from offbook.workflows.report import Report, brief, did_you_mean
from offbook.workflows.shape import ShapeProblem, shape_problems
from offbook.workflows.source_lines import child_path
from offbook.workflows.templates import has_template
from offbook.workflows.types import NodeTypeInfo, NodeTypes
from offbook.workflows.values import JsonValue

_HARMLESS = frozenset({"missing", "extra_forbidden"})
"""Shape errors after which what is there can still be read."""


def check_configs(view: DocumentView, types: NodeTypes, ancestry: Ancestry, report: Report) -> None:
    """Report unknown types, bad configs, and nodes that work on content when nothing upstream makes any."""
    producers = content_producers(view, types)
    signals: dict[str, NodeView] = {}
    for node in view.nodes:
        if node.is_foreach:
            _check_foreach(node, report)
        if node.body is None or (node.is_foreach and node.body.type == CONTAINER_TYPE):
            continue
        info = _known_type(node, node.body, types, report)
        if info is None:
            continue
        _check_config(node, node.body, info, report)
        if info.needs_last_output and node.id is not None and not ancestry.is_after_any(node.id, producers):
            report.add(
                "no-content-upstream",
                f"`{node.id}` works on the last output, and nothing before it produces one",
                node.path,
                node_id=node.id,
                hint=_needs_hint(producers),
            )
        if info.name == "approval":
            _check_signal(node, node.body, signals, report)


def content_producers(view: DocumentView, types: NodeTypes) -> list[str]:
    """Return the ids of nodes whose output counts as a last output; also those of types that are not known."""
    found = []
    for node_id, node in view.by_id.items():
        info = types.get(node.body.type) if node.body is not None and node.body.type is not None else None
        if info is None or info.produces_content:
            found.append(node_id)
    return found


def _needs_hint(producers: list[str]) -> str:
    example = producers[0] if producers else "outline"
    return f"let it need a node that writes something, for example `needs: [{example}]`"


def _known_type(node: NodeView, body: BodyView, types: NodeTypes, report: Report) -> NodeTypeInfo | None:
    if body.type is None:
        return None
    info = types.get(body.type)
    if info is None:
        names = sorted({*types.names(), CONTAINER_TYPE})
        report.add(
            "unknown-type",
            f"the node type `{body.type}` does not exist",
            child_path(body.path, "type"),
            node_id=node.id,
            hint=did_you_mean(body.type, names) or f"known are {', '.join(f'`{name}`' for name in names)}",
        )
    return info


def _check_config(node: NodeView, body: BodyView, info: NodeTypeInfo, report: Report) -> None:
    shape = [
        problem
        for problem in shape_problems(info.config_model, body.config)
        if not _may_be_right(problem, body, info)
    ]
    said: list[Problem] = []
    if all(problem.kind in _HARMLESS for problem in shape):
        said = list(info.check_config(body.config))
    spoken_of = {problem.path for problem in said}
    for problem in shape:
        if problem.path not in spoken_of:
            _report_shape(problem, body.config_path, node.id, report)
    for found in said:
        path = _joined(body.config_path, found.path)
        report.add(found.code, found.message, path, node_id=node.id, hint=found.hint)


def _may_be_right(problem: ShapeProblem, body: BodyView, info: NodeTypeInfo) -> bool:
    """Whether the value is only known when the node runs."""
    if problem.kind in _HARMLESS:
        return False
    value: JsonValue = body.config
    for step in problem.location:
        value = value[step]
    expression = bool(problem.location) and problem.location[0] in info.expression_fields and isinstance(value, str)
    return expression or has_template(value)


def _report_shape(problem: ShapeProblem, base: str, node_id: str | None, report: Report) -> None:
    report.add(problem.code, problem.message, _joined(base, problem.path), node_id=node_id, hint=problem.hint)


def _joined(base: str, relative: str) -> str:
    if not relative:
        return base
    return f"{base}{relative}" if relative.startswith("[") else f"{base}.{relative}"


def _check_foreach(node: NodeView, report: Report) -> None:
    config = node.config
    for problem in shape_problems(ForeachConfig, config):
        _report_shape(problem, node.config_path, node.id, report)
    given = [word for word in ("count", "items") if config.get(word) is not None]
    if len(given) != 1:
        report.add(
            "count-or-items",
            f"a foreach has {'both `count` and `items`' if given else 'neither `count` nor `items`'}",
            child_path(node.config_path, given[0]) if given else node.config_path,
            node_id=node.id,
            hint="give one: `count: 3`, or `items: inputs.topics`",
        )
    count = config.get("count")
    if isinstance(count, int) and not 0 <= count <= MAX_ITEMS:
        limit = "at least 0" if count < 0 else f"at most {MAX_ITEMS}"
        report.add(
            "out-of-range",
            f"`count` must be {limit}, got {brief(count)}",
            child_path(node.config_path, "count"),
            node_id=node.id,
        )
    if node.body is not None and node.body.type == CONTAINER_TYPE:
        report.add(
            "nested-foreach",
            "a foreach cannot be the `do` of a foreach",
            child_path(node.body.path, "type"),
            node_id=node.id,
            hint="make one list of all items and go through it, or use two nodes",
        )


def _check_signal(node: NodeView, body: BodyView, signals: dict[str, NodeView], report: Report) -> None:
    """Signals are told apart by name only, so two nodes must not wait for the same one."""
    name = body.config.get("signal", node.id)
    if not isinstance(name, str) or has_template(name):
        return
    first = signals.setdefault(name, node)
    if first is not node:
        report.add(
            "duplicate-signal",
            f"`{node.name}` waits for the signal `{name}`, as `{first.name}` does",
            body.config_path,
            node_id=node.id,
            hint="give one of them another `signal`",
        )
