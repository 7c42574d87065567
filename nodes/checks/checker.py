"""The checks of an output, made where nodes run: which a node has, and what they say. Retries nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import orjson
from pydantic import BaseModel, ValidationError

from offbook.nodes.checks.functions import FunctionCheck
from offbook.nodes.checks.kind import CheckKind, Produced
from offbook.nodes.checks.registry import CheckRegistry
from offbook.nodes.context import NodeContext, NodeFailure
from offbook.workflows.checks import CheckSpec, params_of
from offbook.workflows.scope import Scope
from offbook.workflows.templates import has_template, render
from offbook.workflows.values import JsonValue

KEPT = 10_000
"""Nodes whose checks are remembered."""

LONG_CHARS = 20_000
"""Of an output whose checks are made on a thread: the loop has other nodes to run."""


_Ready: TypeAlias = tuple[str, CheckKind, BaseModel]
"""Label, kind and parameters of a check that needs no more than the output."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A check of a node. `params` is None if they are known only when the node runs."""

    label: str
    kind: CheckKind
    written: JsonValue
    params: BaseModel | None


@dataclass(frozen=True, slots=True)
class _NodeChecks:
    """The checks of one node."""

    all: tuple[_Prepared, ...]
    ready: tuple[_Ready, ...] | None
    """The same, if none is a function and the parameters of each are known."""


class Checker:
    """Makes the checks of nodes; remembers those of each workflow."""

    def __init__(self, registry: CheckRegistry) -> None:
        self._registry = registry
        self._kept: dict[tuple[str, str], _NodeChecks] = {}

    def examine_at_once(self, scope: Scope, output: JsonValue) -> list[str] | None:
        """Make every check of a node, and return the reason of each that fails; None if that takes `examine`.

        A check that cannot be made (its parameters are wrong) raises that.
        """
        checks = self._of(scope)
        if checks.ready is None:
            return None
        if type(output) is not str:
            return _reasons(checks.ready, output) if _size(output) <= LONG_CHARS else None
        if len(output) > LONG_CHARS:
            return None
        reasons: list[str] = []
        for label, kind, params in checks.ready:
            reason = kind.examine_text(output, params)
            if reason is not None:
                reasons.append(f"{label}: {reason}")
        return reasons

    async def examine(self, ctx: NodeContext, output: JsonValue) -> list[str]:
        """Make every check, also those that take their time; return the reason of each that fails.

        A check that cannot be made (its parameters are wrong, its function raises) raises that.
        """
        produced = Produced(output)
        is_long = _size(output) > LONG_CHARS
        reasons: list[str] = []
        for check in self._of(ctx.scope).all:
            reason = await _examine(check, ctx, produced, is_long=is_long)
            if reason is not None:
                reasons.append(f"{check.label}: {reason}")
        return reasons

    def _of(self, scope: Scope) -> _NodeChecks:
        return self._kept.get((scope.plan.fingerprint, scope.node.id)) or self._keep(scope)

    def _keep(self, scope: Scope) -> _NodeChecks:
        prepared = tuple(self._prepared(spec) for spec in scope.node.checks)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        checks = _NodeChecks(prepared, _ready(prepared))
        self._kept[scope.plan.fingerprint, scope.node.id] = checks
        return checks

    def _prepared(self, spec: CheckSpec) -> _Prepared:
        kind = self._registry.get(spec.kind)
        if kind is None:
            raise NodeFailure.of("validation", f"the check {spec.kind!r} is not registered here")
        constant = None if has_template(spec.params) else _checked(spec.label, kind, params_of(kind, spec.params))
        return _Prepared(spec.label, kind, spec.params, constant)


def _ready(checks: tuple[_Prepared, ...]) -> tuple[_Ready, ...] | None:
    ready = []
    for check in checks:
        if check.params is None or isinstance(check.kind, FunctionCheck):
            return None
        ready.append((check.label, check.kind, check.params))
    return tuple(ready)


def _reasons(ready: tuple[_Ready, ...], output: JsonValue) -> list[str]:
    produced = Produced(output)
    found = ((label, kind.examine(produced, params)) for label, kind, params in ready)
    return [f"{label}: {reason}" for label, reason in found if reason is not None]


async def _examine(check: _Prepared, ctx: NodeContext, produced: Produced, *, is_long: bool) -> str | None:
    kind, params = check.kind, check.params
    if params is None:
        params = _checked(check.label, kind, params_of(kind, render(check.written, ctx.scope)))
    if isinstance(kind, FunctionCheck):
        return await kind.judge(ctx, produced.value, params)  # type: ignore[arg-type]
    if is_long:
        reason: str | None = await ctx.call_plain(kind.examine, produced, params)
        return reason
    return kind.examine(produced, params)


def _size(output: JsonValue) -> int:
    return len(output) if type(output) is str else len(orjson.dumps(output))


def check_failure(reasons: list[str]) -> NodeFailure:
    """Return what becomes of an attempt whose output did not pass."""
    return NodeFailure.of("check_failed", "; ".join(reasons), retryable=True, reasons=tuple(reasons))


def _checked(label: str, kind: CheckKind, params: JsonValue) -> BaseModel:
    try:
        checked = kind.params_model.model_validate(params)
    except ValidationError as refused:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors())
        raise NodeFailure.of("validation", f"check {label}: {wrong}") from None
    problems = list(kind.check_params(params))
    if problems:
        said = "; ".join(f"{each.path}: {each.message}" if each.path else each.message for each in problems)
        raise NodeFailure.of("validation", f"check {label}: {said}", hint=problems[0].hint)
    return checked
