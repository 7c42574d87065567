"""How a provider is configured. Holds the name of a key's variable, never a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from yarl import URL

from offbook.workflows.errors import OffbookError
from offbook.workflows.values import JsonObject

RESERVED_OPTIONS = frozenset({"model", "messages", "stream", "stream_options"})
"""Fields of a request that no option may replace."""


class ProviderSettingsRefused(OffbookError):
    """The configuration of providers is wrong; says where, and repeats no value, which might be a key."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"providers (OFFBOOK_PROVIDERS): {'; '.join(problems)}")


def check_options(options: JsonObject) -> JsonObject:
    """Return the options; ValueError if one would replace what Offbook sets itself."""
    reserved = sorted(RESERVED_OPTIONS.intersection(options))
    if reserved:
        raise ValueError(f"cannot set {', '.join(reserved)}")
    return options


class ProviderSettings(BaseModel):
    """A server that speaks OpenAI's `/chat/completions`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    base_url: str
    """Up to and with the version: `http://127.0.0.1:8090/v1`."""
    api_key_env: str | None = None
    """Variable that holds the key, if it is not OFFBOOK_KEY_<NAME>."""
    requires_key: bool = False
    """Whether a call without a key is refused before it is made."""
    options: JsonObject = Field(default_factory=dict)
    """Further fields of every request, unless the node's own options say otherwise: `repeat_penalty`, ..."""

    structured_output: bool = False
    """Whether the server takes `response_format` with a JSON Schema, and answers with what fits it."""

    @field_validator("base_url")
    @classmethod
    def _base_url_is_one(cls, base_url: str) -> str:
        try:
            url = URL(base_url)
        except ValueError:
            # Its own words may repeat what was given.
            raise ValueError("is no URL") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("must be an http or https URL")
        if url.user or url.password or url.query_string or url.fragment:
            raise ValueError("must have no credentials, query or fragment; keys come from api_key_env")
        return base_url.rstrip("/")

    @field_validator("options")
    @classmethod
    def _options_leave_the_rest_alone(cls, options: JsonObject) -> JsonObject:
        return check_options(options)


def read_settings(providers: Mapping[str, Any]) -> list[ProviderSettings]:
    """Read `{name: {base_url, ...}}`; ProviderSettingsRefused names everything that is wrong."""
    read: list[ProviderSettings] = []
    problems: list[str] = []
    for name, values in providers.items():
        if isinstance(values, ProviderSettings):
            read.append(values)
            continue
        if not isinstance(values, Mapping):
            problems.append(f"{name}: must be an object with a base_url")
            continue
        try:
            read.append(ProviderSettings.model_validate({**values, "name": name}))
        except ValidationError as refused:
            problems.extend(
                f"{name}.{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors()
            )
    if problems:
        raise ProviderSettingsRefused(problems)
    return read
