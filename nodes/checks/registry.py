"""The kinds of checks that a process knows, by name: built-ins, plug-ins, registered functions. No global state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from offbook.nodes.checks.empty import Empty
from offbook.nodes.checks.functions import CHECKS, CheckFunctions, FunctionCheck
from offbook.nodes.checks.json_schema import JsonSchema
from offbook.nodes.checks.kind import CheckKind
from offbook.nodes.checks.outline import Outline
from offbook.nodes.checks.refusal import Refusal
from offbook.nodes.checks.repetition import Repetition
from offbook.nodes.checks.sentences import MinSentences
from offbook.nodes.checks.words import MinWords
from offbook.nodes.node_type import source_of
from offbook.workflows.errors import OffbookError


class DuplicateCheck(OffbookError):
    """Two kinds of checks have one name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name = name
        super().__init__(f"the check {name!r} is both {first} and {second}: rename or remove one")


class CheckRegistry:
    """Kinds of checks by name; implements `workflows.types.CheckKinds`."""

    def __init__(self, kinds: Iterable[CheckKind] = (), functions: CheckFunctions | None = None) -> None:
        self.functions = CHECKS if functions is None else functions
        self._kinds: dict[str, CheckKind] = {}
        for each in kinds:
            self.register(each)

    @classmethod
    def with_builtins(cls, functions: CheckFunctions | None = None) -> Self:
        """Build a registry of the built-in kinds; without `functions` those that `@offbook.check` registered."""
        functions = CHECKS if functions is None else functions
        kinds = (Empty(), MinWords(), MinSentences(), Repetition(), Refusal(), JsonSchema(), Outline())
        return cls((*kinds, FunctionCheck(functions)), functions)

    def get(self, name: str) -> CheckKind | None:
        return self._kinds.get(name)

    def names(self) -> Sequence[str]:
        return tuple(self._kinds)

    def register(self, kind: CheckKind) -> None:
        """Add a kind; DuplicateCheck, naming both sources, if its name is taken."""
        taken = self._kinds.get(kind.name)
        if taken is not None:
            raise DuplicateCheck(kind.name, source_of(taken), source_of(kind))
        self._kinds[kind.name] = kind
