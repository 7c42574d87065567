"""The Jinja environment of documents: strict names, items before attributes, only listed things called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, Undefined, UndefinedError, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from offbook.workflows.template_budget import budget
from offbook.workflows.template_values import as_text, bounded_range, calculate, concat_text


class MissingValue(UndefinedError):
    """A template uses a name, an item or an attribute that is not there."""

    def __init__(self, obj: Any, name: Any, message: str) -> None:
        super().__init__(message)
        self.obj = None if obj is missing else obj
        self.name = name
        self.top_level = obj is missing


class _Missing(StrictUndefined):
    """A missing value that remembers what it was looked for in."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] | Callable[[str], Exception] = UndefinedError,
    ) -> None:
        raised = functools.partial(MissingValue, obj, name) if exc is UndefinedError else exc
        super().__init__(hint, obj, name, raised)  # type: ignore[arg-type]


class WorkflowEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with strict names, items before attributes, JSON for objects inside text, and bounds.

    `filters`, `methods` by type, and `bound` (the rewriting of a syntax tree) come from the modules beside
    this one. Only what is listed can be called.
    """

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "**", "%"])

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]],
        methods: Mapping[type, Mapping[str, Callable[..., Any]]],
        bound: Callable[[Any], Any],
    ) -> None:
        super().__init__(
            undefined=_Missing, autoescape=False, keep_trailing_newline=True, finalize=_finalize, optimized=False
        )
        self.filters = dict(filters)
        self._methods = methods
        self._bound = bound
        self.globals = {"range": bounded_range, "dict": dict, "namespace": Namespace}
        # What the rewritten tree calls: reached by `environment.NAME` in its code, by no name in a template.
        self.take_step = _take_step
        self.hold = _hold
        self.tick = _tick
        self.concat_text = concat_text
        self._callables = (_hold, _take_step, _tick, concat_text, bounded_range, dict, Namespace)

    def _generate(self, source: Any, name: Any, filename: Any, defer_init: bool = False) -> str:
        return super()._generate(self._bound(source), name, filename, defer_init)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look for an item before an attribute, so that `inputs.items` is the input."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item, a listed method, a slice; what is missing is undefined."""
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Namespace):
            attributes = _attributes(obj)
            return attributes[argument] if argument in attributes else self.undefined(obj=obj, name=argument)
        if isinstance(obj, LoopContext):
            if isinstance(argument, str) and not argument.startswith("_") and hasattr(obj, argument):
                return getattr(obj, argument)
            return self.undefined(obj=obj, name=argument)
        try:
            value = obj[argument]
        except (TypeError, LookupError):
            return self._method(obj, argument)
        return budget().charge(value) if isinstance(argument, slice) else value

    def _method(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, str):
            for kind, methods in self._methods.items():
                if isinstance(obj, kind) and argument in methods:
                    return functools.partial(methods[argument], obj)
        return self.undefined(obj=obj, name=argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Call what is listed, a macro or a loop; count the call and what it makes."""
        if isinstance(__obj, Undefined):
            __obj._fail_with_undefined_error()
        spent = budget()
        if isinstance(__obj, functools.partial | Macro | LoopContext) or _is_loop_method(__obj):
            spent.step()
        elif not any(__obj is each for each in __self._callables):
            raise SecurityError(f"calls a {type(__obj).__name__}, which cannot be called")
        return spent.charge(__context.call(__obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Do arithmetic whose result cannot be larger than a value may be."""
        return calculate(operator, left, right)


def _is_loop_method(obj: Any) -> bool:
    return isinstance(getattr(obj, "__self__", None), LoopContext)


def _attributes(namespace: Namespace) -> dict[str, Any]:
    # A namespace answers to its own attributes only; `obj.name` would look at nothing else either.
    attributes: dict[str, Any] = object.__getattribute__(namespace, "_Namespace__attrs")
    return attributes


def _take_step(size: int) -> None:
    budget().step(size)


def _hold(value: Any) -> Any:
    """Count a list, tuple or dict that a template wrote down."""
    return budget().charge(value)


def _tick(value: Any) -> Any:
    """Look at the clock before a comparison, which may take a while."""
    budget().step()
    return value


@pass_context
def _finalize(context: Context, value: Any) -> str:
    # Being given the context keeps Jinja from calling this when it compiles, where there is no budget.
    return as_text(value)
