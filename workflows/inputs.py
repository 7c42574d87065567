"""The inputs of an execution and the payloads of signals, checked before anything is spent. Cuts nothing."""

from __future__ import annotations

from offbook.workflows.document import InputField, Workflow
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.input_fields import InputRefused, empty_value, read_value
from offbook.workflows.item_counts import item_problems
from offbook.workflows.json_values import json_problems
from offbook.workflows.report import did_you_mean
from offbook.workflows.signal_forms import check_payload, form_problems
from offbook.workflows.source_lines import child_path
from offbook.workflows.values import JsonObject, JsonValue

__all__ = ["check_inputs", "check_payload", "form_problems"]


def check_inputs(workflow: Workflow, inputs: JsonObject) -> JsonObject:
    """Return the inputs with defaults filled in and text from forms converted; ValidationFailed with all problems.

    Those that say how many items a foreach has are refused where it could only fail on them.

    Every input of the workflow is in the result: one that is optional, has no default and was not given is False
    (boolean), [] (list, multiple select) or None.
    """
    problems = [_unknown(name, workflow) for name in inputs if name not in workflow.inputs]
    checked: JsonObject = {}
    for name, field in workflow.inputs.items():
        try:
            checked[name] = _value(name, field, inputs.get(name))
        except _Refused as refused:
            problems.append(refused.problem)
    # Text from forms is looked at as what it was converted to.
    wrong = json_problems({**inputs, **checked}, "inputs")
    problems.extend(Problem(code, message, path) for code, path, message in wrong)
    problems.extend(item_problems(workflow, checked))
    if problems:
        raise ValidationFailed(problems)
    return checked


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def _value(name: str, field: InputField, given: JsonValue) -> JsonValue:
    path = child_path("inputs", name)
    if given is None:
        if field.required:
            hint = f"give `{name}`" + (f": {field.description}" if field.description else f", a {field.type}")
            raise _Refused(Problem("missing-input", f"the input `{name}` is required", path, hint=hint))
        if field.default is None:
            return empty_value(field.type, field.multiple)
        given = field.default
    try:
        return read_value(field.type, given, field.options, field.multiple)
    except InputRefused as refused:
        raise _Refused(Problem(refused.code, f"`{name}` {refused}", path, hint=refused.hint)) from None


def _unknown(name: str, workflow: Workflow) -> Problem:
    known = ", ".join(f"`{each}`" for each in workflow.inputs)
    hint = did_you_mean(name, workflow.inputs) or (f"known are {known}" if known else "this workflow has no inputs")
    return Problem("unknown-input", f"there is no input `{name}`", child_path("inputs", name), hint=hint)
