"""The JSON Schema of documents, for editors: from its models and the registered node types. Checks nothing."""

from __future__ import annotations

from typing import Any

from offbook.workflows.document import CONTAINER_TYPE, ForeachConfig, Workflow
from offbook.workflows.types import CheckKindInfo, CheckKinds, NodeTypeInfo, NodeTypes
from offbook.workflows.values import JsonObject

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_EXPRESSION: JsonObject = {"type": "string", "description": "A Jinja expression, braces optional."}
_TEMPLATE: JsonObject = {"type": "string", "pattern": r"\{\{|\{%", "description": "A Jinja template."}


def workflow_schema(types: NodeTypes) -> JsonObject:
    """Return the JSON Schema (2020-12) of a document that uses these node types."""
    schema = Workflow.model_json_schema(ref_template="#/$defs/{model}")
    definitions: JsonObject = schema.setdefault("$defs", {})
    infos = [info for name in sorted(types.names()) if (info := types.get(name)) is not None]
    plain = [info for info in infos if info.name != CONTAINER_TYPE]
    for info in plain:
        definitions[_config_name(info.name)] = _config_schema(info, definitions)
    foreach = ForeachConfig.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update({name: each for name, each in foreach.pop("$defs", {}).items() if name not in definitions})
    definitions[_config_name(CONTAINER_TYPE)] = foreach
    names = [info.name for info in plain]
    _offer_types(definitions["Node"], [*names, CONTAINER_TYPE])
    _offer_types(definitions["NodeBody"], names)
    _allow_plain_needs(definitions["Node"])
    definitions["check"] = _check_schema(types.checks, definitions)
    for holder in (definitions["Node"], definitions["NodeBody"]):
        holder["properties"]["checks"]["items"] = {"$ref": "#/$defs/check"}
    for lists in schema["properties"]["checks"]["patternProperties"].values():
        lists["items"] = {"$ref": "#/$defs/check"}
    schema["$schema"] = SCHEMA_DIALECT
    schema["title"] = "Offbook workflow"
    return schema


def _check_schema(kinds: CheckKinds, definitions: JsonObject) -> JsonObject:
    """Return what an entry of `checks` may be: a name, or a name with parameters, alone or as a mapping."""
    known = [kind for name in kinds.names() if (kind := kinds.get(name)) is not None]
    alone = [kind.name for kind in known if "required" not in kind.params_model.model_json_schema()]
    return {
        "description": "A check without parameters, a list of the workflow's `checks`, or a check with parameters.",
        "anyOf": [
            {"enum": alone},
            {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,63}$",
                "not": {"enum": [kind.name for kind in known]},
            },
            *(_parametrised(kind, definitions) for kind in known),
        ],
    }


def _parametrised(kind: CheckKindInfo, definitions: JsonObject) -> JsonObject:
    prefix = f"check.{kind.name}"
    params = kind.params_model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    for name, definition in params.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = definition
    properties: JsonObject = params.get("properties", {})
    for field, schema in properties.items():
        if schema.get("type") != "string":
            properties[field] = {"anyOf": [schema, _TEMPLATE]}
    short = properties.get(kind.shorthand)
    if kind.always_short:
        value = short
    else:
        value = {"anyOf": [params, *([short] if short is not None else []), {"type": "null"}]}
    return {
        "type": "object",
        "required": [kind.name],
        "properties": {kind.name: value},
        "additionalProperties": False,
        "examples": [kind.example],
    }


def _config_name(type_name: str) -> str:
    return f"config.{type_name}"


def _config_schema(info: NodeTypeInfo, definitions: JsonObject) -> JsonObject:
    """Return a type's config, in which a template may stand for any value."""
    config = info.config_model.model_json_schema(ref_template=f"#/$defs/{_config_name(info.name)}.{{model}}")
    for name, definition in config.pop("$defs", {}).items():
        definitions[f"{_config_name(info.name)}.{name}"] = definition
    for field, schema in config.get("properties", {}).items():
        alternative = _EXPRESSION if field in info.expression_fields else _TEMPLATE
        if schema.get("type") != "string" or "enum" in schema or "pattern" in schema:
            described = {word: schema.pop(word) for word in ("title", "description", "default") if word in schema}
            config["properties"][field] = {**described, "anyOf": [schema, alternative]}
    return config


def _offer_types(definition: JsonObject, names: list[str]) -> None:
    properties: dict[str, Any] = definition["properties"]
    properties["type"] = {**properties["type"], "enum": names}
    definition["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"config": {"$ref": f"#/$defs/{_config_name(name)}"}}},
        }
        for name in names
    ]


def _allow_plain_needs(node: JsonObject) -> None:
    needs = node["properties"]["needs"]
    needs["items"] = {"anyOf": [{"type": "string", "description": "The id of a node."}, needs["items"]]}
