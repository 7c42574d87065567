"""Everything that can be wrong with a workflow, found before it costs anything. Changes and runs nothing."""

from __future__ import annotations

from offbook.workflows.document import Workflow
from offbook.workflows.document_view import DocumentView, read_view
from offbook.workflows.errors import Problem
from offbook.workflows.input_fields import check_input_fields
from offbook.workflows.json_values import json_problems
from offbook.workflows.report import Report
from offbook.workflows.shape import shape_problems
from offbook.workflows.source_lines import SourceLines
from offbook.workflows.types import NodeTypes
from offbook.workflows.validation_checks import check_checks
from offbook.workflows.validation_config import check_configs
from offbook.workflows.validation_graph import check_graph
from offbook.workflows.validation_templates import TemplateCheck
from offbook.workflows.values import JsonObject


def validate_workflow(workflow: Workflow, types: NodeTypes, lines: SourceLines | None = None) -> list[Problem]:
    """Return every problem of a workflow, in the order of the document; an empty list if it can be run."""
    return find_problems(workflow.to_json(), types, lines)


def find_problems(document: JsonObject, types: NodeTypes, lines: SourceLines | None = None) -> list[Problem]:
    """Return every problem of a document as it was written, whatever its shape."""
    report = Report(lines)
    unusable = json_problems(document)
    if unusable:
        for code, path, message in unusable:
            report.add(code, message, path)
        return report.problems()
    view = read_view(document)
    _check_shape(document, view, report)
    check_input_fields(view, report)
    ancestry = check_graph(view, report)
    check_configs(view, types, ancestry, report)
    check_checks(view, types.checks, report)
    TemplateCheck(view, types, ancestry, report).run()
    return report.problems()


def _check_shape(document: JsonObject, view: DocumentView, report: Report) -> None:
    ids = {node.index: node.id for node in view.nodes}
    for problem in shape_problems(Workflow, document):
        last = problem.location[-1] if problem.location else ""
        index = problem.location[1] if problem.location[:1] == ("nodes",) and len(problem.location) > 1 else None
        node_id = ids.get(index) if isinstance(index, int) else None
        # The checks of the graph and of conditions say these better.
        if problem.kind == "string_pattern_mismatch" and last == "id" and node_id is not None:
            continue
        if last == "when":
            continue
        report.add(problem.code, problem.message, problem.path, node_id=node_id, hint=problem.hint)
