"""The public API of Offbook: everything a program that embeds it needs, and nothing else.

    from offbook import Engine, EngineSettings, node

Names are imported when they are first used: `import offbook` alone loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offbook.engine import Engine, WorkerFailed
    from offbook.nodes.checks.functions import CheckFunctions, check
    from offbook.nodes.checks.kind import CheckKind, CheckParams, Produced
    from offbook.nodes.checks.registry import CheckRegistry, DuplicateCheck
    from offbook.nodes.context import NodeContext, NodeFailure, Park
    from offbook.nodes.functions import FunctionRefused, FunctionRegistry, node
    from offbook.nodes.node_type import NodeConfig, NodeType
    from offbook.nodes.providers.configured import provider_registry
    from offbook.nodes.providers.protocol import (
        KeyResolver,
        KeySource,
        Message,
        ModelAnswer,
        ModelRequest,
        Provider,
    )
    from offbook.nodes.providers.registry import DuplicateProvider, ProviderRegistry
    from offbook.nodes.providers.settings import ProviderSettings, ProviderSettingsRefused
    from offbook.nodes.registry import DuplicateNodeType, NodeRegistry, PluginRefused
    from offbook.persistence.databases import DatabaseRefused
    from offbook.persistence.folder import DataFolderTaken, DataFolderUnusable
    from offbook.persistence.memory_journal import MemoryJournal
    from offbook.persistence.memory_store import MemoryStore
    from offbook.persistence.migrations import SchemaTooNew
    from offbook.persistence.sql_store import SqlStore
    from offbook.settings import EngineSettings, SettingRefused
    from offbook.workflows.caller import OPERATOR, Caller
    from offbook.workflows.changes import WorkflowChanged
    from offbook.workflows.checkpoint import UnreadableState
    from offbook.workflows.document import (
        CheckRetryPolicy,
        ForeachConfig,
        InputField,
        Need,
        Node,
        NodeBody,
        RestartPolicy,
        RetryPolicy,
        TimeoutPolicy,
        Workflow,
    )
    from offbook.workflows.errors import (
        BudgetNotFound,
        CheckpointNotFound,
        CommandRefused,
        ConfigurationRefused,
        Draining,
        ExecutionNotFound,
        ExecutionUserMissing,
        Forbidden,
        IdempotencyConflict,
        IllegalTransition,
        NodeNotFound,
        NotResumable,
        OffbookError,
        OverCapacity,
        Problem,
        StaleMessage,
        StatusUnavailable,
        StorageUnavailable,
        ValidationFailed,
        WorkflowNotFound,
    )
    from offbook.workflows.fork_request import ForkRequest
    from offbook.workflows.key_errors import (
        KeyNotFound,
        KeysKeptElsewhere,
        MasterKeyMissing,
        MasterKeyRefused,
        UserNotFound,
    )
    from offbook.workflows.loading import load_workflow
    from offbook.workflows.plan import UnknownNodeType
    from offbook.workflows.states import Durability, ExecutionStatus, NodeStatus
    from offbook.workflows.types import Sight
    from offbook.workflows.values import ExecutionUser, JsonObject, JsonValue, NodeError, Usage

__all__ = [
    "OPERATOR",
    "BudgetNotFound",
    "Caller",
    "CheckFunctions",
    "CheckKind",
    "CheckParams",
    "CheckRegistry",
    "CheckRetryPolicy",
    "CheckpointNotFound",
    "CommandRefused",
    "ConfigurationRefused",
    "DataFolderTaken",
    "DataFolderUnusable",
    "DatabaseRefused",
    "Draining",
    "DuplicateCheck",
    "DuplicateNodeType",
    "DuplicateProvider",
    "Durability",
    "Engine",
    "EngineSettings",
    "ExecutionNotFound",
    "ExecutionStatus",
    "ExecutionUser",
    "ExecutionUserMissing",
    "Forbidden",
    "ForeachConfig",
    "ForkRequest",
    "FunctionRefused",
    "FunctionRegistry",
    "IdempotencyConflict",
    "IllegalTransition",
    "InputField",
    "JsonObject",
    "JsonValue",
    "KeyNotFound",
    "KeyResolver",
    "KeySource",
    "KeysKeptElsewhere",
    "MasterKeyMissing",
    "MasterKeyRefused",
    "MemoryJournal",
    "MemoryStore",
    "Message",
    "ModelAnswer",
    "ModelRequest",
    "Need",
    "Node",
    "NodeBody",
    "NodeConfig",
    "NodeContext",
    "NodeError",
    "NodeFailure",
    "NodeNotFound",
    "NodeRegistry",
    "NodeStatus",
    "NodeType",
    "NotResumable",
    "OffbookError",
    "OverCapacity",
    "Park",
    "PluginRefused",
    "Problem",
    "Produced",
    "Provider",
    "ProviderRegistry",
    "ProviderSettings",
    "ProviderSettingsRefused",
    "RestartPolicy",
    "RetryPolicy",
    "SchemaTooNew",
    "SettingRefused",
    "Sight",
    "SqlStore",
    "StaleMessage",
    "StatusUnavailable",
    "StorageUnavailable",
    "TimeoutPolicy",
    "UnknownNodeType",
    "UnreadableState",
    "Usage",
    "UserNotFound",
    "ValidationFailed",
    "WorkerFailed",
    "Workflow",
    "WorkflowChanged",
    "WorkflowNotFound",
    "check",
    "load_workflow",
    "node",
    "provider_registry",
]

_HOMES = {
    "engine": ("Engine", "WorkerFailed"),
    "nodes.checks.functions": ("CheckFunctions", "check"),
    "nodes.checks.kind": ("CheckKind", "CheckParams", "Produced"),
    "nodes.checks.registry": ("CheckRegistry", "DuplicateCheck"),
    "nodes.context": ("NodeContext", "NodeFailure", "Park"),
    "nodes.functions": ("FunctionRefused", "FunctionRegistry", "node"),
    "nodes.node_type": ("NodeConfig", "NodeType"),
    "nodes.providers.configured": ("provider_registry",),
    "nodes.providers.protocol": ("KeyResolver", "KeySource", "Message", "ModelAnswer", "ModelRequest", "Provider"),
    "nodes.providers.registry": ("DuplicateProvider", "ProviderRegistry"),
    "nodes.providers.settings": ("ProviderSettings", "ProviderSettingsRefused"),
    "nodes.registry": ("DuplicateNodeType", "NodeRegistry", "PluginRefused"),
    "persistence.databases": ("DatabaseRefused",),
    "persistence.folder": ("DataFolderTaken", "DataFolderUnusable"),
    "persistence.memory_journal": ("MemoryJournal",),
    "persistence.memory_store": ("MemoryStore",),
    "persistence.migrations": ("SchemaTooNew",),
    "persistence.sql_store": ("SqlStore",),
    "settings": ("EngineSettings", "SettingRefused"),
    "workflows.caller": ("OPERATOR", "Caller"),
    "workflows.changes": ("WorkflowChanged",),
    "workflows.checkpoint": ("UnreadableState",),
    "workflows.document": (
        *("CheckRetryPolicy", "ForeachConfig", "InputField", "Need", "Node", "NodeBody"),
        *("RestartPolicy", "RetryPolicy", "TimeoutPolicy", "Workflow"),
    ),
    "workflows.errors": (
        *("BudgetNotFound", "ConfigurationRefused"),
        *("CheckpointNotFound", "CommandRefused", "Draining", "ExecutionNotFound", "ExecutionUserMissing"),
        *("Forbidden", "IdempotencyConflict", "IllegalTransition", "NodeNotFound", "NotResumable", "OffbookError"),
        *("OverCapacity", "Problem", "StaleMessage", "StatusUnavailable", "StorageUnavailable"),
        *("ValidationFailed", "WorkflowNotFound"),
    ),
    "workflows.key_errors": (
        *("KeyNotFound", "KeysKeptElsewhere", "MasterKeyMissing", "MasterKeyRefused", "UserNotFound"),
    ),
    "workflows.fork_request": ("ForkRequest",),
    "workflows.loading": ("load_workflow",),
    "workflows.plan": ("UnknownNodeType",),
    "workflows.states": ("Durability", "ExecutionStatus", "NodeStatus"),
    "workflows.types": ("Sight",),
    "workflows.values": ("ExecutionUser", "JsonObject", "JsonValue", "NodeError", "Usage"),
}
"""Which module each public name is in."""

_MODULES = {name: module for module, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # hidden from type checkers, which would take it as a promise of any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used, and keep it."""
        if name not in _MODULES:
            raise AttributeError(f"module 'offbook' has no attribute {name!r}")
        value = getattr(import_module(f"offbook.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
