"""The configs of attempts: rendered, evaluated and checked; those without templates once. Runs no node."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from offbook.nodes.context import NodeFailure
from offbook.nodes.registry import NodeRegistry, NodeType
from offbook.workflows import templates
from offbook.workflows.effective import evaluate_config
from offbook.workflows.scope import Scope
from offbook.workflows.values import JsonObject

KEPT = 10_000
"""Nodes whose type, and config if it is constant, are remembered."""


class Configs:
    """What the nodes of running executions are, and are set to."""

    def __init__(self, registry: NodeRegistry) -> None:
        self._registry = registry
        self._kept: dict[tuple[str, str], tuple[NodeType, BaseModel | None]] = {}

    def of(self, scope: Scope) -> tuple[NodeType, BaseModel]:
        """Return the type of a node, and its config for this attempt; NodeFailure or TemplateError if it has none."""
        node = scope.node
        key = (scope.plan.fingerprint, node.id)
        kept = self._kept.get(key)
        if kept is None:
            node_type = self._registry.get(node.body.type)
            if node_type is None:
                raise NodeFailure.of("validation", f"the node type {node.body.type!r} is not registered here")
            constant = None
            if not _is_open(node_type, node.body.config):
                constant = _checked(node_type, node.body.config)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = kept = (node_type, constant)
        node_type, constant = kept
        if constant is not None:
            return node_type, constant
        return node_type, _checked(node_type, evaluate_config(node_type, node.body.config, scope))


def _is_open(node_type: NodeType, config: JsonObject) -> bool:
    """Whether a config is known only when the node runs."""
    expressions = (config.get(field) for field in node_type.expression_fields)
    return templates.has_template(config) or any(isinstance(each, str) for each in expressions)


def _checked(node_type: NodeType, config: JsonObject) -> BaseModel:
    try:
        return node_type.config_model.model_validate(config)
    except ValidationError as refused:
        # Only where and what: the values may be prompts.
        wrong = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors())
        raise NodeFailure.of("validation", f"config: {wrong}") from None
