"""The registry of node types: built-ins, plug-ins from entry points, duplicates, closing."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import BaseModel

from offbook.nodes import NodeConfig, NodeContext, NodeRegistry, NodeType
from offbook.nodes.registry import PLUGIN_GROUP, DuplicateNodeType, PluginRefused
from offbook.workflows.types import NodeTypeInfo, NodeTypes


class Haiku(NodeType):
    """What a plug-in brings."""

    name = "haiku"
    config_model: type[BaseModel] = NodeConfig
    closed = 0

    async def run(self, ctx: NodeContext, config: NodeConfig) -> str:
        return "an old silent pond"

    async def close(self) -> None:
        Haiku.closed += 1


class NeedsArguments(Haiku):
    """Cannot be built by the registry."""

    def __init__(self, season: str) -> None:
        self.season = season


class Sturdy(Haiku):
    """Fails to close."""

    name = "sturdy"

    async def close(self) -> None:
        raise OSError("will not close")


HERE = "tests.nodes.test_registry"


def plugin(value: str) -> EntryPoint:
    return EntryPoint("one", value, PLUGIN_GROUP)


def test_builtins_are_the_promised_ones() -> None:
    registry: NodeTypes = NodeRegistry.with_builtins()
    names = {"template", "llm", "refine", "python", "foreach", "wait", "approval", "output"}
    assert set(registry.names()) == names
    for name in names:
        info: NodeTypeInfo | None = registry.get(name)
        assert info is not None
        assert info.name == name
        assert info.config_model.model_json_schema()["type"] == "object"
    assert registry.get("haiku") is None


def test_duplicate_name_names_both() -> None:
    registry = NodeRegistry([Haiku()])
    with pytest.raises(DuplicateNodeType, match=rf"'haiku' is both {HERE}\.Haiku and plug-in 'one' \({HERE}:Haiku\)"):
        registry.load_plugins([plugin(f"{HERE}:Haiku")])


def test_plugin_may_be_a_class_an_instance_or_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (f"{HERE}:Haiku", f"{HERE}:HAIKU"):
        registry = NodeRegistry.with_builtins()
        registry.load_plugins([plugin(value), plugin(HERE)])
        assert isinstance(registry.get("haiku"), Haiku)


HAIKU = Haiku()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("tests.nodes.no_such_module:x", "ModuleNotFoundError"),
        (f"{HERE}:NeedsArguments", "TypeError"),
        (f"{HERE}:HERE", "neither a NodeType nor a module but a str"),
    ],
)
def test_plugin_that_gives_no_node_type_is_named(value: str, reason: str) -> None:
    with pytest.raises(PluginRefused, match=f"plug-in 'one'.*{reason}"):
        NodeRegistry().load_plugins([plugin(value)])


def test_plugins_of_installed_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "poems-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: poems\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[{PLUGIN_GROUP}]\nhaiku = {HERE}:Haiku\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    registry = NodeRegistry.with_builtins()
    registry.load_plugins()
    assert isinstance(registry.get("haiku"), Haiku)
    with pytest.raises(DuplicateNodeType, match="of poems"):
        registry.load_plugins()


async def test_close_reaches_every_type_past_one_that_fails() -> None:
    Haiku.closed = 0
    registry = NodeRegistry([Haiku(), Sturdy()])
    with pytest.raises(OSError, match="will not close"):
        await registry.close()
    assert Haiku.closed == 1
