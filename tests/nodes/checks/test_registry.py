"""Kinds of checks by name, of plug-ins too, and the functions that are registered for them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

import offbook
from offbook.nodes import NodeContext, NodeRegistry
from offbook.nodes.checks import CheckFunctions, CheckKind, CheckParams, CheckRegistry, DuplicateCheck, Produced
from offbook.nodes.checks.functions import CHECKS
from offbook.nodes.functions import FunctionRefused
from offbook.nodes.registry import CHECK_GROUP, PluginRefused
from offbook.workflows.types import CheckKinds
from offbook.workflows.validation import find_problems
from offbook.workflows.values import JsonValue

HERE = "tests.nodes.checks.test_registry"


class Rhymes(CheckKind):
    """Fails what does not end on `-ine`."""

    name = "rhymes"

    def examine(self, produced: Produced, params: CheckParams) -> str | None:
        return None if produced.text.endswith("ine") else "it does not rhyme"


class SecondEmpty(Rhymes):
    name = "empty"


def long_enough(ctx: NodeContext, output: JsonValue, least: int = 3) -> bool:
    return len(output) >= least


def plugin(value: str) -> EntryPoint:
    return EntryPoint("lengthy", value, CHECK_GROUP)


def registry() -> NodeRegistry:
    return NodeRegistry.with_builtins(checks=CheckRegistry.with_builtins(CheckFunctions()))


def test_builtin_kinds_are_the_promised_ones() -> None:
    kinds: CheckKinds = registry().checks
    promised = ["empty", "min_words", "min_sentences", "repetition", "refusal", "json_schema", "outline", "function"]
    assert list(kinds.names()) == promised
    for name in promised:
        kind = kinds.get(name)
        assert kind is not None
        assert (kind.name, bool(kind.example)) == (name, True)


@pytest.mark.parametrize("value", [f"{HERE}:Rhymes", f"{HERE}:long_enough", HERE])
def test_plugin_gives_a_kind_a_function_or_a_module(value: str) -> None:
    types = registry()
    types.load_checks([plugin(value)])
    assert (types.checks.get("rhymes") is not None) == value.endswith("Rhymes")
    assert (types.checks.functions.get("lengthy") is not None) == value.endswith("long_enough")


def test_kind_of_a_plugin_is_known_to_validation() -> None:
    document = {"name": "x", "nodes": [{"id": "a", "type": "template", "config": {"text": ""}, "checks": ["rhymes"]}]}
    types = registry()
    assert [each.code for each in find_problems(document, types)] == ["unknown-check"]
    types.load_checks([plugin(f"{HERE}:Rhymes")])
    assert not find_problems(document, types)


def test_second_kind_of_a_name_names_both() -> None:
    with pytest.raises(DuplicateCheck, match=r"empty.*Empty and .*SecondEmpty"):
        registry().load_checks([plugin(f"{HERE}:SecondEmpty")])


@pytest.mark.parametrize("value", ["tests.no_such_module:x", f"{HERE}:HERE"])
def test_plugin_that_gives_no_check_is_named(value: str) -> None:
    with pytest.raises(PluginRefused, match="plug-in 'lengthy'"):
        registry().load_checks([plugin(value)])


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: None, "it takes no context"),
        (lambda ctx: None, "it takes no output"),
        (lambda ctx, *, output: None, "it takes no output"),
        (lambda ctx, output, least, /: None, "cannot be given by name"),
    ],
)
def test_function_that_cannot_be_asked_is_refused(function: Any, reason: str) -> None:
    with pytest.raises(FunctionRefused, match=reason):
        CheckFunctions().register(function, "x")


def test_arguments_are_checked_before_anything_is_spent() -> None:
    types = registry()
    types.checks.functions.register(long_enough)

    def found(check: JsonValue) -> list[tuple[str, str]]:
        node = {"id": "a", "type": "template", "config": {"text": ""}, "checks": [{"function": check}]}
        return [(each.code, each.path) for each in find_problems({"name": "x", "nodes": [node]}, types)]

    assert found("long_enough") == []
    assert found({"name": "long_enough", "args": {"least": 5}}) == []
    path = "nodes[0].checks[0].function"
    assert found({"name": "long_enough", "args": {"leest": 5}}) == [("unknown-argument", f"{path}.args.leest")]
    assert found("long_enuf") == [("unknown-function", path)]


def test_decorator_of_the_package_registers_for_every_registry() -> None:
    @offbook.check("only_for_this_test")
    def judge(ctx: NodeContext, output: JsonValue) -> None:
        return None

    assert CHECKS.get("only_for_this_test") is not None
    assert NodeRegistry.with_builtins().checks.functions.get("only_for_this_test") is not None
