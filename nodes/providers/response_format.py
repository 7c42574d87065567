"""How a JSON Schema is asked for in OpenAI's words. Checks no answer."""

from __future__ import annotations

from offbook.workflows.values import JsonObject, JsonValue

_NOT_STRICT = frozenset({"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"})
"""Words that the strict mode refuses."""


def response_format(schema: JsonObject) -> JsonObject:
    """Build the `response_format` for a schema; strict where the schema allows it, else the server's best effort."""
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "schema": schema,
            "strict": schema.get("type") == "object" and _fits(schema),
        },
    }


def _fits(schema: JsonValue) -> bool:
    """Whether the strict mode takes a schema: every object closed, and each of its properties required."""
    if not isinstance(schema, dict):
        return True
    if _NOT_STRICT.intersection(schema):
        return False
    properties = schema.get("properties", {})
    is_object = schema.get("type") == "object" or "properties" in schema
    if is_object and (
        schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties)
    ):
        return False
    inner = [*properties.values(), schema.get("items"), *schema.get("anyOf", ()), *schema.get("$defs", {}).values()]
    return all(_fits(each) for each in inner)
