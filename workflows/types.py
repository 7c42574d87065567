"""What the pure layer needs to know of node types; implemented by `offbook.nodes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel

from offbook.workflows.errors import Problem
from offbook.workflows.values import Usage


class Sight(StrEnum):
    """What of a run an attempt at a node can see, so that its output may depend on it."""

    CONFIG = "config"
    """Its config alone, evaluated: what is upstream comes in where a template names it."""
    LAST_OUTPUT = "last_output"
    """That, and the last output."""
    EVERYTHING = "everything"
    """All that is upstream, the inputs, the user, the item."""


class NodeTypeInfo(Protocol):
    """What validation and the run must know of a node type."""

    name: str
    config_model: type[BaseModel]
    """Checks `config`. A field whose value holds a template is checked after rendering, not before."""
    produces_content: bool
    """Whether its output counts as a last output for the nodes after it."""
    needs_last_output: bool
    """Whether something upstream must produce content for it."""
    needs_user: bool
    """Whether it cannot run without an execution user."""
    expression_fields: frozenset[str]
    """Config fields that are Jinja expressions with or without braces (`value` of none, `until`, ...)."""
    sees: Sight
    """What its output may depend on: a fork keeps an output for which none of that has changed."""

    def check_config(self, config: Mapping[str, object]) -> Iterable[Problem]:
        """Yield what `config_model` cannot say: unknown provider, unregistered function, missing model.

        Paths in the problems are relative to the config (`model`, `args.x`)."""
        ...

    def estimate(self, config: Mapping[str, object]) -> Usage | None:
        """Guess what one attempt will use, from its config as it is written; None: it never uses any tokens.

        A usage without tokens: it may, and nothing can be said of how many.
        """
        ...

    def model_of(self, config: Mapping[str, object]) -> str:
        """Name the model (`provider/name`) that a node with this config, as it is written, calls.

        Empty if it calls none, or if that is known only when the node runs.
        """
        ...

    def keys_needed(self, config: Mapping[str, object]) -> Iterable[str]:
        """Yield the providers without whose key a node with this config, as it is written, cannot run."""
        ...


class CheckKindInfo(Protocol):
    """What validation must know of a kind of check."""

    name: str
    params_model: type[BaseModel]
    shorthand: str
    """The parameter that may stand alone, in place of a mapping: `{min_words: 300}`; empty: none."""
    example: str
    """How it is written."""
    always_short: bool
    """Whether what is written is always that parameter, also where it is a mapping."""

    def check_params(self, params: Mapping[str, object]) -> Iterable[Problem]:
        """Yield what `params_model` cannot say: an unregistered function, a bad schema. Paths are relative."""
        ...


class CheckKinds(Protocol):
    """The registry of checks, as validation sees it."""

    def get(self, name: str) -> CheckKindInfo | None: ...

    def names(self) -> Iterable[str]: ...


class NodeTypes(Protocol):
    """The registry of node types, as validation and the plan see it."""

    @property
    def checks(self) -> CheckKinds:
        """What outputs can be checked for."""
        ...

    def get(self, name: str) -> NodeTypeInfo | None: ...

    def names(self) -> Iterable[str]: ...


Clock = Callable[[], float]
