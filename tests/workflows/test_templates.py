"""What templates and expressions give."""

from __future__ import annotations

import pytest

from offbook.workflows.scope import Scope
from offbook.workflows.templates import (
    TemplateError,
    evaluate,
    evaluate_condition,
    has_template,
    references,
    render,
)
from tests.workflows.driver import Drive, workflow

INPUTS = {
    "premise": "a lamp",
    "items": ["x", "y"],
    "count": 3,
    "cover": True,
    "nothing": None,
    "place": {"name": "Pune", "keys": [1, 2.5, None, True]},
}


@pytest.fixture
def scope() -> Scope:
    """The view of `book`, which needs `outline` and `picture`; `aside` stands beside it."""
    drive = Drive(
        workflow(
            {"id": "outline"},
            {"id": "picture", "when": False},
            {"id": "aside"},
            {"id": "book", "needs": ["outline", "picture"]},
        ),
        inputs=dict(INPUTS),
    )
    drive.finish("outline", {"title": "Lamp", "acts": ["one", "two"]})
    return drive.run.scope("book")


@pytest.fixture
def item_scope(scope: Scope) -> Scope:
    return Scope(
        plan=scope.plan,
        node=scope.node,
        inputs=scope.inputs,
        outputs=scope.outputs,
        user=scope.user,
        item={"name": "second"},
        index=1,
        items_so_far=("first",),
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain text, even { with } a brace {# or two #}", "plain text, even { with } a brace {# or two #}"),
        ("{{ inputs.premise }}", "a lamp"),
        ("About {{ inputs.premise }}.\n", "About a lamp.\n"),
        ("{{ inputs.count }}", 3),
        ("{{ inputs.count + 1 }}", 4),
        ("{{ inputs.cover }}", True),
        ("{{ inputs.nothing }}", None),
        ("[{{ inputs.nothing }}]", "[]"),
        ("[{{ inputs.cover }}]", "[true]"),
        ("  {{ inputs.items }}\n", ["x", "y"]),
        ("{{- inputs.count -}}", 3),
        ("{{ {'a': {'b': inputs.count}} }}", {"a": {"b": 3}}),
        ("{{ (1, inputs.count) }}", [1, 3]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ inputs.items | map('upper') }}", ["X", "Y"]),
        ("{{ inputs.place.keys }}", [1, 2.5, None, True]),
        ("{{ inputs.place.items() | list | length }}", 2),
        ("{{ inputs.place['name'] }}", "Pune"),
        ('{{ inputs.place }} and {{ "é" }}', '{"name": "Pune", "keys": [1, 2.5, null, true]} and é'),
        ("{{ inputs.items ~ '!' }}", '["x", "y"]!'),
        ("{{ nodes.outline.output.title }}", "Lamp"),
        ("{{ nodes.outline.output.acts | join(', ') }}", "one, two"),
        ("{{ nodes['outline'].output.acts[-1] }}", "two"),
        ("{{ nodes.picture.output }}", None),
        ("{{ nodes.picture.output or 'no picture' }}", "no picture"),
        ("{{ last_output.title }}", "Lamp"),
        ("{{ user.id }}", "ada"),
        ("{{ guidance }}", ""),
        ("{{ inputs.more | default('none') }}", "none"),
        ("{{ inputs.more is defined }}", False),
        ("{% for act in nodes.outline.output.acts %}{{ loop.index }}. {{ act }}\n{% endfor %}", "1. one\n2. two\n"),
        ("{% if inputs.cover %}yes{% else %}no{% endif %}", "yes"),
        (
            "{% set n = namespace(sum=0) %}{% for i in [1, 2] %}{% set n.sum = n.sum + i %}{% endfor %}{{ n.sum }}",
            "3",
        ),
        ("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice('ab') }}", "abab"),
        ("{{ '%02d of %s' | format(7, 'x') }}", "07 of x"),
        ("{{ ['b', 'a'] | sort | first }}", "a"),
        ("{{ [{'n': 1}, {'n': 2}] | sum(attribute='n') }}", 3),
        ("{{ [{'n': 1}, {'n': 2}] | map(attribute='n') | join('-') }}", "1-2"),
        ("{{ {'a': 1} | tojson }}!", '{"a": 1}!'),
        ("{{ ' x '.strip().upper().replace('X', 'yy') }}", "yy"),
        ("{{ 'a,b'.split(',') }}", ["a", "b"]),
        ("{{ 'abc'.startswith(('x', 'a')) }}", True),
        ("{{ '<b>' | e }}", "&lt;b&gt;"),
        ("{{ 'x' in inputs.items and inputs.count >= 3 }}", True),
    ],
)
def test_template_gives_its_value(source: str, expected: object, scope: Scope) -> None:
    value = render(source, scope)
    assert value == expected
    assert type(value) is type(expected)


def test_value_without_templates_is_returned_itself(scope: Scope) -> None:
    value = {"prompt": "plain", "list": [1, {"x": None}]}
    assert render(value, scope) is value


def test_templates_inside_objects_and_lists_are_rendered(scope: Scope) -> None:
    value = {"a": ["{{ inputs.count }}", 5], "b": {"c": "n={{ inputs.count }}"}, "d": True}
    assert render(value, scope) == {"a": [3, 5], "b": {"c": "n=3"}, "d": True}


def test_item_names_are_there_inside_a_foreach(item_scope: Scope) -> None:
    source = "{{ index + 1 }}: {{ item.name }}, after {{ items_so_far | last }}"
    assert render(source, item_scope) == "2: second, after first"


def test_last_output_of_a_foreach_is_joined_by_blank_lines() -> None:
    chapters = {"id": "chapters", "type": "foreach", "config": {"count": 2, "do": {"type": "text"}}}
    drive = Drive(workflow(chapters, {"id": "book", "needs": ["chapters"]}))
    run = drive.run
    run.outputs["chapters"] = ["one", None, "two"]
    scope = Scope(run.plan, run.plan.node("book"), {}, run.outputs, None, last_output_node="chapters")
    assert render("{{ last_output }}", scope) == "one\n\ntwo"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("inputs.count", 3),
        ("{{ inputs.count }}", 3),
        (" {{ inputs.count * 2 }} ", 6),
        ("inputs.items", ["x", "y"]),
        ("'text'", "text"),
        (5, 5),
        (["{{ inputs.count }}", "plain"], [3, "plain"]),
        (None, None),
    ],
)
def test_expression_gives_its_value_with_or_without_braces(
    expression: object, expected: object, scope: Scope
) -> None:
    assert evaluate(expression, scope) == expected


def test_condition_gives_a_boolean(scope: Scope) -> None:
    assert evaluate_condition("inputs.cover", scope) is True
    assert evaluate_condition("{{ inputs.count > 3 }}", scope) is False
    assert evaluate_condition(True, scope) is True


@pytest.mark.parametrize(
    ("condition", "got"), [("inputs.premise", "'a lamp'"), ("inputs.nothing", "None"), ("1", "1")]
)
def test_condition_that_gives_no_boolean_is_refused(condition: str, got: str, scope: Scope) -> None:
    with pytest.raises(TemplateError) as refused:
        evaluate_condition(condition, scope)
    assert f"`when` must give a boolean, got {got}" in str(refused.value)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ inputs.title }}", "`inputs.title` is missing: there is no input `title`"),
        ("Hi {{ inputs.place.city }}", "`inputs.place.city` is missing: there is `name`, `keys`"),
        ("{{ inputs.nothing.x }}", "`inputs.nothing.x` is missing"),
        ("{{ inputs.items[5] }}", "[5] is missing: the list has 2 elements"),
        ("{{ nodes.aside.output }}", "`nodes.aside.output` is used in `book`, which does not need `aside`"),
        ("{{ nodes.other.output }}", "there is no node `other`"),
        ("{{ item }}", "`item` is missing: it is there only inside a foreach"),
        ("{{ items_so_far | last }}", "`items_so_far` is missing"),
        ("{{ premise }}", "`premise` is not a name that documents have"),
        ("{{ [{'a': 1}] | map(attribute='b') | list }}", "`b` is missing"),
    ],
)
def test_missing_value_is_named(source: str, named: str, scope: Scope) -> None:
    with pytest.raises(TemplateError) as refused:
        render(source, scope)
    assert named in str(refused.value)


def test_last_output_is_missing_where_nothing_produced_content(scope: Scope) -> None:
    without = Scope(scope.plan, scope.node, {}, {}, None)
    with pytest.raises(TemplateError, match="nothing upstream has produced content"):
        render("{{ last_output }}", without)


def test_error_carries_line_and_excerpt(scope: Scope) -> None:
    source = "Line one\n\n{% if inputs.cover %}\n{{ inputs.absent }}\n{% endif %}" + "x" * 200
    with pytest.raises(TemplateError) as refused:
        render(source, scope)
    assert refused.value.line == 4
    assert refused.value.source.startswith("Line one")
    assert len(refused.value.source) == 80
    with pytest.raises(TemplateError) as syntax:
        render("one\ntwo {{ inputs. }}", scope)
    assert syntax.value.line == 2


@pytest.mark.parametrize(
    "source",
    ["{{ 1 / 0 }}", "{{ 'a' + 1 }}", "{{ 1e308 * 10 }}", "{{ {1: 2} }}", "{{ inputs.place.get }}", "{{ range }}"],
)
def test_what_is_no_json_value_is_refused(source: str, scope: Scope) -> None:
    with pytest.raises(TemplateError):
        render(source, scope)


def test_rendering_changes_no_input(scope: Scope) -> None:
    for source in ("{{ inputs.items.append(1) }}", "{{ inputs.place.update({'a': 1}) }}", "{{ inputs.items.pop() }}"):
        with pytest.raises(TemplateError):
            render(source, scope)
    assert scope.inputs == INPUTS


def test_references_name_what_is_used() -> None:
    source = (
        "{{ nodes.a.output ~ inputs['premise'] ~ last_output ~ user.id }}"
        "{% for each in nodes.b.output %}{{ each.x }}{{ item }}{{ loop.index }}{% endfor %}{{ range(2) | list }}"
    )
    assert references(source) == {
        ("nodes", "a"), ("nodes", "b"), ("inputs", "premise"), ("last_output",), ("user",), ("item",),
    }  # fmt: skip


def test_references_of_an_expression_need_no_braces() -> None:
    assert references("inputs.cover and index > 0", expression=True) == {("inputs", "cover"), ("index",)}
    assert references("{{ nodes[inputs.which].output }}", expression=True) == {("nodes",), ("inputs", "which")}


def test_names_bound_by_the_template_are_no_references() -> None:
    source = "{% set x = inputs.a %}{% macro m(y) %}{{ y }}{% endmacro %}{{ m(x) }}"
    assert references(source) == {("inputs", "a")}


def test_has_template_looks_inside() -> None:
    assert has_template({"a": ["x", "{{ y }}"]})
    assert has_template("{% if x %}")
    assert not has_template({"a": ["x", "{y}", "# Title {#id}"], "b": 5})
