"""Node types: what a step of a workflow can be, and what it is given to work with."""

from offbook.nodes.context import NodeContext, NodeFailure, Park
from offbook.nodes.functions import FunctionRegistry, node
from offbook.nodes.node_type import NodeConfig, NodeType
from offbook.nodes.providers import KeyResolver, ProviderRegistry, ProviderSettings, provider_registry
from offbook.nodes.registry import NodeRegistry

__all__ = [
    "FunctionRegistry",
    "KeyResolver",
    "NodeConfig",
    "NodeContext",
    "NodeFailure",
    "NodeRegistry",
    "NodeType",
    "Park",
    "ProviderRegistry",
    "ProviderSettings",
    "node",
    "provider_registry",
]
