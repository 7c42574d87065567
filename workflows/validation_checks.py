"""Checks of a document's checks: that they exist, ask for what makes sense, and stand where they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from offbook.workflows.checks import params_of
from offbook.workflows.document import CONTAINER_TYPE
from offbook.workflows.document_view import BodyView, DocumentView, NodeView
from offbook.workflows.report import Report, brief, did_you_mean
from offbook.workflows.shape import ShapeProblem, shape_problems
from offbook.workflows.source_lines import child_path
from offbook.workflows.templates import has_template
from offbook.workflows.types import CheckKindInfo, CheckKinds
from offbook.workflows.values import JsonValue

_NEVER_CHECKED = frozenset({"wait", "approval"})
"""Types whose output comes from elsewhere: from time, or from a signal that its form checks."""
_WORDS = ("checks", "check_retry", "max_regenerations")


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry of a list of checks."""

    name: str
    params: JsonValue
    path: str
    """Of the entry."""
    params_path: str


def entries_of(checks: JsonValue, path: str) -> Iterator[EntryView]:
    """Yield the entries of a list that can be read."""
    if not isinstance(checks, list | tuple):
        return
    for index, entry in enumerate(checks):
        where = child_path(path, index)
        if isinstance(entry, str):
            yield EntryView(entry, None, where, where)
        elif isinstance(entry, dict) and len(entry) == 1:
            ((name, params),) = entry.items()
            yield EntryView(str(name), params, where, child_path(where, name))


def check_checks(view: DocumentView, kinds: CheckKinds, report: Report) -> None:
    """Report checks that do not exist or ask for what they cannot, in the workflow's lists and at nodes."""
    for name, entries in view.checks.items():
        path = child_path("checks", name)
        if kinds.get(name) is not None:
            report.add("bad-check", f"`{name}` is a check of its own", path, hint="give the list another name")
        for entry in entries_of(entries, path):
            if entry.name in view.checks and kinds.get(entry.name) is None:
                report.add(
                    "bad-check",
                    f"the list `{name}` refers to the list `{entry.name}`",
                    entry.path,
                    hint="a node may refer to several lists; within a list write checks",
                )
            else:
                _check_entry(entry, kinds, {}, None, report)
    for node in view.nodes:
        if node.is_foreach:
            _check_container(node, report)
        if node.body is not None and node.body.type != CONTAINER_TYPE:
            _check_body(node, node.body, view, kinds, report)


def _check_container(node: NodeView, report: Report) -> None:
    for word in _WORDS:
        if word in node.words:
            report.add(
                "bad-check",
                f"`{word}` of a foreach is for what is done for each item",
                child_path(node.path, word),
                node_id=node.id,
                hint=f"write `{word}` under `do`",
            )


def _check_body(node: NodeView, body: BodyView, view: DocumentView, kinds: CheckKinds, report: Report) -> None:
    path = child_path(body.path, "checks")
    if body.checks and body.type in _NEVER_CHECKED:
        report.add(
            "bad-check",
            f"the output of the type `{body.type}` is not checked",
            path,
            node_id=node.id,
            hint="check the node before it" + (", or use its `form`" if body.type == "approval" else ""),
        )
    for entry in entries_of(body.checks, path):
        if entry.name in view.checks and kinds.get(entry.name) is None:
            if entry.params is not None:
                report.add(
                    "bad-check",
                    f"the list `{entry.name}` takes no parameters, got {brief(entry.params)}",
                    entry.path,
                    node_id=node.id,
                    hint=f"write `- {entry.name}`; parameters stand in the list, under the workflow's `checks`",
                )
        else:
            _check_entry(entry, kinds, view.checks, node.id, report)


def _check_entry(
    entry: EntryView, kinds: CheckKinds, lists: dict[str, JsonValue], node_id: str | None, report: Report
) -> None:
    kind = kinds.get(entry.name)
    if kind is None:
        known = [*kinds.names(), *lists]
        listed = ", ".join(f"`{each}`" for each in known)
        report.add(
            "unknown-check",
            f"there is no check `{entry.name}`",
            entry.path,
            node_id=node_id,
            hint=did_you_mean(entry.name, known) or f"known are {listed}; one of your own: `{{function: NAME}}`",
        )
        return
    params = params_of(kind, entry.params)
    if isinstance(params, str) and has_template(params):
        return
    spoken_of = set()
    for problem in shape_problems(kind.params_model, params):
        if not _may_be_right(problem, params):
            path = _place(kind, entry, problem.path)
            spoken_of.add(path)
            message = _said(kind, entry, problem)
            report.add(problem.code, message, path, node_id=node_id, hint=_hint(kind, problem))
    if isinstance(params, dict):
        for found in kind.check_params(params):
            path = _place(kind, entry, found.path)
            if path not in spoken_of:
                report.add(found.code, found.message, path, node_id=node_id, hint=found.hint)


def _said(kind: CheckKindInfo, entry: EntryView, problem: ShapeProblem) -> str:
    if problem.kind == "missing" and entry.params is None:
        return f"the check `{kind.name}` asks for `{problem.location[-1]}`"
    if not problem.path:
        return f"what the check `{kind.name}` asks for must be a mapping, got {brief(entry.params)}"
    return f"check `{kind.name}`: {problem.message}"


def _hint(kind: CheckKindInfo, problem: ShapeProblem) -> str:
    if problem.kind == "extra_forbidden":
        return problem.hint
    return f"for example `{kind.example}`"


def _place(kind: CheckKindInfo, entry: EntryView, relative: str) -> str:
    """Return the path in the document of a parameter, which may have been written alone."""
    if entry.params is None or not relative:
        return entry.params_path
    alone = kind.always_short or not isinstance(entry.params, dict)
    if alone and kind.shorthand:
        relative = relative.removeprefix(kind.shorthand).removeprefix(".")
    if not relative:
        return entry.params_path
    return f"{entry.params_path}{relative}" if relative.startswith("[") else f"{entry.params_path}.{relative}"


def _may_be_right(problem: ShapeProblem, params: JsonValue) -> bool:
    """Whether the value is only known when the node runs."""
    if problem.kind in ("missing", "extra_forbidden"):
        return False
    value = params
    for step in problem.location:
        value = value[step]
    return bool(problem.location) and has_template(value)
