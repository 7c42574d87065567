"""The syntax trees of templates and expressions: parsed, checked, read for what they use, rewritten to be bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

from offbook.workflows.errors import OffbookError
from offbook.workflows.sandbox import WorkflowEnvironment
from offbook.workflows.template_budget import LIMITS
from offbook.workflows.template_filters import FILTERS_OF_DOCUMENTS, METHODS

_PARSED_KEPT = 1024
_KEPT_SOURCE_CHARS = 20_000

_BINDING: tuple[type[nodes.Node], ...] = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.With, nodes.AssignBlock)
_REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.EvalContextModifier: "autoescape",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_COMPARING_TESTS = frozenset(
    {"in", "==", "eq", "equalto", "!=", "ne", "<", "lt", "lessthan", ">", "gt", "greaterthan"}
)


class TemplateError(OffbookError):
    """A template or expression is wrong, uses what is not there, or takes too much."""

    def __init__(self, source: str, reason: str, line: int | None = None) -> None:
        self.source = source if len(source) <= 80 else source[:77] + "..."
        """An excerpt."""
        self.reason = reason
        self.line = line
        """In the template, from 1."""
        where = f", line {line}" if line and line > 1 else ""
        super().__init__(f"`{self.source}`{where}: {reason}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a template uses, the key that is looked up in it and what is looked up in that."""

    name: str
    key: str | None
    attribute: str | None
    line: int
    whole: bool = False
    """Whether the name is used by itself, not to look something up in it."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A template or expression, checked."""

    source: str
    tree: nodes.Template
    """Of an expression: a template that assigns it to `result`."""
    expression: nodes.Expr | None
    """Of an expression, and of a template that is nothing but one `{{ ... }}`."""
    references: tuple[Reference, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(reference.name for reference in self.references)


def parse(source: str, *, expression: bool = False) -> Parsed:
    """Parse a template, or an expression with or without braces; TemplateError if it is not one."""
    if len(source) > _KEPT_SOURCE_CHARS:
        return parse_anew(source, expression)
    return _parse_kept(source, expression)


def parse_anew(source: str, expression: bool) -> Parsed:
    """Parse into a tree that is the caller's own, to be changed."""
    if len(source) > LIMITS.max_source_chars:
        raise TemplateError(source, f"is longer than {LIMITS.max_source_chars:,} characters")
    try:
        return _build(source, expression)
    except TemplateSyntaxError as error:
        raise TemplateError(source, _syntax_reason(error), error.lineno) from None
    except RecursionError:
        raise TemplateError(source, "is nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise TemplateError(source, f"has a number that cannot be read: {error}"[:200]) from None


_parse_kept = lru_cache(maxsize=_PARSED_KEPT)(parse_anew)


def _build(source: str, expression: bool) -> Parsed:
    if expression and "{{" not in source and "{%" not in source:
        parser = Parser(environment, source, state="variable")
        single: nodes.Expr | None = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateError(source, "goes on after the expression", parser.stream.current.lineno)
    else:
        tree = environment.parse(source)
        _check(source, tree)
        single = _single_expression(tree)
        if expression and single is None:
            raise TemplateError(source, "must be one expression: write it without braces around its parts")
        if single is None:
            return Parsed(source, tree, None, tuple(_references(tree)))
    assert single is not None
    tree = nodes.Template([nodes.Assign(nodes.Name("result", "store"), single, lineno=1)], lineno=1)
    tree.set_environment(environment)
    _check(source, tree)
    return Parsed(source, tree, single, tuple(_references(tree)))


def _single_expression(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that is one `{{ ... }}`, perhaps with space around it."""
    if not all(isinstance(node, nodes.Output) for node in tree.body):
        return None
    parts = [part for output in tree.body for part in output.nodes]  # type: ignore[attr-defined]
    parts = [part for part in parts if not (isinstance(part, nodes.TemplateData) and not part.data.strip())]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _syntax_reason(error: TemplateSyntaxError) -> str:
    reason = error.message or "cannot be parsed"
    if "comment" in reason:
        return f"{reason} (`{{#` begins a comment: write `{{{{ '{{#' }}}}` for the characters)"
    return reason


def _check(source: str, tree: nodes.Template) -> None:
    """Refuse what is not there, and what could not be compiled."""
    count = 0
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        count += 1
        line = getattr(node, "lineno", None)
        if count > LIMITS.max_source_parts:
            raise TemplateError(source, f"has more than {LIMITS.max_source_parts:,} parts")
        if depth > LIMITS.max_source_depth:
            raise TemplateError(source, "is nested too deeply", line)
        if type(node) in _REFUSED:
            raise TemplateError(source, f"uses `{_REFUSED[type(node)]}`, which documents do not have", line)
        if isinstance(node, nodes.Filter) and node.name not in environment.filters:
            raise TemplateError(source, f"uses the filter `{node.name}`, which does not exist", line)
        if isinstance(node, nodes.Test) and node.name not in environment.tests:
            raise TemplateError(source, f"uses the test `{node.name}`, which does not exist", line)
        stack.extend((child, depth + 1) for child in node.iter_child_nodes())


def _references(tree: nodes.Template) -> Iterator[Reference]:
    free = _free_names(tree)
    stack: list[nodes.Node] = [tree]
    while stack:
        node = stack.pop()
        chain = _chain(node)
        if chain is not None and chain[0].name in free:
            name, keys = chain
            yield Reference(
                name.name,
                keys[0] if keys else None,
                keys[1] if len(keys) > 1 else None,
                node.lineno or 1,
                whole=node is name,
            )
            # Only what is between brackets can use further names.
            while node is not name:
                if isinstance(node, nodes.Getitem):
                    stack.append(node.arg)
                node = node.node  # type: ignore[attr-defined]
            continue
        stack.extend(node.iter_child_nodes())


def _chain(node: nodes.Node) -> tuple[nodes.Name, list[str | None]] | None:
    """Read `a.b["c"]` as the name a and the keys b and c; a computed key is None."""
    keys: list[str | None] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        else:
            keys.append(node.arg.value if _is_text(node.arg) else None)  # type: ignore[attr-defined]
        node = node.node
    if isinstance(node, nodes.Name) and node.ctx == "load":
        return node, keys[::-1]
    return None


def _is_text(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _free_names(tree: nodes.Template) -> set[str]:
    """Names that the tree does not bind itself."""
    binds = any(tree.find(kind) is not None for kind in _BINDING)
    names = list(tree.find_all(nodes.Name))
    stored = {name.name for name in names if name.ctx != "load"}
    if binds or stored - {"result"}:
        return meta.find_undeclared_variables(tree)
    return {name.name for name in names if name.ctx == "load" and name.name not in environment.globals}


def dotted_paths(parsed: Parsed, key: object) -> list[str]:
    """Write out, as in the source, each name whose last looked up key is this one."""
    found = []
    for node in parsed.tree.find_all((nodes.Getattr, nodes.Getitem)):
        chain = _chain(node)
        if chain is not None and None not in chain[1] and chain[1][-1] == key:
            found.append(".".join([chain[0].name, *map(str, chain[1])]))
    return list(dict.fromkeys(found))


def bound(tree: nodes.Template) -> Any:
    """Rewrite a tree so that no loop, macro, comparison or literal escapes the budget."""
    rewritten = _Bounder().visit(tree)
    rewritten.set_environment(environment)
    return rewritten


class _Bounder(NodeTransformer):
    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        return self._with_step(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._with_step(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        return self._with_step(node)

    def _with_step(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> nodes.Node:
        size = nodes.Const(_text_within(node.body))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call("take_step", size, line=node.lineno), lineno=node.lineno))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("concat_text", *node.nodes, line=node.lineno)

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("hold", node, line=node.lineno)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("hold", node, line=node.lineno)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("hold", node, line=node.lineno) if node.ctx == "load" else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _call("tick", node.expr, line=node.lineno)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.name in _COMPARING_TESTS:
            node.node = _call("tick", node.node, line=node.lineno)
        return node


def _call(name: str, *args: nodes.Expr, line: int | None) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None, lineno=line)


def _text_within(body: list[nodes.Node]) -> int:
    """Bytes of plain text that one round of a loop or call of a macro writes at most, without those inside it."""
    total = 0
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, nodes.TemplateData):
            total += 4 * len(node.data)
        elif not isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
            stack.extend(node.iter_child_nodes())
    return total


environment = WorkflowEnvironment(FILTERS_OF_DOCUMENTS, METHODS, bound)
