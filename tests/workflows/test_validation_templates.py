"""What validation knows of templates: what they use must be there when the node runs."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.workflows.errors import Problem
from offbook.workflows.validation import find_problems
from tests.workflows.fake_types import TYPES

INPUTS = {
    "premise": {"type": "text"},
    "chapters": {"type": "integer", "default": 3},
    "cover": {"type": "boolean"},
    "items": {"type": "list"},
}


def llm(prompt: str = "go", **more: Any) -> dict[str, Any]:
    return {"type": "llm", "config": {"model": "scripted/x", "prompt": prompt}, **more}


def problems(**change: Any) -> list[Problem]:
    """Problems of first -> middle -> last beside aside, where `middle` is changed."""
    nodes = [
        {"id": "first", **llm()},
        {"id": "middle", "needs": ["first"], **llm(), **change},
        {"id": "last", "needs": ["middle"], **llm()},
        {"id": "aside", **llm()},
    ]
    return find_problems({"name": "x", "inputs": INPUTS, "nodes": nodes}, TYPES)


def foreach(prompt: str, **more: Any) -> dict[str, Any]:
    return {"type": "foreach", "config": {"count": 2, "do": llm(prompt), **more}}


@pytest.mark.parametrize(
    "prompt",
    [
        "plain {text} with braces",
        "{{ inputs.premise }} {{ inputs['items'] }} {{ inputs | tojson }}",
        "{{ nodes.first.output }} {{ nodes['first'].output.x.y }} {{ nodes.first.output[0] }}",
        "{{ last_output }} {{ user.id }} {{ guidance }}",
        "{% for each in nodes.first.output %}{{ each }} {{ loop.index }}{% endfor %}",
        "{% set item = 1 %}{{ item }}",
        "{{ nodes[inputs.premise].output }}",
        "{{ range(3) | join }}",
    ],
)
def test_what_is_there_may_be_used(prompt: str) -> None:
    assert problems(**llm(prompt)) == []


@pytest.mark.parametrize(
    ("prompt", "code", "message", "hint"),
    [
        (
            "{{ nodes.aside.output }}",
            "not-upstream",
            "`nodes.aside.output` is used in `middle`, which does not need `aside`",
            "add `needs: [first, aside]`",
        ),
        ("{{ nodes.last.output }}", "not-upstream", "`middle`, which runs before `last`", "turn the edge round"),
        ("{{ nodes.middle.output }}", "not-upstream", "in `middle` itself", "its own output"),
        ("{{ nodes.frist.output }}", "unknown-node", "there is no node `frist`", "did you mean `first`?"),
        ("{{ nodes.first.result }}", "unknown-name", "a node has `output`, and no `result`", "`nodes.first.output`"),
        ("{{ nodes }}", "unknown-name", "`nodes` is used without a node", "nodes.ID.output"),
        ("{{ inputs.premis }}", "unknown-input", "there is no input `premis`", "did you mean `premise`?"),
        ("{{ inputs.zzz }}", "unknown-input", "there is no input `zzz`", "zzz: {type: text}"),
        ("{{ premise }}", "unknown-name", "`premise`", "write `inputs.premise`"),
        ("{{ first }}", "unknown-name", "`first`", "write `nodes.first.output`"),
        ("{{ input.premise }}", "unknown-name", "`input`", "did you mean `inputs`?"),
        ("{{ item }}", "item-outside-foreach", "`item`", "`do`"),
        ("{{ index }}", "item-outside-foreach", "`index`", "`do`"),
        ("{{ items_so_far }}", "item-outside-foreach", "`items_so_far`", "`do`"),
        ("{{ inputs.premise | shout }}", "template-syntax", "filter `shout`", ""),
        ("{{ inputs.premise is shouted }}", "template-syntax", "test `shouted`", ""),
        ("{{ inputs.premise", "template-syntax", "unexpected end", ""),
        ("{% if inputs.cover %}", "template-syntax", "", ""),
        ("{{ x {# y }}", "template-syntax", "", ""),
        ("{% include 'x' %}", "template-syntax", "`include`", ""),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told(prompt: str, code: str, message: str, hint: str) -> None:
    (problem,) = problems(**llm(prompt))
    assert (problem.code, problem.path, problem.node_id) == (code, "nodes[1].config.prompt", "middle")
    assert message in problem.message
    assert hint in problem.hint


def test_first_need_is_suggested_alone() -> None:
    document = {"name": "x", "nodes": [{"id": "x", **llm()}, {"id": "y", **llm("{{ nodes.x.output }}")}]}
    (problem,) = find_problems(document, TYPES)
    assert problem.message == "`nodes.x.output` is used in `y`, which does not need `x`"
    assert problem.hint == "add `needs: [x]`"


def test_templates_deep_inside_a_config_are_checked() -> None:
    (problem,) = problems(type="python", config={"function": "f", "args": {"a": [{"b c": "{{ inputs.zzz }}"}]}})
    assert problem.path == "nodes[1].config.args.a[0]['b c']"


def test_item_names_are_there_in_the_do_of_a_foreach() -> None:
    assert problems(**foreach("{{ item }} {{ index + 1 }} {{ items_so_far | last }} {{ nodes.first.output }}")) == []


def test_items_so_far_needs_items_in_order() -> None:
    (problem,) = problems(**foreach("{{ items_so_far }}", concurrency=2))
    assert (problem.code, problem.path) == ("items-so-far-concurrent", "nodes[1].config.do.config.prompt")
    assert "concurrency: 1" in problem.hint


def test_item_is_not_there_in_the_items_of_its_foreach() -> None:
    (problem,) = problems(**foreach("go", count="index + 1"))
    assert (problem.code, problem.path) == ("item-outside-foreach", "nodes[1].config.count")


def test_last_output_needs_content_before_it() -> None:
    nodes = [
        {"id": "gate", "type": "approval", "config": {}},
        {"id": "a", "needs": ["gate"], **llm("{{ last_output }}")},
    ]
    (problem,) = find_problems({"name": "x", "nodes": nodes}, TYPES)
    assert (problem.code, problem.node_id) == ("no-content-upstream", "a")


@pytest.mark.parametrize(
    "when",
    [
        *(True, False, None, "true", "inputs.cover", "{{ inputs.cover }}", "not inputs.cover"),
        *("inputs.chapters > 2 and inputs.cover", "'x' in nodes.first.output"),
    ],
)
def test_condition_that_can_be_a_boolean_is_right(when: object) -> None:
    assert problems(when=when) == []
    assert problems(needs=[{"node": "first", "when": when}]) == []


@pytest.mark.parametrize(
    ("when", "code", "said"),
    [
        ("'yes'", "when-not-boolean", "got 'yes'"),
        ("1", "when-not-boolean", "got 1"),
        (1, "when-not-boolean", "got 1"),
        (["a"], "when-not-boolean", "got ['a']"),
        ("[inputs.cover]", "when-not-boolean", "got '[inputs.cover]'"),
        ("inputs.chapters", "when-not-boolean", "inputs.chapters > 0"),
        ("inputs.premise", "when-not-boolean", "inputs.premise == 'yes'"),
        ("yes", "unknown-name", "write `true` or `false`"),
        ("inputs.cover =", "template-syntax", ""),
        ("inputs.cover = true", "template-syntax", ""),
        ("{{ inputs.cover }} and {{ inputs.cover }}", "template-syntax", "without braces"),
        ("nodes.aside.output == 1", "not-upstream", "aside"),
        ("item", "item-outside-foreach", ""),
    ],
)
def test_condition_that_cannot_be_a_boolean_is_told(when: object, code: str, said: str) -> None:
    for change, path in (
        ({"when": when}, "nodes[1].when"),
        ({"needs": [{"node": "first", "when": when}]}, "nodes[1].needs[0].when"),
    ):
        (problem,) = problems(**change)
        assert (problem.code, problem.path) == (code, path)
        assert said in f"{problem.message} {problem.hint}"


def test_field_that_is_an_expression_needs_no_braces() -> None:
    assert problems(type="wait", config={"until": "nodes.first.output"}) == []
    (problem,) = problems(type="wait", config={"until": "nodes.aside.output"})
    assert problem.code == "not-upstream"


def test_one_template_can_have_several_problems() -> None:
    found = problems(**llm("{{ inputs.a }}\n{{ nodes.b.output }}\n{{ c }}"))
    assert sorted(p.code for p in found) == ["unknown-input", "unknown-name", "unknown-node"]


def test_problem_of_an_unknown_type_hides_nothing_else() -> None:
    found = problems(type="lllm", config={"prompt": "{{ inputs.zzz }}"})
    assert sorted(p.code for p in found) == ["unknown-input", "unknown-type"]
