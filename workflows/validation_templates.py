"""Checks of a document's templates and expressions: that they can be read, and that what they use will be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jinja2 import nodes as syntax

from offbook.workflows.document_view import BodyView, DocumentView, NodeView
from offbook.workflows.graph import Ancestry
from offbook.workflows.report import Report, brief, did_you_mean
from offbook.workflows.source_lines import child_path
from offbook.workflows.template_syntax import Parsed, Reference, TemplateError, parse
from offbook.workflows.templates import ITEM_NAMES, NAMES, has_template
from offbook.workflows.types import NodeTypes
from offbook.workflows.validation_checks import entries_of
from offbook.workflows.validation_config import content_producers
from offbook.workflows.values import JsonValue

_NEVER_BOOLEAN = (syntax.List, syntax.Dict, syntax.Tuple, syntax.Concat, syntax.BinExpr)
_NUMBER_KINDS = frozenset({"integer", "number"})
_LIST_KINDS = frozenset({"list", "select"})
_LOGIC = (syntax.And, syntax.Or)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a template stands, and what it may see there."""

    node: NodeView
    path: str
    in_item: bool = False
    items_in_order: bool = True


class TemplateCheck:
    """Checks every template of a document."""

    def __init__(self, view: DocumentView, types: NodeTypes, ancestry: Ancestry, report: Report) -> None:
        self._view = view
        self._types = types
        self._ancestry = ancestry
        self._report = report
        self._producers = content_producers(view, types)

    def run(self) -> None:
        """Report what is wrong with them."""
        for node in self._view.nodes:
            self._check_condition(node.when, _Place(node, child_path(node.path, "when")))
            for need in node.needs:
                self._check_condition(need.when, _Place(node, child_path(need.path, "when")))
            if node.is_foreach:
                self._check_count(node)
                self._check_items(node)
            if node.body is not None:
                self._check_body(node, node.body)

    def _check_body(self, node: NodeView, body: BodyView) -> None:
        info = self._types.get(body.type) if body.type is not None else None
        expressions = info.expression_fields if info is not None else frozenset()
        in_order = node.config.get("concurrency", 1) == 1
        for word, value in body.config.items():
            path = child_path(body.config_path, word)
            if word in expressions and isinstance(value, str):
                self._read(value, _Place(node, path, node.is_foreach, in_order), expression=True)
                continue
            for text, text_path in _templates_in(value, path):
                self._read(text, _Place(node, text_path, node.is_foreach, in_order))
        for entry in entries_of(body.checks, child_path(body.path, "checks")):
            named = self._view.checks.get(entry.name) if entry.params is None else None
            listed = entries_of(named, child_path("checks", entry.name)) if named is not None else (entry,)
            for each in listed:
                for text, text_path in _templates_in(each.params, each.params_path):
                    self._read(text, _Place(node, text_path, node.is_foreach, in_order))

    def _check_condition(self, condition: JsonValue, place: _Place) -> None:
        if condition is None or isinstance(condition, bool):
            return
        if not isinstance(condition, str):
            self._not_boolean(place, brief(condition))
            return
        parsed = self._read(condition, place, expression=True)
        if parsed is None:
            return
        expression = parsed.expression
        if isinstance(expression, syntax.Const) and not isinstance(expression.value, bool):
            self._not_boolean(place, brief(expression.value))
        elif isinstance(expression, _NEVER_BOOLEAN) and not isinstance(expression, _LOGIC):
            self._not_boolean(place, brief(condition))
        else:
            name = _input_alone(parsed)
            kind = self._view.input_kind(name) if name is not None else None
            if kind is not None and kind != "boolean":
                self._not_boolean(place, f"the {kind} `inputs.{name}`", _comparison(kind, name))

    def _not_boolean(
        self, place: _Place, got: str, hint: str = "write a comparison, for example `inputs.x == 'yes'`"
    ) -> None:
        self._report.add(
            "when-not-boolean", f"`when` must give a boolean, got {got}", place.path, node_id=place.node.id, hint=hint
        )

    def _check_count(self, node: NodeView) -> None:
        count = node.config.get("count")
        if not isinstance(count, str):
            return
        place = _Place(node, child_path(node.config_path, "count"))
        parsed = self._read(count, place, expression=True)
        self._check_kind(parsed, place, "count", "a whole number", _NUMBER_KINDS, (int,), "inputs.chapters")

    def _check_items(self, node: NodeView) -> None:
        items = node.config.get("items")
        path = child_path(node.config_path, "items")
        if isinstance(items, str):
            place = _Place(node, path)
            parsed = self._read(items, place, expression=True)
            self._check_kind(parsed, place, "items", "a list", _LIST_KINDS, (list, tuple), "inputs.topics")
            return
        for text, text_path in _templates_in(items, path):
            self._read(text, _Place(node, text_path))

    def _check_kind(
        self,
        parsed: Parsed | None,
        place: _Place,
        word: str,
        wanted: str,
        kinds: frozenset[str],
        types: tuple[type, ...],
        example: str,
    ) -> None:
        """Report an expression that cannot give what is wanted, where that can be seen."""
        if parsed is None:
            return
        got = ""
        if isinstance(parsed.expression, syntax.Const):
            value = parsed.expression.value
            if not isinstance(value, types) or isinstance(value, bool):
                got = brief(value)
        else:
            name = _input_alone(parsed)
            kind = self._view.input_kind(name) if name is not None else None
            if kind is not None and kind not in kinds:
                got = f"the {kind} `inputs.{name}`"
        if got:
            self._report.add(
                f"{word}-not-{wanted.split()[-1]}",
                f"`{word}` must give {wanted}, got {got}",
                place.path,
                node_id=place.node.id,
                hint=f"write an expression that gives {wanted}, for example `{example}`",
            )

    def _read(self, source: str, place: _Place, *, expression: bool = False) -> Parsed | None:
        try:
            parsed = parse(source, expression=expression)
        except TemplateError as error:
            self._report.add(
                "template-syntax",
                str(error),
                place.path,
                node_id=place.node.id,
                hint="an expression is written as in `{{ ... }}`, with text in quotes" if expression else "",
                line_within=error.line or 1,
            )
            return None
        for reference in dict.fromkeys(parsed.references):
            self._check_reference(reference, place)
        return parsed

    def _check_reference(self, reference: Reference, place: _Place) -> None:
        name = reference.name
        if name == "nodes":
            self._check_node_reference(reference, place)
        elif name == "inputs":
            self._check_input_reference(reference, place)
        elif name == "last_output":
            self._check_last_output(reference, place)
        elif name in ITEM_NAMES:
            self._check_item_reference(reference, place)
        elif name not in NAMES:
            self._add(
                "unknown-name", f"`{name}` is not a name that documents have", reference, place, self._meant(name)
            )

    def _meant(self, name: str) -> str:
        if name in (self._view.inputs or {}):
            return f"write `inputs.{name}`"
        if name in self._view.by_id:
            return f"write `nodes.{name}.output`"
        if name.lower() in ("yes", "no", "on", "off"):
            return "write `true` or `false`, or put text in quotes"
        return did_you_mean(name, NAMES) or "put text in quotes; names are " + ", ".join(sorted(NAMES))

    def _check_node_reference(self, reference: Reference, place: _Place) -> None:
        key, own = reference.key, place.node.id
        if key is None:
            if reference.whole:
                self._add(
                    "unknown-name", "`nodes` is used without a node", reference, place, "write `nodes.ID.output`"
                )
            return
        used = f"`nodes.{key}.output`"
        if key not in self._view.by_id:
            hint = did_you_mean(key, self._view.by_id)
            self._add("unknown-node", f"{used} is used, and there is no node `{key}`", reference, place, hint)
        elif own is not None and key == own:
            self._add("not-upstream", f"{used} is used in `{own}` itself", reference, place, _own_hint(place))
        elif own is not None and not self._ancestry.is_after(own, key):
            if self._ancestry.is_after(key, own):
                message, hint = f"{used} is used in `{own}`, which runs before `{key}`", "turn the edge round"
            else:
                message = f"{used} is used in `{own}`, which does not need `{key}`"
                hint = f"add `needs: [{', '.join([*_needed(place.node), key])}]`"
            self._add("not-upstream", message, reference, place, hint)
        elif reference.attribute not in (None, "output"):
            message = f"a node has `output`, and no `{reference.attribute}`"
            self._add("unknown-name", message, reference, place, f"write {used}")

    def _check_input_reference(self, reference: Reference, place: _Place) -> None:
        key, inputs = reference.key, self._view.inputs
        if key is None or inputs is None or key in inputs:
            return
        hint = did_you_mean(key, inputs) or f"add it under `inputs`: `{key}: {{type: text}}`"
        self._add("unknown-input", f"`inputs.{key}` is used, and there is no input `{key}`", reference, place, hint)

    def _check_last_output(self, reference: Reference, place: _Place) -> None:
        own = place.node.id
        if own is not None and not self._ancestry.is_after_any(own, self._producers):
            message = f"`last_output` is used in `{own}`, and nothing before it produces content"
            example = next((each for each in self._producers if each != own), "outline")
            hint = f"let it need a node that writes something, for example `needs: [{example}]`"
            self._add("no-content-upstream", message, reference, place, hint)

    def _check_item_reference(self, reference: Reference, place: _Place) -> None:
        name = reference.name
        if not place.in_item:
            message = f"`{name}` is used outside the `do` of a foreach"
            self._add("item-outside-foreach", message, reference, place, "it is there in `do` only")
        elif name == "items_so_far" and not place.items_in_order:
            message = "`items_so_far` is used, and the items do not run in order"
            self._add("items-so-far-concurrent", message, reference, place, "set `concurrency: 1`")

    def _add(self, code: str, message: str, reference: Reference, place: _Place, hint: str) -> None:
        self._report.add(code, message, place.path, node_id=place.node.id, hint=hint, line_within=reference.line)


def _templates_in(value: JsonValue, path: str) -> Iterator[tuple[str, str]]:
    """Yield each template within a value with its path."""
    if isinstance(value, str):
        if has_template(value):
            yield value, path
    elif isinstance(value, dict | list | tuple):
        entries: Iterable[tuple[object, JsonValue]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in entries:
            yield from _templates_in(each, child_path(path, key))


def _input_alone(parsed: Parsed) -> str | None:
    """Return the name of the input, if the expression is nothing but one."""
    expression = parsed.expression
    if not isinstance(expression, syntax.Getattr | syntax.Getitem) or not isinstance(expression.node, syntax.Name):
        return None
    only = parsed.references[0] if len(parsed.references) == 1 else None
    return only.key if only is not None and only.name == "inputs" else None


def _comparison(kind: str, name: str | None) -> str:
    if kind in _NUMBER_KINDS:
        return f"write a comparison: `inputs.{name} > 0`"
    if kind in ("text", "file"):
        return f"write a comparison: `inputs.{name} == 'yes'`, or `inputs.{name} | length > 0`"
    return f"write a comparison: `inputs.{name} == ...`"


def _needed(node: NodeView) -> list[str]:
    return [need.node for need in node.needs]


def _own_hint(place: _Place) -> str:
    return (
        "inside a foreach, `items_so_far` has the outputs before"
        if place.in_item
        else "a node cannot see its own output"
    )
