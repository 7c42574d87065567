"""The effective fingerprint: what changes it, and what does not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from offbook.nodes.registry import NodeRegistry
from offbook.workflows.document import Workflow
from offbook.workflows.effective import Effective, effective_of
from offbook.workflows.plan import compile_plan
from offbook.workflows.scope import Scope
from offbook.workflows.templates import TemplateError
from offbook.workflows.values import ExecutionUser

TYPES = NodeRegistry.with_builtins()


def scope_of(node: dict[str, Any], *, before: str = "a draft", **fields: Any) -> Scope:
    """The scope of the node `n`, after `draft` and beside `aside`."""
    draft = {"id": "draft", "type": "template", "config": {"text": "x"}}
    aside = {"id": "aside", "type": "template", "config": {"text": "x"}}
    nodes = [draft, aside, {"id": "n", "needs": ["draft"], **node}]
    plan = compile_plan(Workflow.model_validate({"name": "test", "nodes": nodes}), TYPES)
    given: dict[str, Any] = {
        "inputs": {"tone": "calm", "unused": 1},
        "outputs": {"draft": before, "aside": "beside"},
        "user": ExecutionUser("ada"),
        "last_output_node": "draft",
        **fields,
    }
    return Scope(plan=plan, node=plan.node("n"), **given)


def effective(scope: Scope) -> Effective:
    info = TYPES.get(scope.node.body.type)
    assert info is not None
    return effective_of(scope, info)


def fingerprint(scope: Scope) -> str:
    return effective(scope).fingerprint({})


def llm(prompt: str = "{{ inputs.tone }} {{ nodes.draft.output }}", **config: Any) -> dict[str, Any]:
    return {"type": "llm", "config": {"model": "scripted/writer", "prompt": prompt, **config}}


REFINE = {"type": "refine", "config": {"model": "scripted/writer", "prompt": "shorter"}}
PYTHON = {"type": "python", "config": {"function": "f", "args": {"text": "{{ inputs.tone }}"}}}


@pytest.mark.parametrize(
    "other",
    [
        scope_of(llm("{{ inputs.tone }}: {{ nodes.draft.output }}")),
        scope_of(llm(temperature=0.5)),
        scope_of(llm(max_tokens=10)),
        scope_of({**llm(), "type": "refine"}),
        scope_of(llm(), before="another draft"),
        scope_of(llm(), inputs={"tone": "dark", "unused": 1}),
        scope_of({**llm(), "checks": ["empty"]}),
    ],
)
def test_what_is_written_or_evaluated_differently_is_another(other: Scope) -> None:
    assert fingerprint(other) != fingerprint(scope_of(llm()))


@pytest.mark.parametrize(
    "other",
    [
        scope_of({**llm(), "retry": {"attempts": 5}, "timeout": {"total": 3}, "label": "Label"}),
        scope_of({**llm(), "continue_on_error": True, "when": "inputs.tone == 'calm'"}),
        scope_of(llm(), inputs={"tone": "calm", "unused": 2}),
        scope_of(llm(), outputs={"draft": "a draft", "aside": "something else"}),
        scope_of(llm(), guidance="shorter"),
        scope_of(llm(), check_failures=("too short",)),
        scope_of(llm(), user=ExecutionUser("bob")),
    ],
)
def test_what_its_output_does_not_depend_on_changes_nothing(other: Scope) -> None:
    assert fingerprint(other) == fingerprint(scope_of(llm()))


def test_prompt_that_names_guidance_is_compared_without_any() -> None:
    told = llm("{{ inputs.tone }} {{ guidance }} {{ check_failures | join }}")
    plain = fingerprint(scope_of(told))
    assert fingerprint(scope_of(told, guidance="shorter", check_failures=("too long",))) == plain


def test_refine_depends_on_the_last_output_and_llm_only_where_it_names_it() -> None:
    assert fingerprint(scope_of(REFINE, before="two")) != fingerprint(scope_of(REFINE, before="one"))
    plain = llm("nothing named")
    assert fingerprint(scope_of(plain, before="two")) == fingerprint(scope_of(plain, before="one"))


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"inputs": {"tone": "calm", "unused": 2}}, False),
        ({"outputs": {"draft": "another", "aside": "beside"}}, False),
        ({"outputs": {"draft": "a draft", "aside": "not upstream"}}, True),
        ({"user": ExecutionUser("bob")}, False),
        ({"user": ExecutionUser("ada", "user", "gold")}, False),
        ({"item": "x", "index": 0, "items_so_far": ()}, False),
        ({"guidance": "shorter"}, True),
    ],
)
def test_function_depends_on_all_that_it_can_see(fields: dict[str, Any], same: bool) -> None:
    assert (fingerprint(scope_of(PYTHON, **fields)) == fingerprint(scope_of(PYTHON))) is same


def test_function_in_an_item_depends_on_item_index_and_the_items_before() -> None:
    def at(**fields: Any) -> str:
        return fingerprint(scope_of(PYTHON, **{"item": "x", "index": 1, "items_so_far": ("a",), **fields}))

    assert len({at(), at(item="y"), at(index=2), at(items_so_far=("b",)), at(items_so_far=None)}) == 5


def test_outputs_are_hashed_once_for_all_that_see_them() -> None:
    hashes: dict[str, str] = {}
    first = effective(scope_of(PYTHON)).fingerprint(hashes)
    assert hashes["draft"] == hashlib.sha256(b'"a draft"').hexdigest()
    hashes["draft"] = "0" * 64
    assert effective(scope_of(PYTHON)).fingerprint(hashes) != first


def test_order_of_keys_is_no_difference() -> None:
    one, two = {"type": "template", "config": {"text": {"a": 1, "b": 2}}}, {"config": {"text": {"b": 2, "a": 1}}}
    assert fingerprint(scope_of(one)) == fingerprint(scope_of({**two, "type": "template"}))


def test_config_that_cannot_be_evaluated_has_no_fingerprint() -> None:
    with pytest.raises(TemplateError):
        fingerprint(scope_of(llm("{{ inputs.nothing }}")))


def test_differences_are_told_in_words() -> None:
    was = effective(scope_of(llm()))
    assert list(effective(scope_of(llm("other", temperature=1))).differences(was)) == [
        "prompt is written differently",
        "temperature is written differently",
    ]
    assert list(effective(scope_of(llm(), before="two")).differences(was)) == ["prompt is evaluated differently"]
    seen = effective(scope_of(PYTHON, before="two")).differences(effective(scope_of(PYTHON)))
    assert list(seen) == ["sees other outputs of draft"]


def checked(*checks: Any, lists: Any = None, **scope: Any) -> Scope:
    """The scope of a node with checks, in a workflow with lists of them."""
    node = {"id": "n", **llm("write"), "checks": list(checks)}
    document = {"name": "test", "nodes": [node], "checks": lists or {}}
    plan = compile_plan(Workflow.model_validate(document), TYPES)
    inputs = {"least": 5, **scope.pop("inputs", {})}
    return Scope(plan=plan, node=plan.node("n"), inputs=inputs, outputs={}, user=None, **scope)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (checked("prose", lists={"prose": ["empty"]}), checked("prose", lists={"prose": ["refusal"]})),
        (
            checked({"min_words": "{{ inputs.least }}"}),
            checked({"min_words": "{{ inputs.least }}"}, inputs={"least": 9}),
        ),
        (checked(), checked("empty")),
    ],
)
def test_output_that_passed_other_checks_is_another(one: Scope, other: Scope) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_list_of_checks_is_as_good_as_what_is_in_it() -> None:
    assert fingerprint(checked("prose", lists={"prose": ["empty"]})) == fingerprint(checked("empty"))


def test_reasons_of_an_attempt_before_are_not_part_of_an_output() -> None:
    told = llm("write {{ check_failures | join }}")
    assert fingerprint(scope_of(told, check_failures=("3 words",))) == fingerprint(scope_of(told))
