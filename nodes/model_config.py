"""The config of nodes that call a model, and what can be said of it before its templates are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from offbook.nodes.node_type import NodeConfig
from offbook.nodes.providers import ProviderRegistry, Script
from offbook.nodes.providers.settings import check_options
from offbook.nodes.text import as_text
from offbook.workflows.errors import Problem
from offbook.workflows.money import MOST_TOKENS
from offbook.workflows.templates import has_template
from offbook.workflows.values import JsonObject, JsonValue

Text = Annotated[str, BeforeValidator(as_text)]
"""Text; what a lone template gave is written as a template writes it inside text."""


def _as_list(value: JsonValue) -> JsonValue:
    return [value] if isinstance(value, str) else value


class ModelConfig(NodeConfig):
    """Which model is asked what, and how its answer is read."""

    # `model` has a default only so that a missing one is reported by `check_model_config`, once and with a hint.
    model_config = ConfigDict(json_schema_extra={"required": ["model", "prompt"]})

    model: str = ""
    """`provider/name`."""
    prompt: Text = ""
    system: Text = ""
    temperature: float | None = Field(default=None, ge=0, le=10, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    stop: Annotated[tuple[str, ...] | None, BeforeValidator(_as_list)] = None
    """Texts at which the model stops; one or a list."""
    parse_json: bool = Field(default=False, alias="json")
    """Whether the answer is JSON, which then is the output in place of its text."""
    options: JsonObject = Field(default_factory=dict)
    """Further fields for the provider, as they are: `repeat_penalty`, `seed`, ..."""
    script: Script | None = None
    """For the provider `scripted`."""

    @field_validator("options")
    @classmethod
    def _options_leave_the_rest_alone(cls, options: JsonObject) -> JsonObject:
        return check_options(options)


def check_model_config(config: Mapping[str, object], providers: ProviderRegistry) -> Iterable[Problem]:
    """Yield what is wrong with model and prompt as they are written."""
    model = config.get("model")
    if (model is None or isinstance(model, str)) and not has_template(model):
        found = providers.find(model or "")
        if isinstance(found, Problem):
            yield found
    prompt = config.get("prompt")
    if prompt is None or (isinstance(prompt, str) and not prompt.strip()):
        yield Problem("missing-prompt", "there is no prompt", path="prompt", hint="say what the model is to write")


def keys_needed(config: Mapping[str, object], providers: ProviderRegistry) -> Iterable[str]:
    """Yield the providers without whose key a node with this config, as it is written, cannot run."""
    model = config.get("model")
    if isinstance(model, str) and not has_template(model):
        found = providers.find(model)
        if not isinstance(found, Problem) and found[0].requires_key:
            yield found[0].name
