"""Template, output and foreach: what they return, and which configs they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from offbook.nodes import NodeFailure, NodeRegistry
from tests.nodes.recording import Attempt

REGISTRY = NodeRegistry.with_builtins()


@pytest.mark.parametrize(("type_name", "field"), [("template", "text"), ("output", "value")])
async def test_template_and_output_return_the_rendered_value(type_name: str, field: str) -> None:
    attempt = Attempt(REGISTRY, type_name, {field: {"a": ["{{ last_output }}", 1]}}, upstream="one")
    assert await attempt.run() == {"a": ["one", 1]}


def test_only_text_makers_produce_content() -> None:
    types = {name: REGISTRY.get(name) for name in REGISTRY.names()}
    assert {name for name, each in types.items() if each and each.produces_content} == {
        "template",
        "llm",
        "refine",
        "python",
        "foreach",
    }
    assert [name for name, each in types.items() if each and each.needs_last_output] == ["refine"]


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        ({"count": 3, "do": {"type": "llm"}}, []),
        ({"items": "inputs.names", "do": {"type": "llm"}}, []),
        ({"do": {"type": "llm"}}, ["foreach-items"]),
        ({"count": 3, "items": [1], "do": {"type": "llm"}}, ["foreach-items"]),
        ({"count": 3, "do": {"type": "foreach"}}, ["nested-foreach"]),
    ],
)
def test_foreach_config_is_checked(config: dict[str, Any], codes: list[str]) -> None:
    foreach = REGISTRY.get("foreach")
    assert foreach is not None
    assert [problem.code for problem in foreach.check_config(config)] == codes


async def test_foreach_itself_is_not_run() -> None:
    config = {"count": 1, "do": {"type": "template", "config": {"text": "a"}}}
    attempt = Attempt(REGISTRY, "foreach", config)
    with pytest.raises(NodeFailure, match="engine runs the items"):
        await attempt.type.run(attempt.context, attempt.type.config_model.model_validate(config))
