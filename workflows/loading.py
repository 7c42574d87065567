"""Workflows from documents: YAML text, JSON text, or plain objects. Other formats become plain objects elsewhere."""

from __future__ import annotations

from offbook.workflows.document import Workflow
from offbook.workflows.document_events import TextRefused
from offbook.workflows.document_text import read_text
from offbook.workflows.errors import Problem, ValidationFailed
from offbook.workflows.source_lines import SourceLines
from offbook.workflows.types import NodeTypes
from offbook.workflows.validation import find_problems
from offbook.workflows.values import JsonObject


def load_workflow(source: str | JsonObject, *, types: NodeTypes, source_name: str | None = None) -> Workflow:
    """Read and check a document; ValidationFailed with every problem at once, each with its line if it was text.

    `source_name` (a file's name) is put into problems with the document as a whole.
    """
    lines = SourceLines()
    problems: list[Problem] = []
    document: object = source
    if isinstance(source, str):
        try:
            document, problems = read_text(source, lines)
        except TextRefused as refused:
            raise ValidationFailed([refused.problem]) from None
    if not isinstance(document, dict):
        raise ValidationFailed([_no_document(document, source_name)])
    problems = _in_order([*problems, *find_problems(document, types, lines)])
    if problems:
        raise ValidationFailed(problems)
    return Workflow.model_validate(document)


def _no_document(document: object, source_name: str | None) -> Problem:
    subject = source_name or "the document"
    if document is None:
        return Problem("empty-document", f"{subject} is empty", hint="write at least `name` and `nodes`")
    return Problem(
        "not-a-document",
        f"{subject} must be a mapping with `name` and `nodes`, not a {_KINDS.get(type(document), 'value')}",
        line=1,
    )


_KINDS: dict[type, str] = {list: "list", str: "text", int: "number", float: "number", bool: "truth value"}


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.line or 0)
