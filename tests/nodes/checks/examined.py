"""Asks one check about one output, as the checker does."""

from __future__ import annotations

from offbook.nodes.checks import CheckRegistry, Produced
from offbook.workflows.checks import params_of
from offbook.workflows.values import JsonValue

REGISTRY = CheckRegistry.with_builtins()


def reason(name: str, output: JsonValue, asked: JsonValue = None) -> str | None:
    """Return why an output does not pass the check `{name: asked}`; None if it does."""
    kind = REGISTRY.get(name)
    assert kind is not None
    params = kind.params_model.model_validate(params_of(kind, asked))
    return kind.examine(Produced(output), params)
