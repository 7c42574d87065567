"""Settings and keys of providers: what is refused, and that no refusal repeats a key."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.nodes.providers import (
    DuplicateProvider,
    EnvironmentKeys,
    OpenAIProvider,
    ProviderRegistry,
    ProviderSettings,
    ProviderSettingsRefused,
    ScriptedProvider,
    key_variable,
    provider_registry,
)
from offbook.workflows.errors import Problem
from offbook.workflows.values import ExecutionUser

ADA = ExecutionUser("ada")
LOCAL = {"base_url": "http://127.0.0.1:8090/v1/"}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"a": {}}, "a.base_url"),
        ({"a": {"base_url": "127.0.0.1:80"}}, "a.base_url"),
        ({"a": {"base_url": "ftp://host/v1"}}, "a.base_url"),
        ({"a": {"base_url": "http://"}}, "a.base_url"),
        ({"a": {"base_url": "http://user:sk-secret@host/v1"}}, "a.base_url"),
        ({"a": {"base_url": "http://user:sk-secret@[host/v1"}}, "a.base_url"),
        ({"a": {"base_url": "http://sk-secret\u2100@host/v1"}}, "a.base_url"),
        ({"a": {"base_url": "http://host/v1?key=sk-secret"}}, "a.base_url"),
        ({"a": {**LOCAL, "api_key": "sk-secret"}}, "a.api_key"),
        ({"a": {**LOCAL, "options": {"stream": False}}}, "a.options"),
        ({"a": {**LOCAL, "requires_key": "sk-secret"}}, "a.requires_key"),
        ({"A b": LOCAL}, "A b.name"),
        ({"a": "sk-secret"}, "a: must be an object"),
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(ProviderSettingsRefused) as refused:
        provider_registry(settings)
    assert where in str(refused.value)
    assert "sk-secret" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ProviderSettingsRefused) as refused:
        provider_registry({"a": {}, "b": {**LOCAL, "tiemout": 3}, "c": LOCAL, "d": 7})
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["a.base_url", "b.tiemout", "d"]


def test_configured_providers_stand_beside_the_scripted_one() -> None:
    registry = provider_registry({"local": LOCAL, "far": ProviderSettings(name="far", base_url="https://far/v1")})
    assert list(registry.names()) == ["scripted", "local", "far"]
    assert isinstance(registry.get("local"), OpenAIProvider)
    found = registry.find("local/org/model-7")
    assert not isinstance(found, Problem)
    assert (found[0].name, found[1]) == ("local", "org/model-7")
    with pytest.raises(DuplicateProvider, match="'scripted' is both"):
        provider_registry({"scripted": LOCAL})


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("", "missing-model"),
        ("  ", "missing-model"),
        ("gpt", "bad-model"),
        ("local/", "bad-model"),
        ("/gpt", "bad-model"),
        ("locl/gpt", "unknown-provider"),
    ],
)
def test_model_that_cannot_be_called_is_explained(model: str, code: str) -> None:
    problem = provider_registry({"local": LOCAL}).find(model)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.path) == (code, "model")
    assert "local" in problem.hint


async def test_key_comes_from_the_environment_as_it_is_then() -> None:
    environment = {"OFFBOOK_KEY_MY_PROVIDER": " sk-1 \n", "OTHER": "sk-2", "OFFBOOK_KEY_EMPTY": " "}
    keys = EnvironmentKeys({"named": "OTHER"}, environment)
    assert key_variable("my-provider") == "OFFBOOK_KEY_MY_PROVIDER"
    assert await keys.resolve(ADA, "my-provider") == "sk-1"
    assert await keys.resolve(None, "named") == "sk-2"
    assert await keys.resolve(ADA, "empty") is None
    assert await keys.resolve(ADA, "unknown") is None
    environment["OTHER"] = "sk-3"
    assert await keys.resolve(ADA, "named") == "sk-3"


async def test_settings_name_the_variable_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_TOKEN", "sk-local")
    registry = provider_registry({"local": {**LOCAL, "api_key_env": "LOCAL_TOKEN"}})
    assert await registry.keys.resolve(ADA, "local") == "sk-local"


class Unclosable(ScriptedProvider):
    """Fails to close."""

    name = "unclosable"

    async def close(self) -> None:
        raise OSError("will not close")


class Closable(ScriptedProvider):
    """Notes that it was closed."""

    name = "closable"
    closed = False

    async def close(self) -> None:
        self.closed = True


async def test_close_reaches_every_provider_past_one_that_fails() -> None:
    closable = Closable()
    registry = ProviderRegistry([closable, Unclosable()])
    with pytest.raises(OSError, match="will not close"):
        await registry.close()
    assert closable.closed
