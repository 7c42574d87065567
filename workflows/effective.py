"""What the output of a node or item depends on, and the fingerprint of it. Renders templates: for the node runner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson

from offbook.workflows import templates
from offbook.workflows.plan import Plan, PlanNode
from offbook.workflows.scope import Scope
from offbook.workflows.types import NodeTypeInfo, Sight
from offbook.workflows.values import JsonObject, JsonValue

NOT_IN_THE_OUTPUT = frozenset(
    {"id", "label", "needs", "when", "continue_on_error", "retry", "timeout", "check_retry", "max_regenerations"}
)
"""Fields of a node that decide whether and how often it is tried, not what comes of it."""

Hashes = dict[str, str]
"""Hashes of outputs and inputs of one run, kept because a node is seen by many: an output never changes."""

INPUTS = "inputs of the execution"
"""Where the hash of the inputs is kept; no node has such an id."""


@dataclass(frozen=True, slots=True)
class Effective:
    """What one output depends on, as values: nothing is hashed before somebody asks for the fingerprint."""

    definition: JsonObject
    """The node as written, without what is not in its output."""
    config: JsonObject
    """Evaluated in the scope that the attempt has."""
    seen: JsonObject
    """What else the node can see."""

    def fingerprint(self, hashes: Hashes) -> str:
        """Return SHA-256 over the canonical JSON, upstream outputs by their hashes; TypeError if it is not JSON."""
        seen = {name: _hashed(name, value, hashes) for name, value in self.seen.items()}
        return _digest([self.definition, self.config, seen])

    def differences(self, before: Effective) -> Iterator[str]:
        """Yield in words what differs: written fields, evaluated fields, what is seen."""
        written = set(_different(self.definition.get("config", {}), before.definition.get("config", {})))
        for name in _different(self.definition, before.definition):
            if name != "config":
                yield f"{name} is written differently"
        for name in sorted(written):
            yield f"{name} is written differently"
        for name in _different(self.config, before.config):
            if name not in written:
                yield f"{name} is evaluated differently"
        for name in _different(self.seen, before.seen):
            if name == "outputs":
                yield f"sees other outputs of {', '.join(_different(self.seen[name], before.seen.get(name, {})))}"
            else:
                yield f"sees another {name}"


def definition_of(plan: Plan, node: PlanNode) -> JsonObject:
    """Return what is written of a node, or of what a foreach does, as far as its output depends on it."""
    written: JsonObject = plan.document["nodes"][node.index]
    if node.foreach is not None:
        written = written["config"]["do"]
    return {name: value for name, value in written.items() if name not in NOT_IN_THE_OUTPUT}


def evaluate_config(info: NodeTypeInfo, config: JsonObject, scope: Scope) -> JsonObject:
    """Render the templates and evaluate the expressions of a config; TemplateError if it cannot be."""
    fields = info.expression_fields
    return {
        field: (templates.evaluate if field in fields else templates.render)(value, scope)
        for field, value in config.items()
    }


def effective_of(scope: Scope, info: NodeTypeInfo) -> Effective:
    """Return what an attempt in this scope depends on; TemplateError if its config cannot be evaluated.

    Guidance and failed checks are left out: they are what was said of one attempt, and an output that came of it
    stays good. What it is checked for is not: it has passed those checks, and no others.
    """
    if scope.guidance or scope.check_failures:
        scope = replace(scope, guidance="", check_failures=())
    node = scope.node
    definition = definition_of(scope.plan, node)
    if node.checks:
        definition["checks"] = [[each.kind, templates.render(each.params, scope)] for each in node.checks]
    return Effective(
        definition=definition,
        config=evaluate_config(info, node.body.config, scope),
        seen=_seen(scope, info.sees),
    )


def _seen(scope: Scope, sight: Sight) -> JsonObject:
    if sight is Sight.CONFIG:
        return {}
    if sight is Sight.LAST_OUTPUT:
        return {"last_output": scope.last_output}
    seen: JsonObject = {
        "inputs": scope.inputs,
        "outputs": {node_id: scope.output(node_id) for node_id in _ancestors(scope)},
        "last_output_node": scope.last_output_node,
        "user": scope.user.to_json() if scope.user else None,
    }
    if scope.index is not None:
        seen["item"] = scope.item
        seen["index"] = scope.index
        seen["items_so_far"] = None if scope.items_so_far is None else list(scope.items_so_far)
    return seen


def _ancestors(scope: Scope) -> Iterator[str]:
    nodes, bits = scope.plan.nodes, scope.node.ancestors
    while bits:
        lowest = bits & -bits
        yield nodes[lowest.bit_length() - 1].id
        bits ^= lowest


def _hashed(name: str, value: JsonValue, hashes: Hashes) -> JsonValue:
    if name == "outputs":
        return {node_id: _kept_hash(node_id, output, hashes) for node_id, output in value.items()}
    if name == "inputs":
        return _kept_hash(INPUTS, value, hashes)
    return _digest(value)


def _kept_hash(key: str, value: JsonValue, hashes: Hashes) -> str:
    found = hashes.get(key)
    if found is None:
        hashes[key] = found = _digest(value)
    return found


def _digest(value: JsonValue) -> str:
    """Return SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _different(one: JsonObject, other: JsonObject) -> list[str]:
    missing = object()
    return [name for name in {**one, **other} if one.get(name, missing) != other.get(name, missing)]
