"""The registry of providers that settings ask for. The scripted one is always in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offbook.nodes.providers.openai import OpenAIProvider
from offbook.nodes.providers.protocol import KeyResolver
from offbook.nodes.providers.registry import ProviderRegistry
from offbook.nodes.providers.scripted import ScriptedProvider
from offbook.nodes.providers.settings import read_settings


def provider_registry(settings: Mapping[str, Any] | None = None, keys: KeyResolver | None = None) -> ProviderRegistry:
    """Build the providers of `{name: {base_url, ...} | ProviderSettings}`, and the scripted one.

    Without `keys`, keys come from the environment. ProviderSettingsRefused if the settings are wrong,
    DuplicateProvider if one is called `scripted`.
    """
    read = read_settings(settings or {})
    variables = {each.name: each.api_key_env for each in read if each.api_key_env}
    registry = ProviderRegistry([ScriptedProvider()], keys, variables=variables)
    for each in read:
        registry.register(OpenAIProvider(each))
    return registry
