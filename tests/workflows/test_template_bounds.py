"""Templates that would eat the machine end with an error, soon and without having eaten much of it."""

from __future__ import annotations

import resource
import sys
import threading
import time

import pytest
from jinja2.exceptions import SecurityError

from offbook.workflows.scope import Scope
from offbook.workflows.template_budget import LIMITS, Limits, budgeted
from offbook.workflows.templates import TemplateError, evaluate, render
from tests.workflows.driver import Drive, workflow

MEGABYTES = 200
SECONDS = LIMITS.max_seconds + 5

BOMBS = {
    "repeated text": "{{ 'x' * 10**9 }}",
    "repeated list": "{{ [1] * 10**9 }}",
    "lists of one list": "{{ [[1] * 100000] * 100000 }}",
    "list of itself, doubled": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "equal doubled lists": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40
    + "{{ a == b }}",
    "doubled text": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
    "added text": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a + a %}" * 60 + "{{ a }}",
    "doubled by macro": "{% macro d(x) %}{{ x }}{{ x }}{% endmacro %}{% set a = 'xxxxxxxxxx' %}"
    + "{% set a = d(a) %}" * 60
    + "{{ a | length }}",
    "doubled by block": "{% set a = 'xxxxxxxxxx' %}"
    + "{% set a %}{{ a }}{{ a }}{% endset %}" * 60
    + "{{ a | length }}",
    "macros without output": "".join(
        f"{{% macro m{i}() %}}{{{{ m{i - 1}() }}}}{{{{ m{i - 1}() }}}}{{% endmacro %}}"
        if i
        else "{% macro m0() %}{% endmacro %}"
        for i in range(40)
    )
    + "{{ m39() }}",
    "arguments of a macro": "{% macro m() %}{{ varargs | upper }}{% endmacro %}{% set a = 'x' * 7000000 %}"
    + "{{ m("
    + "a, " * 500
    + "a) }}",
    "endless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "endless loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "long range": "{% for i in range(10**9) %}{% endfor %}",
    "very long range": "{{ range(10**30) | length }}",
    "nested loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "text in a captured loop": "{% set a %}{% for i in range(150000) %}" + "y" * 50_000 + "{% endfor %}{% endset %}",
    "much output": "{% set x = 'a' * 1000000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
    "loop of sorted ranges": "{% for a in range(400) %}{% set z = range(200000) | sort %}{% endfor %}",
    "loop of searches": (
        "{% set a = range(200000) | map('string') | list %}{% for i in range(100000) %}{{ 'z' in a }}{% endfor %}"
    ),
    "loop test": "{% for i in range(200000) if (range(200000) | max) < 0 %}{% endfor %}",
    "filter center": "{{ 'x' | center(10**10) }}",
    "filter indent": "{{ 'a\nb' | indent(10**9) }}",
    "filter replace": "{{ 'a' | replace('', 'b' * 1000000) | replace('b', 'c' * 1000000) }}",
    "filter join": "{{ range(100000) | join('x' * 100000) }}",
    "filter of generators": "{{ range(200000) | map('center', 1000) | list | length }}",
    "filter format": "{{ '%1000000000d' | format(1) }}",
    "filter format with star": "{{ '%*d' | format(1000000000, 1) }}",
    "filter format of one long text": "{{ ('%(a)s' * 1000000) | format(a='x' * 1000000) }}",
    "filter batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "filter slice": "{{ [1] | slice(10**9) | list }}",
    "filter sum of lists": "{{ [[1] * 1000] * 1000 | sum(start=[]) }}",
    "filter round": "{{ 1.5 | round(10**9, 'ceil') }}",
    "filter wordwrap": "{{ ('x' * 4000000) | wordwrap(1) }}",
    "filter tojson indent": "{{ [[[1]]] | tojson(indent=10**9) }}",
    "filter trim": "{{ ('x' * 4000000) | trim('y' * 4000000) }}",
    "method ljust": "{{ 'x'.ljust(10**10) }}",
    "method zfill": "{{ 'x'.zfill(10**10) }}",
    "method format": "{{ '{:1000000000}'.format(1) }}",
    "method replace": "{{ 'aaaa'.replace('a', 'b' * 4000000) }}",
    "method join": "{{ ('x' * 1000000).join('y' * 1000) }}",
    "method expandtabs": "{{ '\t'.expandtabs(10**9) }}",
    "method to_bytes": "{{ (1).to_bytes(10**9, 'big') }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "shifted power": "{{ 2 ** 99999999 }}",
    "multiplied numbers": "{% set a = 2 ** 9000 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
    "long number": "{{ " + "9" * 5000 + " }}",
    "deep parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep sum": "{{ " + "1 + " * 3000 + "1 }}",
    "deep blocks": "{% if true %}" * 200 + "{% endif %}" * 200,
    "deep loops": "{% for a in [1] %}" * 30 + "x" + "{% endfor %}" * 30,
    "many parts": "{{ 1 }}" * 20_000,
    "long source": "{{ 1 }}" + "x" * 300_000,
}


@pytest.fixture(scope="module")
def scope() -> Scope:
    return Drive(workflow({"id": "only"}), inputs={"text": "x", "list": [1, 2]}).run.scope("only")


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_ends_with_an_error(name: str, scope: Scope) -> None:
    # Of this thread alone: the machine may be busy with others.
    before, started = _megabytes(), time.thread_time()
    with pytest.raises(TemplateError) as refused:
        render(BOMBS[name], scope)
    assert time.thread_time() - started < SECONDS
    assert _megabytes() - before < MEGABYTES
    assert "MemoryError" not in str(refused.value)


def _megabytes() -> float:
    """The most memory that this process ever had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform != "darwin" else most / 1024 / 1024


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ inputs.__class__ }}",
        "{{ inputs.text | attr('__class__') }}",
        "{{ inputs.list | map(attribute='__class__') | list }}",
        "{{ '{0.__class__}'.format(inputs) }}",
        "{{ '%(a)s'.__mod__ }}",
        "{{ (1).real }}",
        "{{ range(3).__reduce__ }}",
        "{{ self.__init__ }}",
        "{{ lipsum() }}",
        "{{ cycler }}",
        "{{ environment }}",
        "{{ take_step(-1000000) }}",
        "{{ namespace.__init__ }}",
        "{{ namespace(a=1).__class__ }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in [1] %}{{ loop._iterator }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m.name }}{{ m._func }}",
        "{{ inputs.text.upper.func }}",
        "{{ inputs() }}",
        "{{ 'x'() }}",
        "{{ nodes._scope }}",
        "{{ nodes | list }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% autoescape true %}{% endautoescape %}",
    ],
)
def test_template_cannot_leave_the_sandbox(source: str, scope: Scope) -> None:
    with pytest.raises(TemplateError):
        render(source, scope)


def test_expression_is_bounded_like_a_template(scope: Scope) -> None:
    with pytest.raises(TemplateError, match="more than"):
        evaluate("'x' * 10**9", scope)


def test_large_input_passes_through_uncut() -> None:
    text = "é" * (LIMITS.max_output_bytes + 10)
    drive = Drive(workflow({"id": "only"}), inputs={"text": text})
    assert render("{{ inputs.text }}", drive.run.scope("only")) is text


def test_large_output_is_refused_and_not_cut(scope: Scope) -> None:
    just_fits = "{{ 'x' * " + str(LIMITS.max_output_bytes) + " }}"
    assert len(render(just_fits, scope)) == LIMITS.max_output_bytes
    with pytest.raises(TemplateError, match="8,000,000 bytes"):
        render("{{ 'x' * " + str(LIMITS.max_output_bytes) + " }}y", scope)


def test_seconds_are_those_of_the_thread_and_not_those_of_the_clock() -> None:
    with budgeted(Limits(max_seconds=0.05)) as budget:
        threading.Event().wait(0.1)
        budget.step()
        until = time.thread_time() + 0.06
        while time.thread_time() < until:
            pass
        with pytest.raises(SecurityError, match=r"more than 0\.05 s"):
            budget.step()


def test_budget_of_one_template_is_not_that_of_the_next(scope: Scope) -> None:
    rounds = LIMITS.max_steps // 20
    source = f"{{% for i in range({rounds}) %}}{{{{ i }}}}{{% endfor %}}"
    for _ in range(21):
        assert render(source, scope).startswith("0123")
