"""JSON Schemas in OpenAI's words: sent where the server takes them, and strict only where it would be taken so."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.nodes.providers import OpenAIProvider, ProviderSettings
from offbook.nodes.providers.response_format import response_format
from tests.nodes.providers.asking import Hearing, request
from tests.nodes.providers.model_server import ModelServer

CLOSED = {
    "type": "object",
    "required": ["title", "pages"],
    "additionalProperties": False,
    "properties": {"title": {"type": "string"}, "pages": {"type": "array", "items": {"type": "integer"}}},
}
OPEN = {"type": "object", "properties": {"title": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        (OPEN, False),
        ({**CLOSED, "required": ["title"]}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({"type": "array", "items": CLOSED}, False),
        ({**CLOSED, "properties": {"title": OPEN, "pages": {}}}, False),
        ({**CLOSED, "properties": {"title": {"anyOf": [CLOSED, {"type": "null"}]}, "pages": {}}}, True),
        ({**CLOSED, "properties": {"title": {"anyOf": [CLOSED, OPEN]}, "pages": {}}}, False),
        ({**CLOSED, "allOf": [{}]}, False),
    ],
)
def test_schema_is_strict_where_the_server_takes_it_so(schema: Any, strict: bool) -> None:
    assert response_format(schema)["json_schema"] == {"name": "answer", "schema": schema, "strict": strict}


@pytest.mark.parametrize("structured", [True, False])
async def test_schema_is_sent_to_servers_that_take_one(server: ModelServer, structured: bool) -> None:
    provider = OpenAIProvider(
        ProviderSettings(name="fake", base_url=f"{server.url}/v1", structured_output=structured)
    )
    await Hearing().ask(provider, request(json_schema=OPEN))
    await Hearing().ask(provider, request())
    await provider.close()
    assert server.asked[0].body.get("response_format") == (response_format(OPEN) if structured else None)
    assert "response_format" not in server.asked[1].body


async def test_options_of_the_node_have_the_last_word(server: ModelServer) -> None:
    provider = OpenAIProvider(ProviderSettings(name="fake", base_url=f"{server.url}/v1", structured_output=True))
    own = {"type": "json_object"}
    await Hearing().ask(provider, request(json_schema=OPEN, options={"response_format": own}))
    await provider.close()
    assert server.asked[0].body["response_format"] == own
