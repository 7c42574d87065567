"""The checks of an output, made where nodes run: which a node has, and what they say. Retries nothing."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A check of a node. `params` is None if they are known only when the node runs."""

    label: str
    kind: CheckKind
    written: JsonValue
    params: BaseModel | None
    is_ready: bool
    """Whether it is no function, and its parameters are known."""


class Checker:
    """Makes the checks of nodes; remembers those of each workflow."""

    def __init__(self, registry: CheckRegistry) -> None:
        self._registry = registry
        self._kept: dict[tuple[str, str], tuple[_Prepared, ...]] = {}

    async def examine(self, ctx: NodeContext, output: JsonValue) -> None:
        """Make every check of the node; NodeFailure `check_failed`, with the reason of each that fails.

        A check that cannot be made (its parameters are wrong, its function raises) raises that.
        """
        scope = ctx.scope
        key = (scope.plan.fingerprint, scope.node.id)
        checks = self._kept.get(key)
        if checks is None:
            checks = self._keep(key, scope)
        produced = Produced(output)
        size = len(output) if isinstance(output, str) else len(orjson.dumps(output))
        reasons: list[str] = []
        for check in checks:
            if check.is_ready and size <= LONG_CHARS:
                reason = check.kind.examine(produced, check.params)
            else:
                reason = await _examine_slowly(check, ctx, produced, size)
            if reason is not None:
                reasons.append(f"{check.label}: {reason}")
        if reasons:
            raise NodeFailure.of("check_failed", "; ".join(reasons), retryable=True, reasons=tuple(reasons))

    def _keep(self, key: tuple[str, str], scope: Scope) -> tuple[_Prepared, ...]:
        checks = tuple(self._prepared(spec) for spec in scope.node.checks)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[key] = checks
        return checks

    def _prepared(self, spec: CheckSpec) -> _Prepared:
        kind = self._registry.get(spec.kind)
        if kind is None:
            raise NodeFailure.of("validation", f"the check {spec.kind!r} is not registered here")
        constant = None if has_template(spec.params) else _checked(spec.label, kind, params_of(kind, spec.params))
        is_ready = constant is not None and not isinstance(kind, FunctionCheck)
        return _Prepared(spec.label, kind, spec.params, constant, is_ready)


async def _examine_slowly(check: _Prepared, ctx: NodeContext, produced: Produced, size: int) -> str | None:
    """Make a check that is a function, has templates in its parameters, or is to read much."""
    kind, params = check.kind, check.params
    if params is None:
        params = _checked(check.label, kind, params_of(kind, render(check.written, ctx.scope)))
    if isinstance(kind, FunctionCheck):
        return await kind.judge(ctx, produced.value, params)  # type: ignore[arg-type]
    if size > LONG_CHARS:
        reason: str | None = await ctx.call_plain(kind.examine, produced, params)
        return reason
    return kind.examine(produced, params)


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
