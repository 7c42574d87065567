"""What errors say to whoever made the mistake."""

from __future__ import annotations

from offbook.workflows.errors import Forbidden, Problem, ValidationFailed


def test_refusal_names_each_place_once() -> None:
    named = Problem("bad-field", "key: must be text, not a list", "key")
    other = Problem("unknown-check", "there is no check `nope`", "nodes[0].checks[0]")
    whole = Problem("bad-body", "the body must be a JSON object", "")
    assert str(ValidationFailed([named, other, whole])) == (
        "3 problem(s): key: must be text, not a list; nodes[0].checks[0]: there is no check `nope`; "
        "the body must be a JSON object"
    )


def test_what_is_forbidden_names_an_execution_if_it_is_about_one() -> None:
    assert str(Forbidden("e" * 32, "it is another's")) == f"execution {'e' * 32}: it is another's"
    assert str(Forbidden(None, "only an operator sets budgets")) == "only an operator sets budgets"
