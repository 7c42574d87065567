"""Templates and expressions of a document: rendered and evaluated within bounds, against what a scope shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateSyntaxError
from jinja2.environment import Template

from offbook.workflows.sandbox import MissingValue
from offbook.workflows.scope import Scope
from offbook.workflows.template_budget import Budget, budgeted, text_size
from offbook.workflows.template_syntax import Parsed, TemplateError, dotted_paths, environment, parse, parse_anew
from offbook.workflows.template_values import to_json_value
from offbook.workflows.values import JsonValue

__all__ = [
    "ITEM_NAMES",
    "NAMES",
    "TemplateError",
    "evaluate",
    "evaluate_condition",
    "has_template",
    "references",
    "render",
]

ITEM_NAMES = frozenset({"item", "index", "items_so_far"})
NAMES = frozenset({"inputs", "nodes", "last_output", "user", "guidance", "check_failures"}) | ITEM_NAMES

_COMPILED_KEPT = 1024
_KEPT_SOURCE_CHARS = 20_000
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def has_template(value: JsonValue) -> bool:
    """Whether a value, or anything inside it, is a template."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(has_template(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(has_template(each) for each in value)
    return False


def render(value: JsonValue, scope: Scope) -> JsonValue:
    """Render every template in a value; one that is exactly one `{{ ... }}` keeps the type of what is in it.

    A value without templates is returned itself. TemplateError names what is wrong or missing.
    """
    if isinstance(value, str):
        if "{{" not in value and "{%" not in value:
            return value
        return _run(_compiled(value, False), scope)
    if not has_template(value):
        return value
    if isinstance(value, dict):
        return {key: render(each, scope) for key, each in value.items()}
    return [render(each, scope) for each in value]


def evaluate(expression: JsonValue, scope: Scope) -> JsonValue:
    """Evaluate an expression, with or without braces; what is not text is rendered."""
    if not isinstance(expression, str):
        return render(expression, scope)
    return _run(_compiled(expression, True), scope)


def evaluate_condition(condition: str | bool, scope: Scope) -> bool:
    """Evaluate a `when`; TemplateError unless it gives a boolean."""
    value = evaluate(condition, scope)
    if not isinstance(value, bool):
        raise TemplateError(str(condition), f"`when` must give a boolean, got {_brief(value)}")
    return value


def references(source: str, *, expression: bool = False) -> frozenset[tuple[str, ...]]:
    """Return what a template or expression uses: ("nodes", "outline"), ("inputs", "premise"), ("item",), ...

    A key that is computed is left out: ("nodes",). TemplateError if the source cannot be parsed.
    """
    return frozenset(
        (each.name, each.key) if each.name in ("nodes", "inputs") and each.key is not None else (each.name,)
        for each in parse(source, expression=expression).references
    )


@dataclass(frozen=True, slots=True)
class _Compiled:
    source: str
    template: Template
    names: frozenset[str]
    keeps_type: bool
    path: tuple[str, ...]
    """Of an expression that only looks something up: name and keys."""


def _compile(source: str, expression: bool) -> _Compiled:
    parsed = parse_anew(source, expression)
    try:
        template = environment.from_string(parsed.tree)
    except TemplateSyntaxError as error:
        raise TemplateError(source, error.message or "cannot be compiled", error.lineno) from None
    except (SyntaxError, RecursionError, MemoryError):
        raise TemplateError(source, "is nested too deeply") from None
    return _Compiled(source, template, parsed.names & NAMES, parsed.expression is not None, _path(source, parsed))


_compile_kept = lru_cache(maxsize=_COMPILED_KEPT)(_compile)


def _compiled(source: str, expression: bool) -> _Compiled:
    return (_compile if len(source) > _KEPT_SOURCE_CHARS else _compile_kept)(source, expression)


def _path(source: str, parsed: Parsed) -> tuple[str, ...]:
    text = source.strip()
    if text.startswith("{{"):
        text = text[2:-2].strip("-").strip()
    keys = tuple(text.split("."))
    return keys if parsed.expression is not None and _PATH.fullmatch(text) and keys[0] in NAMES else ()


def _run(compiled: _Compiled, scope: Scope) -> JsonValue:
    if compiled.path:
        found, value = _look_up(compiled.path, scope)
        if found:
            return value
    names = {name: value for name in compiled.names for value in _values(name, scope)}
    with budgeted() as budget:
        try:
            if compiled.keeps_type:
                return _result(compiled.template, names)
            return _text(compiled.template, names, budget)
        except _EVALUATION_ERRORS as error:
            raise TemplateError(
                compiled.source, _reason(error, compiled, scope)[:500], _line(error, compiled.template)
            ) from None


def _look_up(path: tuple[str, ...], scope: Scope) -> tuple[bool, JsonValue]:
    """Follow names through objects, which most expressions are; anything else is left to Jinja."""
    for value in _values(path[0], scope):
        for key in path[1:]:
            if isinstance(value, _Nodes):
                if not value.has(key):
                    return False, None
                value = value[key]
            elif isinstance(value, dict) and key in value:
                value = value[key]
            else:
                return False, None
        return not isinstance(value, _Nodes), value
    return False, None


def _result(template: Template, names: dict[str, Any]) -> JsonValue:
    context = template.new_context(names)
    for _ in template.root_render_func(context):
        pass
    return to_json_value(context.vars["result"])


def _text(template: Template, names: dict[str, Any], budget: Budget) -> str:
    pieces: list[str] = []
    size = 0
    for piece in template.root_render_func(template.new_context(names)):
        budget.step()
        size += text_size(piece)
        budget.check(size)
        pieces.append(piece)
    return "".join(pieces)


_EVALUATION_ERRORS = (
    JinjaError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def _reason(error: BaseException, compiled: _Compiled, scope: Scope) -> str:
    if isinstance(error, MissingValue):
        return _missing_reason(error, compiled, scope)
    if isinstance(error, RecursionError):
        return "calls itself too deeply"
    return str(error) or type(error).__name__


def _missing_reason(error: MissingValue, compiled: _Compiled, scope: Scope) -> str:
    name = error.name
    if error.top_level:
        return _ABSENT.get(name, f"`{name}` is not a name that documents have")
    if isinstance(error.obj, _Nodes):
        if name in scope.plan.index:
            return f"`nodes.{name}.output` is used in `{scope.node.id}`, which does not need `{name}`"
        return f"`nodes.{name}` is missing: there is no node `{name}`"
    if error.obj is scope.inputs:
        return f"`inputs.{name}` is missing: there is no input `{name}`"
    parsed = parse(compiled.source, expression=compiled.keeps_type)
    paths = dotted_paths(parsed, name)
    where = f"[{name}]"
    if isinstance(name, str):
        where = f"`{paths[0] if len(paths) == 1 else name}`"
    if error.obj is None:
        return f"{where} is missing: what it is looked up in is nothing"
    if isinstance(error.obj, dict):
        return f"{where} is missing: there is {', '.join(f'`{key}`' for key in list(error.obj)[:10]) or 'nothing'}"
    if isinstance(error.obj, list | tuple):
        return f"{where} is missing: the list has {len(error.obj)} elements"
    return f"{where} is missing: it is looked up in a {type(error.obj).__name__}"


_ABSENT = {
    "last_output": "`last_output` is missing: nothing upstream has produced content",
    "item": "`item` is missing: it is there only inside a foreach",
    "index": "`index` is missing: it is there only inside a foreach",
    "items_so_far": "`items_so_far` is missing: it is there only inside a foreach with `concurrency: 1`",
}


def _line(error: BaseException, template: Template) -> int | None:
    """Find the line of the template where an error came from."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__jinja_template__") is template:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line


def _brief(value: JsonValue) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Nodes:
    """`nodes.ID` for what is upstream. Knows no iteration: only what is named is asked for."""

    __slots__ = ("_scope",)
    __iter__ = None

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def has(self, node_id: str) -> bool:
        plan = self._scope.plan
        return node_id in plan.index and self._scope.node.is_after(plan.index[node_id])

    def __getitem__(self, node_id: object) -> dict[str, JsonValue]:
        if not isinstance(node_id, str):
            raise KeyError(node_id)
        return {"output": self._scope.output(node_id)}


def _values(name: str, scope: Scope) -> Iterator[Any]:
    """Yield the value of a name; nothing if the name has none here."""
    if name == "inputs":
        yield scope.inputs
    elif name == "nodes":
        yield _Nodes(scope)
    elif name == "last_output":
        if scope.last_output_node is not None:
            yield scope.last_output
    elif name == "user":
        yield scope.user.to_json() if scope.user else None
    elif name == "guidance":
        yield scope.guidance
    elif name == "check_failures":
        yield list(scope.check_failures)
    elif scope.index is not None:
        if name == "item":
            yield scope.item
        elif name == "index":
            yield scope.index
        elif scope.items_so_far is not None:
            yield list(scope.items_so_far)
