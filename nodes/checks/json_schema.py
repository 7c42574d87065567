"""The check of an output against a JSON Schema. Schemas without references and patterns: none may take for ever."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import orjson
from pydantic import BaseModel, Field

from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
from offbook.nodes.text import unfenced
from offbook.workflows.errors import Problem
from offbook.workflows.signal_forms import check_value, form_problems
from offbook.workflows.templates import has_template
from offbook.workflows.values import JsonObject

SHOWN = 5
"""Things wrong that a reason names."""
MAX_CHECKS = 2_000_000
"""Parts of the schema times values of the output."""


class JsonSchemaParams(CheckParams):
    """The schema (2020-12)."""

    schema_: JsonObject = Field(alias="schema")


class JsonSchema(CheckKind):
    """Fails an output that does not fit its schema. Text is read as JSON first, unless the schema asks for text."""

    name = "json_schema"
    params_model: type[BaseModel] = JsonSchemaParams
    shorthand = "schema"
    example = "{json_schema: {type: object, required: [title]}}"
    always_short = True

    def check_params(self, params: Mapping[str, object]) -> Iterable[Problem]:
        schema = params.get("schema")
        if not has_template(schema):
            yield from form_problems(schema, "schema")

    def examine(self, produced: Produced, params: JsonSchemaParams) -> str | None:
        value, schema = produced.value, params.schema_
        if isinstance(value, str) and schema.get("type") != "string":
            try:
                value = orjson.loads(unfenced(value))
            except json.JSONDecodeError as error:
                return f"the answer is no JSON (line {error.lineno}, column {error.colno}): answer with JSON alone"
        problems = check_value(schema, value, "answer", max_checks=MAX_CHECKS)
        said = [f"{each.path}: {each.message}" for each in problems[:SHOWN]]
        if len(problems) > SHOWN:
            said.append(f"and {len(problems) - SHOWN} more")
        return "; ".join(said) or None
