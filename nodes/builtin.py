"""The node types that only pass values on: template, output, foreach. None waits or calls anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel

from offbook.nodes.context import NodeContext, NodeFailure
from offbook.nodes.node_type import NodeConfig, NodeType
from offbook.workflows.document import CONTAINER_TYPE, ForeachConfig
from offbook.workflows.errors import Problem
from offbook.workflows.types import Sight
from offbook.workflows.values import JsonValue


class TemplateConfig(NodeConfig):
    """Text, or any value, with templates in it."""

    text: JsonValue


class TemplateNode(NodeType):
    """Returns its `text`, rendered."""

    name = "template"
    is_call = False
    config_model: type[BaseModel] = TemplateConfig
    produces_content = True
    sees = Sight.CONFIG

    async def run(self, ctx: NodeContext, config: TemplateConfig) -> JsonValue:
        return config.text


class OutputConfig(NodeConfig):
    """The result of the execution, and how whoever shows it should read it."""

    value: JsonValue
    format: Literal["markdown", "html", "text", "json"] | None = None


class OutputNode(NodeType):
    """Returns its `value`, rendered: a result of the execution."""

    name = "output"
    is_call = False
    config_model: type[BaseModel] = OutputConfig
    sees = Sight.CONFIG

    async def run(self, ctx: NodeContext, config: OutputConfig) -> JsonValue:
        return config.value


class ForeachNode(NodeType):
    """Known here so that documents can be checked; the engine runs its items as attempts of their own."""

    name = CONTAINER_TYPE
    config_model: type[BaseModel] = ForeachConfig
    produces_content = True
    expression_fields = frozenset({"count", "items"})

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        given = [key for key in ("count", "items") if config.get(key) is not None]
        if len(given) != 1:
            yield Problem(
                "foreach-items",
                "has both `count` and `items`" if given else "has neither `count` nor `items`",
                path=given[-1] if given else "",
                hint="give one of them: a number of items, or a list",
            )
        do = config.get("do")
        if isinstance(do, Mapping) and do.get("type") == CONTAINER_TYPE:
            yield Problem(
                "nested-foreach",
                "a foreach cannot be what another foreach does",
                path="do.type",
                hint="make one list of all items in a node before it",
            )

    async def run(self, ctx: NodeContext, config: ForeachConfig) -> JsonValue:
        raise NodeFailure.of("validation", f"the engine runs the items of {ctx.node_id}, not the foreach itself")
