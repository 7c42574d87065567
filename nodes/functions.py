"""Functions that `python` nodes call, by name, and the decorator that registers them. Calls none of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload

from offbook.nodes.node_type import source_of
from offbook.nodes.text import did_you_mean
from offbook.workflows.errors import OffbookError, Problem

F = TypeVar("F", bound=Callable[..., Any])

_WHAT = {"ctx": "context", "output": "output"}


class FunctionRefused(OffbookError):
    """A function cannot be registered for `python` nodes."""

    def __init__(self, name: str, function: object, reason: str) -> None:
        self.name = name
        super().__init__(f"function {name!r} ({source_of(function)}): {reason}")


@dataclass(frozen=True, slots=True)
class RegisteredFunction:
    """A function `f(ctx, **args)`, async or plain, and what its signature says of `args`."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    """Whether it runs on the node loop; a plain one runs on a thread of its own."""
    arguments: frozenset[str]
    required: frozenset[str]
    accepts_any: bool
    """Whether it takes further arguments: `**kwargs`."""

    def check_args(self, args: Mapping[str, object]) -> Iterable[Problem]:
        """Yield each argument that is unknown or missing."""
        for name in args:
            if name not in self.arguments and not self.accepts_any:
                yield Problem(
                    "unknown-argument",
                    f"the function {self.name!r} has no argument {name!r}",
                    path=f"args.{name}",
                    hint=did_you_mean(name, self.arguments, "it takes none"),
                )
        for name in sorted(self.required.difference(args)):
            yield Problem("missing-argument", f"the function {self.name!r} needs the argument {name!r}", path="args")


class FunctionRegistry:
    """Functions by name."""

    leading: ClassVar[tuple[str, ...]] = ("ctx",)
    """What a function is given before its arguments."""
    decorator: ClassVar[str] = "node"

    def __init__(self) -> None:
        self._functions: dict[str, RegisteredFunction] = {}

    def get(self, name: str) -> RegisteredFunction | None:
        return self._functions.get(name)

    def names(self) -> Iterable[str]:
        return tuple(self._functions)

    def register(self, function: Callable[..., Any], name: str | None = None) -> None:
        """Register a function under a name, its own by default.

        FunctionRefused if another function has the name, or if it cannot be called as `f(ctx, **args)`. The same
        function, defined again by a reloaded module, takes the place of the one before.
        """
        name = name or str(getattr(function, "__name__", ""))
        taken = self._functions.get(name)
        if taken is not None and not _same(taken.function, function):
            raise FunctionRefused(name, function, f"the name is taken by {source_of(taken.function)}")
        self._functions[name] = _examine(name, function, self.leading, self.decorator)

    @overload
    def node(self, function: F, /) -> F: ...

    @overload
    def node(self, name: str | None = None, /) -> Callable[[F], F]: ...

    def node(self, function: F | str | None = None, /) -> F | Callable[[F], F]:
        """Register `f(ctx, **args)` for `type: python` nodes: `@node` or `@node("name")`; returns it unchanged.

        An async function runs on the node loop and must not block; a plain one gets a thread of its own.
        """
        if callable(function):
            self.register(function)
            return function
        name = function

        def decorate(decorated: F) -> F:
            self.register(decorated, name)
            return decorated

        return decorate


def _same(first: object, second: object) -> bool:
    """Whether both are one function, or one defined again where the other was."""
    return first is second or (hasattr(second, "__qualname__") and source_of(first) == source_of(second))


def _examine(name: str, function: Callable[..., Any], leading: tuple[str, ...], decorator: str) -> RegisteredFunction:
    if not name:
        raise FunctionRefused(name, function, f'it has no name of its own: use @{decorator}("name")')
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise FunctionRefused(name, function, "it is a generator: return the output, and use ctx.text for its pieces")
    kinds = inspect.Parameter
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise FunctionRefused(name, function, "its signature cannot be read: wrap it in a function") from None
    taken = 0
    for word in leading:
        given = parameters[taken].kind if taken < len(parameters) else None
        if given in (None, kinds.KEYWORD_ONLY, kinds.VAR_KEYWORD):
            first = "its first parameter is" if len(leading) == 1 else "its first parameters are"
            order = f"{first} {' and '.join(f'`{each}`' for each in leading)}"
            raise FunctionRefused(name, function, f"it takes no {_WHAT[word]}: {order}")
        taken += given is not kinds.VAR_POSITIONAL
    others = parameters[taken:]
    named = [each for each in others if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    nameless = [each.name for each in others if each.kind is kinds.POSITIONAL_ONLY and each.default is kinds.empty]
    if nameless:
        raise FunctionRefused(name, function, f"{', '.join(nameless)} cannot be given by name")
    return RegisteredFunction(
        name=name,
        function=function,
        is_async=inspect.iscoroutinefunction(called),
        arguments=frozenset(each.name for each in named),
        required=frozenset(each.name for each in named if each.default is kinds.empty),
        accepts_any=any(each.kind is kinds.VAR_KEYWORD for each in others),
    )


FUNCTIONS = FunctionRegistry()
"""What the decorator `node` fills, and every registry of node types uses unless it is given another."""

node = FUNCTIONS.node
