"""The node types that a process knows, by name: built-ins, plug-ins, and what is registered. No global state."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Self

from offbook.nodes.builtin import ForeachNode, OutputNode, TemplateNode
from offbook.nodes.checks.kind import CheckKind
from offbook.nodes.checks.registry import CheckRegistry
from offbook.nodes.functions import FUNCTIONS, FunctionRegistry
from offbook.nodes.llm import LlmNode, RefineNode
from offbook.nodes.node_type import NodeType, source_of
from offbook.nodes.parking import ApprovalNode, WaitNode
from offbook.nodes.prices import PriceTable
from offbook.nodes.providers import ProviderRegistry, provider_registry
from offbook.nodes.python_node import PythonNode
from offbook.workflows.errors import OffbookError
from offbook.workflows.types import Clock

__all__ = ["PLUGIN_GROUP", "DuplicateNodeType", "NodeRegistry", "NodeType", "PluginRefused"]

PLUGIN_GROUP = "offbook.nodes"
CHECK_GROUP = "offbook.checks"


class DuplicateNodeType(OffbookError):
    """Two node types have one name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name = name
        super().__init__(f"the node type {name!r} is both {first} and {second}: rename or remove one")


class PluginRefused(OffbookError):
    """An entry point of an installed package gives no node type."""

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin = plugin
        super().__init__(f"{plugin}: {reason}: repair or uninstall the package")


class NodeRegistry:
    """Node types by name; implements `workflows.types.NodeTypes`."""

    def __init__(
        self,
        types: Iterable[NodeType] = (),
        checks: CheckRegistry | None = None,
        *,
        providers: ProviderRegistry | None = None,
    ) -> None:
        """`providers`: those that its types call, for whoever has keys for them."""
        self.checks = CheckRegistry.with_builtins() if checks is None else checks
        """What outputs can be checked for."""
        self.providers = providers
        self._types: dict[str, NodeType] = {}
        self._sources: dict[str, str] = {}
        for each in types:
            self.register(each)

    @classmethod
    def with_builtins(
        cls,
        providers: ProviderRegistry | None = None,
        functions: FunctionRegistry | None = None,
        *,
        prices: PriceTable | None = None,
        checks: CheckRegistry | None = None,
        clock: Clock = time.time,
    ) -> Self:
        """Build a registry of the built-in types.

        Without `providers` the scripted one alone; without `functions` those that `@offbook.node` registered; without
        `checks` the built-in ones and those that `@offbook.check` registered. `prices`: for estimates of what calls
        will cost.
        """
        providers = provider_registry({}) if providers is None else providers
        functions = FUNCTIONS if functions is None else functions
        return cls(
            (
                TemplateNode(),
                LlmNode(providers, prices),
                RefineNode(providers, prices),
                PythonNode(functions),
                ForeachNode(),
                WaitNode(clock),
                ApprovalNode(clock),
                OutputNode(),
            ),
            checks,
            providers=providers,
        )

    def get(self, name: str) -> NodeType | None:
        return self._types.get(name)

    def names(self) -> Sequence[str]:
        return tuple(self._types)

    def register(self, node_type: NodeType, source: str | None = None) -> None:
        """Add a node type; DuplicateNodeType, naming both sources, if its name is taken."""
        source = source or source_of(node_type)
        name = node_type.name
        if name in self._types:
            raise DuplicateNodeType(name, self._sources[name], source)
        self._types[name] = node_type
        self._sources[name] = source

    def load_plugins(self, plugins: Iterable[EntryPoint] | None = None) -> None:
        """Load what installed packages offer under `offbook.nodes`.

        An entry point is a NodeType (a class without constructor arguments, or an instance), or a module whose
        import registers functions. PluginRefused if one cannot be loaded, DuplicateNodeType if a name is taken.
        """
        for plugin in entry_points(group=PLUGIN_GROUP) if plugins is None else plugins:
            source, found = _load(plugin, NodeType)
            if isinstance(found, NodeType):
                self.register(found, source)
            elif not isinstance(found, ModuleType):
                raise PluginRefused(source, f"is neither a NodeType nor a module but a {type(found).__name__}")

    def load_checks(self, plugins: Iterable[EntryPoint] | None = None) -> None:
        """Load what installed packages offer under `offbook.checks`.

        An entry point is a CheckKind (a class without constructor arguments, or an instance), a function, which is
        registered under the entry point's name, or a module whose import registers functions. PluginRefused if one
        cannot be loaded, DuplicateCheck or FunctionRefused if a name is taken.
        """
        for plugin in entry_points(group=CHECK_GROUP) if plugins is None else plugins:
            source, found = _load(plugin, CheckKind)
            if isinstance(found, CheckKind):
                self.checks.register(found)
            elif callable(found):
                self.checks.functions.register(found, plugin.name)
            elif not isinstance(found, ModuleType):
                what = f"is no CheckKind, function or module but a {type(found).__name__}"
                raise PluginRefused(source, what)

    async def close(self) -> None:
        """Close every node type, also if closing one of them fails."""
        async with AsyncExitStack() as stack:
            for node_type in self._types.values():
                stack.push_async_callback(node_type.close)


def _load(plugin: EntryPoint, kind: type[object]) -> tuple[str, object]:
    """Load an entry point, make an instance if it is a class of this kind, and say where it is from."""
    source = f"plug-in {plugin.name!r} ({plugin.value}{_package(plugin)})"
    try:
        loaded = plugin.load()
        return source, loaded() if isinstance(loaded, type) and issubclass(loaded, kind) else loaded
    except Exception as error:
        raise PluginRefused(source, f"cannot be loaded: {type(error).__name__}: {error}") from error


def _package(plugin: EntryPoint) -> str:
    return f", of {plugin.dist.name}" if plugin.dist is not None else ""
