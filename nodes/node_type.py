"""What a node type is: how its config is checked and what an attempt does. Holds no run state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from offbook.nodes.context import NodeContext
from offbook.workflows.errors import Problem
from offbook.workflows.types import Sight
from offbook.workflows.values import JsonValue, Usage


class NodeConfig(BaseModel):
    """Base of the configs of node types: immutable, no word it does not know, no prompt in its errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NodeType(ABC):
    """A kind of step. One instance serves every node and every attempt, so it keeps nothing of them."""

    name: str
    config_model: type[BaseModel]
    produces_content: bool = False
    """Whether its output counts as a last output for the nodes after it."""
    needs_last_output: bool = False
    needs_user: bool = False
    """Whether it works on somebody's behalf: with their keys, or for their account."""
    is_call: bool = True
    """Whether its attempts count as calls for the limits of users: not where it only works on values, or parks."""
    expression_fields: frozenset[str] = frozenset()
    """Config fields that are Jinja expressions, with or without braces."""
    sees: Sight = Sight.EVERYTHING
    """What its output may depend on: a fork keeps an output for which none of that has changed."""

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        """Yield what `config_model` cannot say of a config as it is written, before its templates are rendered.

        Paths in the problems are relative to the config.
        """
        return ()

    def estimate(self, config: Mapping[str, object]) -> Usage | None:
        """Guess what one attempt will use, from its config as it is written; None: it never uses any tokens.

        A usage without tokens: it may, and nothing can be said of how many. Budgets hold back what may use some.
        """
        return None

    def model_of(self, config: Mapping[str, object]) -> str:
        """Name the model (`provider/name`) that a node with this config, as it is written, calls.

        Empty if it calls none, or if that is known only when the node runs. An attempt that was lost with its process
        is charged to it if nothing repeats it.
        """
        return ""

    def keys_needed(self, config: Mapping[str, object]) -> Iterable[str]:
        """Yield the providers without whose key a node with this config, as it is written, cannot run."""
        return ()

    @abstractmethod
    async def run(self, ctx: NodeContext, config: Any) -> JsonValue:
        """Make one attempt; `config` is an instance of `config_model`, with its templates rendered.

        Return the output, or raise NodeFailure or Park. The task is cancelled when the attempt is to stop.
        """

    async def close(self) -> None:
        """Give back what it holds open; called once, on the loop that its attempts ran on."""
        return


def source_of(thing: object) -> str:
    """Say where a class, function or instance was defined: `package.module.Name`."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"
