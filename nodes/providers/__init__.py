"""Model providers: what they are, which there are, and how they are configured."""

from offbook.nodes.providers.configured import provider_registry
from offbook.nodes.providers.key_finder import KeyFinder
from offbook.nodes.providers.keys import EnvironmentKeys, key_variable
from offbook.nodes.providers.openai import OpenAIProvider
from offbook.nodes.providers.protocol import (
    KeyResolver,
    KeySource,
    Message,
    ModelAnswer,
    ModelRequest,
    OnText,
    Provider,
    ignore_text,
)
from offbook.nodes.providers.registry import DuplicateProvider, ProviderRegistry
from offbook.nodes.providers.script import Script, ScriptedFailure
from offbook.nodes.providers.scripted import ScriptedProvider
from offbook.nodes.providers.secrets import Secrets
from offbook.nodes.providers.settings import ProviderSettings, ProviderSettingsRefused

__all__ = [
    "DuplicateProvider",
    "EnvironmentKeys",
    "KeyFinder",
    "KeyResolver",
    "KeySource",
    "Message",
    "ModelAnswer",
    "ModelRequest",
    "OnText",
    "OpenAIProvider",
    "Provider",
    "ProviderRegistry",
    "ProviderSettings",
    "ProviderSettingsRefused",
    "Script",
    "ScriptedFailure",
    "ScriptedProvider",
    "Secrets",
    "ignore_text",
    "key_variable",
    "provider_registry",
]
